//! The loop: output, orders, deadlines, until the main process has ended.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use os::lock::FileLock;
use os::process::ProcessIdentity;
use run::layout::{HostDir, RunDir};
use run::protocol::{Order, Report};
use run::record::RunSpec;
use run::tree::{Scope, Step, Sweep};
use wire::StopTarget;

use crate::begin::Beginning;
use crate::clients::Clients;
use crate::ending::Ending;
use crate::ladder::Ladder;
use crate::main_process::{MainProcess, Tie, signal_of};
use crate::memory::Kills;
use crate::note::Note;
use crate::output::Output;
use crate::revival::Revival;

/// How long the tree may outlive its KILL before the daemon is told.
const STUCK_AFTER: Duration = Duration::from_secs(2);
/// After this time without anything to do for the first time, memory is given back that only the beginning needed.
const REST_AFTER: Duration = Duration::from_secs(4);
/// How often it is killed again then.
const STUCK_PAUSE: Duration = Duration::from_secs(1);

/// A shim with a run to serve.
pub(crate) struct Shim {
    pub(crate) dir: RunDir,
    pub(crate) spec: RunSpec,
    pub(crate) me: ProcessIdentity,
    pub(crate) subreaper: bool,
    pub(crate) clients: Clients,
    pub(crate) main: MainProcess,
    pub(crate) output: Output,
    pub(crate) kills: Kills,
    pub(crate) began: Instant,
    /// A stop or a kill was ordered.
    pub(crate) asked: bool,
    /// What a person detached is ended, too.
    pub(crate) spare_nobody: bool,
    /// The tree is being killed while the main process still lives.
    pub(crate) killing: Option<Killing>,
    /// When to rest if nothing happens before; nothing once that has been.
    rest_at: Option<Instant>,
    /// Memory is given back before the next wait: what would run between the two would come back to stay.
    rests: bool,
    children: OwnedFd,
    ladder: Option<Ladder>,
    revival: Revival,
    /// Held for our life; the system lets go of it.
    _lock: FileLock,
}

/// A KILL of the tree under way.
pub(crate) struct Killing {
    pub(crate) sweep: Sweep,
    pub(crate) next: Instant,
    begun: Instant,
    told: bool,
}

/// What woke the loop.
struct Woken {
    output: bool,
    children: bool,
    clients: bool,
}

impl Shim {
    pub(crate) fn new(
        beginning: Beginning,
        main: MainProcess,
        output: Output,
        kills: Kills,
        began: Instant,
        asked: bool,
    ) -> Self {
        let Beginning { dir, lock, mut spec, me, subreaper, children, mut clients } = beginning;
        // The environment is most of it, and the service has it.
        spec.env = Vec::new();
        if let Err(error) = clients.listen(spec.socket.as_path()) {
            // Whoever started us has a connection; later daemons will replace a shim they cannot reach.
            crate::say(&format_args!("{}: {error}", spec.socket.as_path().display()));
        }
        let revival = Revival::new(HostDir::at(spec.host_dir.as_path()));
        Self {
            dir,
            spec,
            me,
            subreaper,
            clients,
            main,
            output,
            kills,
            began,
            asked,
            spare_nobody: false,
            killing: None,
            rest_at: Some(began + REST_AFTER),
            rests: false,
            children,
            ladder: None,
            revival,
            _lock: lock,
        }
    }

