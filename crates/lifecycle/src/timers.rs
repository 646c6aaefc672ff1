//! What becomes due while nothing happens. Late is normal: only what is still true at the end of a step counts.

use crate::action::Turn;
use crate::restore::Unsettled;
use crate::{Action, Phase, Service};

impl Service {
    /// Does what is due by now. Leaves no deadline that is not in the future.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Backoff { until } if until <= turn.now => self.spawn(turn),
            Phase::Blocked { retry: Some(at), .. } if at <= turn.now => self.spawn(turn),
            Phase::Quiet { until: Some(until) } if until <= turn.now => self.spawn(turn),
            Phase::Starting { .. } => self.check_start_deadline(turn),
            Phase::Stopping { run, why, .. } if self.unsettled == Some(Unsettled::Ask) => {
                self.walk_ladder(run, why, turn);
                self.kill_if_due(turn);
            }
            Phase::Stopping { .. } => self.kill_if_due(turn),
            Phase::Backoff { .. }
            | Phase::Blocked { .. }
            | Phase::Quiet { .. }
            | Phase::Down
            | Phase::Spawning { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External => {}
        }
        self.unsettled = None;
        self.waiting.expire(turn);
    }

    /// The start deadline: those who wait are told, the run goes on and may still become ready. A run taken over
    /// from another daemon gets what is left of its time, which only the policy can tell.
    pub(crate) fn check_start_deadline(&mut self, turn: &mut Turn<'_>) {
        let Phase::Starting { run, life, ready_by } = self.phase else { return };
        if ready_by > turn.now {
            return;
        }
        let left = turn.policy.start_timeout_ms.saturating_sub(life.uptime(turn.now));
        if !turn.policy.probed {
            self.ready(run, life, turn);
        } else if left > 0 {
            self.phase = Phase::Starting { run, life, ready_by: turn.after(left) };
        } else {
            self.enter(Phase::Unhealthy { run, life, was_ready: false }, turn);
        }
    }

    /// The ladder has had its time. One kill per run; what survives it is waited for, for ever.
    fn kill_if_due(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Stopping { run, killed, kill_at, .. } = &mut self.phase
            && kill_at.is_some_and(|at| at <= turn.now)
        {
            *killed = true;
            *kill_at = None;
            turn.act(Action::Kill { run: *run });
        }
    }
}
