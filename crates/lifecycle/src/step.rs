//! The one way in: an event, a moment, a policy; out come the actions.

use alloc::vec::Vec;

use crate::action::Turn;
use crate::restore::Unsettled;
use crate::{Action, Event, Millis, Policy, Service};

impl Service {
    /// Takes what happened and says what is to be done, in that order.
    ///
    /// First the conclusions a restored service still owes, then the event, then whatever is due by `now`: so a
    /// report that comes together with a deadline wins, and a stop that comes together with a retry does too.
    pub fn step(&mut self, event: Event, now: Millis, policy: &Policy) -> Vec<Action> {
        let mut turn = Turn::new(now, policy);
        self.settle(&mut turn);
        match event {
            Event::Start { request } => self.start(request, &mut turn),
            Event::Stop { request } => self.stop(request, &mut turn),
            Event::Restart { request, seen } => self.restart(request, seen, &mut turn),
            Event::Adopt { request } => self.adopt(request, &mut turn),
            Event::Spawned { run } if self.concerns(run) => self.spawned(run, &mut turn),
            Event::Blocked { run, why } if self.concerns(run) => self.not_spawned(run, why, &mut turn),
            Event::Ready { run } if self.concerns(run) => self.answers(run, &mut turn),
            Event::Silent { run } if self.concerns(run) => self.silent(&mut turn),
            Event::Dead { run } if self.concerns(run) => self.dead(&mut turn),
            Event::Exited { run, exit } if self.concerns(run) => self.exited(run, exit, &mut turn),
            // A report of an older run changes nothing.
            Event::Spawned { .. }
            | Event::Blocked { .. }
            | Event::Ready { .. }
            | Event::Silent { .. }
            | Event::Dead { .. }
            | Event::Exited { .. } => {}
            Event::Unblocked => self.unblocked(&turn),
            Event::SourceChanged => self.source_changed(&turn),
            Event::External { present } => self.external(present, &mut turn),
            Event::SessionEnding => self.session_ending(&mut turn),
            Event::Deadline => {}
        }
        self.expire(&mut turn);
        turn.into_actions()
    }

    /// Whether a report speaks of the run that lives or is being made.
    fn concerns(&self, run: crate::RunId) -> bool {
        self.phase.run() == Some(run)
    }

    /// What should have been known before the event: the end of a run that nobody has drawn conclusions from yet,
    /// since when a port is quiet, and that the time to get ready is over (nobody who asks from now on is to be turned away for it).
    fn settle(&mut self, turn: &mut Turn<'_>) {
        match self.unsettled {
            Some(Unsettled::Ended { exit, uptime_ms }) => {
                self.unsettled = None;
                self.ended(self.last_run, exit, uptime_ms, turn);
            }
            Some(Unsettled::Quiet) => {
                self.unsettled = None;
                self.leave_quiet(turn);
            }
            Some(Unsettled::Ask) | None => {}
        }
        self.check_start_deadline(turn);
    }
}