    /// Serves the run until nothing is left of it.
    pub(crate) fn serve(mut self) {
        if self.clients.is_empty() {
            self.revival.daemon_left(Instant::now());
        }
        let mut ending: Option<Ending> = None;
        loop {
            let now = Instant::now();
            if ending.is_none() {
                ending = self.main.end().map(|cause| Ending::new(cause, now));
            }
            if let Some(ending) = &mut ending
                && ending.step(&mut self, now)
            {
                break;
            }
            if ending.as_ref().is_some_and(Ending::was_replaced) {
                ending = None;
                continue;
            }
            self.do_what_is_due(now, ending.is_some());
            let deadline = self.deadline(ending.as_ref());
            let rests = std::mem::take(&mut self.rests);
            let woken = self.wait(deadline, rests);
            if woken.children || woken.output || woken.clients {
                self.rest_at = self.rest_at.map(|_| Instant::now() + REST_AFTER);
            }
            if woken.children {
                self.reap_others();
            }
            if woken.output {
                self.output.work(Instant::now());
            }
            self.tell_of_the_log();
            if woken.clients {
                self.hear();
            }
        }
        if let Some(ending) = ending {
            ending.finish(self);
        }
    }

    fn deadline(&self, ending: Option<&Ending>) -> Option<Instant> {
        let ladder = if ending.is_none() { self.ladder.as_ref().and_then(Ladder::deadline) } else { None };
        let killing = if ending.is_none() { self.killing.as_ref().map(|killing| killing.next) } else { None };
        let ending = ending.map(Ending::deadline);
        [
            ladder,
            killing,
            ending,
            self.output.deadline(),
            self.revival.deadline(),
            self.clients.deadline(),
            self.rest_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn do_what_is_due(&mut self, now: Instant, ending: bool) {
        if self.output.deadline().is_some_and(|at| at <= now) {
            self.output.tick(now);
        }
        if self.revival.deadline().is_some_and(|at| at <= now) {
            self.revival.step(now);
        }
        self.rests |= self.rest_at.take_if(|at| *at <= now).is_some();
        if ending {
            return;
        }
        while let Some(step) = self.ladder.as_mut().and_then(|ladder| ladder.due(now)) {
            self.signal(signal_of(step.signal), step.to, now);
        }
        self.go_on_killing(now);
    }

    fn go_on_killing(&mut self, now: Instant) {
        let Some(killing) = &mut self.killing else { return };
        if killing.next > now {
            return;
        }
        let pids = match killing.sweep.step(now) {
            Ok(Step::Again(at)) => {
                killing.next = at;
                Vec::new()
            }
            Ok(Step::Done(swept)) => {
                // Nothing left, or nothing that dies: if the main process does not end now, look again.
                killing.next = now + STUCK_PAUSE;
                swept.unkillable
            }
            Err(_) => {
                killing.next = now + STUCK_PAUSE;
                Vec::new()
            }
        };
        if !killing.told && now.saturating_duration_since(killing.begun) >= STUCK_AFTER {
            killing.told = true;
            let pids = if pids.is_empty() { vec![self.main.identity.pid] } else { pids };
            self.clients.tell(&Report::Stuck { pids });
        }
    }

    /// Waits until something happens or is due.
    fn wait(&self, deadline: Option<Instant>, rests: bool) -> Woken {
        let timeout = deadline.map_or(PollTimeout::NONE, crate::disk::until);
        let mut waits = Vec::with_capacity(8);
        waits.push(PollFd::new(self.children.as_fd(), PollFlags::POLLIN));
        waits.extend(self.output.interests().map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN)));
        let watched = waits.len();
        // Without a watch the slot waits for what never comes: a child's end is told by SIGCHLD.
        let watch = match &self.main.tie {
            Tie::Watched(Some(watch)) if !watch.has_ended().unwrap_or(true) => watch.as_fd(),
            _ => self.children.as_fd(),
        };
        waits.push(PollFd::new(watch, PollFlags::POLLIN));
        waits.extend(self.clients.interests().map(|(descriptor, flags)| PollFd::new(descriptor, flags)));
        if rests {
            os::memory::rest();
        }
        let _ = poll(&mut waits, timeout);
        let ready = |index: usize| waits[index].any().unwrap_or(true);
        Woken {
            children: ready(0),
            output: (1..watched).any(ready),
            clients: (watched + 1..waits.len()).any(ready),
        }
    }

