//! Whether shims still do their work. One that is dead is told by the end of its connection; one that hangs says nothing, so
//! it is asked, but only when there is a reason: it is suspended, it leaves output unread, or it has been ordered something.
//! One that does not answer is ended and replaced like one that died.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lifecycle::RunId;
use os::process::{Liveness, Signal};
use run::protocol::Order;
use tracing::warn;

use crate::daemon::Daemon;
use crate::input::{Input, Key};
use crate::service::LiveRun;

/// How often it is looked whether an answer has come. The first look proves nothing: this daemon may have been
/// suspended together with its shims.
const LOOK: Duration = Duration::from_secs(1);
/// Looks after which a shim that is suspended is replaced.
const LOOKS_AT_SUSPENDED: u32 = 2;
/// Looks after which any is. On a machine without time to spare an answer takes long.
const LOOKS: u32 = 15;

/// What is known of the hearing of a shim.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// It answers when it is asked; those of the first release do not.
    pub(crate) answers: bool,
    /// There was output that it had not read, when that was last looked at.
    behind: bool,
    /// Questions so far.
    asked: u32,
    /// Since when the last one is unanswered.
    waiting: Option<Instant>,
}

impl Hearing {
    /// For people: whether it does not answer. A moment is nothing to tell of.
    pub(crate) fn is_silent(&self) -> bool {
        self.waiting.is_some_and(|since| since.elapsed() >= LOOK)
    }
}

impl Daemon {
    /// Looks for reasons to ask, with the slow look at what is ready. Whether there is any shim.
    pub(crate) fn look_at_shims(&mut self) -> bool {
        let mut any = false;
        let mut doubtful = Vec::new();
        for workspace in self.workspaces.values_mut() {
            for (name, service) in workspace.services.iter_mut() {
                let Some(live) = &mut service.live else { continue };
                any = true;
                if has_reason(live) {
                    let key = Key { workspace: Arc::clone(&workspace.id), service: Arc::clone(name) };
                    doubtful.push((key, live.run));
                }
            }
        }
        for (key, run) in doubtful {
            self.ask_the_shim(&key, run);
        }
        any
    }

    /// Asks a shim for a sign of life, if it can give one and is not being asked.
    pub(crate) fn ask_the_shim(&mut self, key: &Key, run: RunId) {
        let Some(live) = self.live_run(key, run) else { return };
        if !live.hearing.answers || live.hearing.waiting.is_some() {
            return;
        }
        live.hearing.asked = live.hearing.asked.wrapping_add(1);
        live.hearing.waiting = Some(Instant::now());
        let number = live.hearing.asked;
        let _ = live.orders.send(Order::Ping { number });
        self.look_for_the_answer(key, run, number, 1);
    }

    fn look_for_the_answer(&self, key: &Key, run: RunId, number: u32, look: u32) {
        let (inputs, key) = (self.inputs.clone(), key.clone());
        crate::tasks::spawn(async move {
            tokio::time::sleep(LOOK).await;
            let _ = inputs.send(Input::Unanswered { key, run, number, look });
        });
    }

    pub(crate) fn on_pong(&mut self, key: &Key, run: RunId, number: u32) {
        let Some(live) = self.live_run(key, run).filter(|live| live.hearing.asked == number) else { return };
        let was_silent = live.hearing.is_silent();
        live.hearing.waiting = None;
        if was_silent {
            self.touch();
        }
    }

    pub(crate) fn on_unanswered(&mut self, key: &Key, run: RunId, number: u32, look: u32) {
        let Some(live) = self.live_run(key, run) else { return };
        if live.hearing.asked != number || live.hearing.waiting.is_none() {
            return;
        }
        let suspended =
            live.shim.as_ref().is_some_and(|shim| matches!(shim.liveness(), Ok(Liveness::Stopped)));
        if look >= LOOKS || (suspended && look >= LOOKS_AT_SUSPENDED) {
            live.hearing.waiting = None;
            warn!(%key, run = run.0, suspended, "its shim does not answer and is replaced");
            match &live.shim {
                // The end of its connection is what follows.
                Some(shim) => drop(shim.signal(Signal::SIGKILL)),
                None => {
                    let lock = live.dir.lock();
                    crate::tasks::blocking(move || crate::shim_link::kill_owner(&lock));
                }
            }
        } else {
            self.look_for_the_answer(key, run, number, look + 1);
        }
        self.touch();
    }

    fn live_run(&mut self, key: &Key, run: RunId) -> Option<&mut LiveRun> {
        self.service_mut(key)?.live.as_mut().filter(|live| live.run == run)
    }
}

/// Whether there is any doubt that it works. Costs two questions to the kernel for each pipe, and one for the process.
fn has_reason(live: &mut LiveRun) -> bool {
    let unread = |pipe: &std::os::fd::OwnedFd| os::fifo::available(pipe).is_ok_and(|bytes| bytes > 0);
    let behind = live.pipes.as_ref().is_some_and(|pipes| pipes.iter().any(unread));
    let was_behind = std::mem::replace(&mut live.hearing.behind, behind);
    let suspended = live.shim.as_ref().is_some_and(|shim| matches!(shim.liveness(), Ok(Liveness::Stopped)));
    suspended || (behind && was_behind)
}
