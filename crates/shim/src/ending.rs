//! After the main process: was it replaced, what is left of its tree, its last output, its record.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use run::log::Stamp;
use run::protocol::Report;
use run::record::{self, Durability, Exited, RecordError, Started};
use run::tree::{Step, Sweep, Swept, members};
use wire::ExitCause;

use crate::main_process::{MainProcess, Tie, cause};
use crate::output::PATIENCE;
use crate::serve::Shim;

/// How long a process that ended with 0 may take to be replaced by one of its tree.
const REPLACED_WITHIN: Duration = Duration::from_secs(1);
const REPLACED_PAUSE: Duration = Duration::from_millis(25);
/// How long the parent of a process that we only watched may take to reap it, so that its code is known.
const CODE_WITHIN: Duration = Duration::from_millis(250);
const CODE_PAUSE: Duration = Duration::from_millis(5);
/// How often an exit record is tried again that the disk does not take.
const RECORD_PAUSE: Duration = Duration::from_secs(1);
/// `SIGKILL`, and what a shell makes of it.
const KILLED: i32 = 9;

enum Phase {
    /// One of its tree may take over until then.
    Replacing {
        until: Instant,
    },
    Sweeping(Box<Sweep>),
    /// Its end was seen, its code not yet.
    Code {
        until: Instant,
        swept: Swept,
    },
    /// All is known, the record is not written yet.
    Record(Exited),
    /// The record is being written.
    Writing(Exited, Writing),
    Replaced,
    Done,
}

/// The end of a main process, in steps.
pub(crate) struct Ending {
    cause: ExitCause,
    at_ms: i64,
    phase: Option<Phase>,
    next: Instant,
    ended: Instant,
    complained: bool,
    /// The end was reported, to a daemon that was there.
    told: bool,
    heard: bool,
}

/// A record that is being written.
struct Writing {
    number: u64,
    result: Arc<Mutex<Result<(), RecordError>>>,
}