    /// Reaps what was re-parented to us, but not the main process: its number must stay its own until the end.
    pub(crate) fn reap_others(&mut self) {
        os::signals::drain(&self.children);
        while let Ok(Some(pid)) = os::wait::any_exited() {
            if pid == self.main.identity.pid && matches!(self.main.tie, Tie::Child) {
                self.reap_beside_main();
                return;
            }
            if os::wait::reap(pid).is_err() {
                return;
            }
        }
    }

    /// While the main process is a zombie it is what the system names first, so the others are asked one by
    /// one. Returns whether any child but the main process is left; unknown counts as yes.
    pub(crate) fn reap_beside_main(&self) -> bool {
        let Ok(Some(children)) = os::process::own_children() else { return true };
        let mut any_left = false;
        for pid in children.into_iter().filter(|&pid| pid != self.main.identity.pid) {
            any_left |= matches!(os::wait::reap(pid), Ok(None));
        }
        any_left
    }

    fn tell_of_the_log(&mut self) {
        let lines = self.output.take_lost();
        if lines > 0 {
            self.clients.tell(&Report::Dropped { lines });
        }
        if let Some(waits) = self.output.news(Instant::now()) {
            let report = Report::LogWaits { waits };
            self.clients.tell(&report);
            self.clients.set_standing(waits.then_some(report));
        }
    }

    fn hear(&mut self) {
        let heard = self.clients.work();
        let now = Instant::now();
        for order in heard.orders {
            self.obey(order, now);
        }
        if heard.lost {
            self.revival.daemon_left(now);
        }
    }

    fn obey(&mut self, order: Order, now: Instant) {
        match order {
            Order::Stop { all_processes } => {
                self.note_the_order();
                self.spare_nobody |= all_processes;
                if self.ladder.is_none() {
                    self.ladder = Some(Ladder::new(&self.spec.stop, now));
                }
            }
            Order::Kill => {
                self.note_the_order();
                self.kill_tree(now);
            }
            Order::Signal { signal, to } => self.signal(signal_of(signal), to, now),
            Order::StartDaemon { exe } => self.revival.asked(exe, now),
            Order::Ping { number } => self.clients.tell(&Report::Pong { number }),
            Order::Unknown => {}
        }
    }

    /// A successor is to know, too, that the end was asked for.
    fn note_the_order(&mut self) {
        if !std::mem::replace(&mut self.asked, true) {
            let dir = self.dir.clone();
            self.output.set_note(Note { kills_before: self.kills.before(), asked: true }.pack());
            // Known to a later daemon before anything is done about it, unless that would never be.
            self.output.have_done(Box::new(move |_| run::record::mark_stopping(&dir)));
        }
    }

    fn signal(&mut self, signal: Signal, to: StopTarget, now: Instant) {
        let result = match to {
            StopTarget::Main => self.main.signal(signal),
            StopTarget::Group => self.main.signal_group(signal),
            StopTarget::Tree if signal == Signal::SIGKILL => {
                self.kill_tree(now);
                Ok(())
            }
            StopTarget::Tree => run::tree::members(&self.scope()).and_then(|tree| {
                for process in tree.members {
                    let _ = process.identity()?.signal(signal);
                }
                Ok(())
            }),
        };
        if let Err(error) = result {
            crate::say(&format_args!("{signal} cannot be sent: {error}"));
        }
    }

    fn kill_tree(&mut self, now: Instant) {
        if self.killing.is_none() {
            let sweep = Sweep::new(self.scope(), Duration::ZERO, now);
            self.killing = Some(Killing { sweep, next: now, begun: now, told: false });
        }
        self.go_on_killing(now);
    }

    /// What belongs to the run, as of now.
    pub(crate) fn scope(&self) -> Scope {
        Scope {
            main: Some(self.main.identity.clone()),
            proven: true,
            shim: Some(self.me.clone()),
            marker: self.spec.marker.clone(),
            host_dir: self.spec.host_dir.as_path().to_owned(),
            spare_terminals: self.spec.spare_terminals && !self.spare_nobody,
        }
    }
}