impl Ending {
    pub(crate) fn new(cause: ExitCause, now: Instant) -> Self {
        Self {
            cause,
            at_ms: Stamp::now().as_ms(),
            phase: None,
            next: now,
            ended: now,
            complained: false,
            told: false,
            heard: false,
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.next
    }

    /// Another process of the tree is the main process now; there is no end.
    pub(crate) fn was_replaced(&self) -> bool {
        matches!(self.phase, Some(Phase::Replaced))
    }

    /// Goes on as far as it can now; whether the run is over.
    pub(crate) fn step(&mut self, shim: &mut Shim, now: Instant) -> bool {
        loop {
            let phase = self.phase.take().unwrap_or_else(|| self.first_phase(shim, now));
            let (phase, go_on) = match phase {
                Phase::Replacing { until } => self.look_for_a_successor(shim, until, now),
                Phase::Sweeping(sweep) => self.sweep(shim, sweep, now),
                Phase::Code { until, swept } => self.wait_for_the_code(shim, until, swept, now),
                Phase::Record(exited) => self.write(shim, exited),
                Phase::Writing(exited, writing) => self.await_record(shim, exited, writing, now),
                Phase::Replaced | Phase::Done => (phase, false),
            };
            let done = matches!(phase, Phase::Done);
            self.phase = Some(phase);
            if !go_on {
                return done;
            }
        }
    }

    fn first_phase(&mut self, shim: &mut Shim, now: Instant) -> Phase {
        let may_be_replaced = self.cause == ExitCause::Code(0) && shim.spec.port.is_some() && !shim.asked;
        if may_be_replaced && !self.nothing_is_left(shim) {
            return Phase::Replacing { until: now + REPLACED_WITHIN };
        }
        self.begin_sweep(shim, now)
    }

    fn begin_sweep(&mut self, shim: &mut Shim, now: Instant) -> Phase {
        let sweep = match shim.killing.take() {
            Some(killing) => killing.sweep,
            None => Sweep::new(shim.scope(), Duration::from_millis(shim.spec.stop.sweep_ms), now),
        };
        Phase::Sweeping(Box::new(sweep))
    }

    /// For the first shim of a run an empty list of children is the proof.
    fn nothing_is_left(&self, shim: &Shim) -> bool {
        shim.subreaper && matches!(shim.main.tie, Tie::Child) && !shim.reap_beside_main()
    }

    fn look_for_a_successor(&mut self, shim: &mut Shim, until: Instant, now: Instant) -> (Phase, bool) {
        if self.nothing_is_left(shim) || now >= until || shim.asked {
            return (self.begin_sweep(shim, now), true);
        }
        if let Some(heir) = listening_member(shim) {
            shim.take_over(heir);
            return (Phase::Replaced, false);
        }
        self.next = now + REPLACED_PAUSE;
        (Phase::Replacing { until }, false)
    }

    fn sweep(&mut self, shim: &mut Shim, mut sweep: Box<Sweep>, now: Instant) -> (Phase, bool) {
        // Ordered while it was already under way.
        if shim.killing.take().is_some() {
            sweep.kill_now(now);
        }
        if shim.spare_nobody {
            sweep.spare_nobody();
        }
        let step = if self.nothing_is_left(shim) { Ok(sweep.nothing_left()) } else { sweep.step(now) };
        match step {
            Ok(Step::Again(at)) => {
                self.next = at;
                (Phase::Sweeping(sweep), false)
            }
            Ok(Step::Done(swept)) => (Phase::Code { until: self.ended + CODE_WITHIN, swept }, true),
            Err(error) => {
                crate::say(&format_args!("the process table cannot be read: {error}"));
                self.next = now + RECORD_PAUSE;
                (Phase::Sweeping(sweep), false)
            }
        }
    }

    fn wait_for_the_code(
        &mut self,
        shim: &mut Shim,
        until: Instant,
        swept: Swept,
        now: Instant,
    ) -> (Phase, bool) {
        if self.cause == ExitCause::Unknown
            && let Tie::Watched(Some(watch)) = &shim.main.tie
        {
            match watch.exit_code() {
                Some(ended) => self.cause = cause(ended),
                None if now < until => {
                    self.next = now + CODE_PAUSE;
                    return (Phase::Code { until, swept }, false);
                }
                None => {}
            }
        }
        (Phase::Record(self.bury(shim, swept)), true)
    }

    /// Everything of the run is dead: its last words, its exit, what it used.
    fn bury(&mut self, shim: &mut Shim, swept: Swept) -> Exited {
        let _ = os::failpoint!("shim.bury");
        let killed =
            matches!(self.cause, ExitCause::Signal(KILLED)) || self.cause == ExitCause::Code(128 + KILLED);
        let out_of_memory = if killed && !shim.asked { shim.kills.happened() } else { Some(false) };
        let usage = shim.main.reap();
        let note = if out_of_memory == Some(true) { ", out of memory" } else { "" };
        shim.output.ended(shim.spec.run, format!("{}{note}", self.cause));
        Exited {
            cause: self.cause.clone(),
            at_ms: self.at_ms,
            uptime_ms: u64::try_from(self.ended.saturating_duration_since(shim.began).as_millis())
                .unwrap_or(u64::MAX),
            asked: shim.asked,
            out_of_memory,
            usage,
            swept: swept.ended,
            left_running: swept.left_running,
            unkillable: swept.unkillable,
        }
    }

    /// The record, behind the last line of the log.
    fn write(&mut self, shim: &mut Shim, exited: Exited) -> (Phase, bool) {
        let result = Arc::new(Mutex::new(Ok(())));
        let (path, record, known) = (shim.dir.exited(), exited.clone(), Arc::clone(&result));
        let number = shim.output.give(Box::new(move |_| {
            let written = record::write(&path, &record, Durability::Rename);
            *known.lock().unwrap_or_else(PoisonError::into_inner) = written;
        }));
        (Phase::Writing(exited, Writing { number, result }), true)
    }

    /// The record, then the report. A disk that takes no record, or does not answer, does not hold up a daemon that is
    /// there to be told; without one the shim stays and tries again, for nobody else knows how the run ended.
    fn await_record(
        &mut self,
        shim: &mut Shim,
        exited: Exited,
        writing: Writing,
        now: Instant,
    ) -> (Phase, bool) {
        let patience = if self.told { Duration::ZERO } else { PATIENCE };
        let done = shim.output.is_done(writing.number, patience);
        let lines = shim.output.take_lost();
        if lines > 0 {
            shim.clients.tell(&Report::Dropped { lines });
        }
        if !std::mem::replace(&mut self.told, true) {
            let report = Report::Exited(exited.clone());
            shim.clients.set_news(vec![report.clone()]);
            self.heard = !shim.clients.is_empty();
            shim.clients.tell(&report);
        }
        if !done {
            // What it said last is not logged either. Whoever had to know does.
            self.next = now + RECORD_PAUSE;
            return (Phase::Writing(exited, writing), false);
        }
        let mut result = writing.result.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = std::mem::replace(&mut *result, Ok(())) else { return (Phase::Done, false) };
        if !std::mem::replace(&mut self.complained, true) {
            crate::say(&error);
        }
        // With a daemon to tell, or with the whole folder removed, nobody waits for a record.
        if self.heard || !shim.clients.is_empty() || !shim.dir.path().exists() {
            return (Phase::Done, false);
        }
        self.next = now + RECORD_PAUSE;
        (Phase::Record(exited), false)
    }

    /// After the report: nothing of this has to be done, all of it is tidy.
    pub(crate) fn finish(self, shim: Shim) {
        let _ = os::failpoint!("shim.finish");
        shim.clients.close();
        for leftover in [shim.dir.spool(), shim.dir.out(), shim.dir.err()] {
            let _ = std::fs::remove_file(leftover);
        }
    }
}

/// A member of the tree that listens on the service's port.
fn listening_member(shim: &Shim) -> Option<i32> {
    let listeners = os::ports::listeners(shim.spec.port?).ok()?;
    if listeners.is_empty() {
        return None;
    }
    let tree = members(&shim.scope()).ok()?;
    let pids: Vec<i32> = tree.members.iter().map(|process| process.pid).collect();
    let (holder, _) = os::ports::holders(&listeners, Some(&pids)).ok()?.into_iter().min()?;
    // Workers share the socket of the process that made them: the one right below us is the service.
    let mut pid = holder;
    while let Some(process) = tree.members.iter().find(|process| process.pid == pid) {
        if process.ppid == shim.me.pid {
            return Some(pid);
        }
        pid = process.ppid;
    }
    Some(holder)
}

impl Shim {
    /// Another process of the tree is the service from now on.
    fn take_over(&mut self, pid: i32) {
        let Ok(Some(info)) = os::process::info(pid) else { return };
        let Ok(identity) = info.identity() else { return };
        let started_ms = self.main.started_ms;
        let started = Started { main: identity.clone(), shim: self.me.clone(), at_ms: started_ms };
        let path = self.dir.started();
        self.output.have_done(Box::new(move |_| {
            if let Err(error) = record::write(&path, &started, Durability::Rename) {
                // A successor would look for the old process, find it dead, and end the run.
                crate::say(&error);
            }
        }));
        self.main.reap();
        let is_child = info.ppid == self.me.pid;
        self.main = if is_child {
            MainProcess { identity, group: info.pgid, tie: Tie::Child, started_ms }
        } else {
            MainProcess::watched(identity, info.pgid, started_ms)
        };
        self.output.say(format!("run {} goes on as pid {pid}", self.spec.run));
        self.clients.tell(&Report::Replaced { pid });
        self.clients.set_news(vec![Report::Started { pid, at_ms: started_ms }]);
    }
}
