//! What the world around a service does: relief, edits, servers started by hand, the end of the session.

use crate::action::Turn;
use crate::{Answer, Block, Goal, Millis, Phase, Restart, Service, StopReason};

impl Service {
    /// What blocked it is gone: tried at once, except that a run that found its port taken only after it lived
    /// keeps the distance of a failure to the next one.
    pub(crate) fn unblocked(&mut self, turn: &Turn<'_>) {
        match self.phase {
            Phase::Blocked { ref mut retry, .. } => {
                let earliest = self.budget.earliest(turn.now);
                *retry = Some(retry.map_or(earliest, |at| at.min(earliest)));
            }
            Phase::Down
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Stopping { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    /// Somebody edited: where its own files may be what fails, it is tried at once. The delays go on growing, and
    /// edits that follow closely are tried together, so a service that writes its own sources is no storm.
    pub(crate) fn source_changed(&mut self, turn: &Turn<'_>) {
        match self.phase {
            Phase::Backoff { ref mut until } => *until = self.budget.edited(turn.now, *until),
            Phase::Blocked { why: Block::Exec | Block::Refused, ref mut retry, .. } => {
                let at = self.budget.edited(turn.now, retry.unwrap_or(Millis::MAX));
                *retry = Some(at);
            }
            Phase::GaveUp => match turn.policy.restart {
                Restart::Never => {}
                Restart::OnFailure | Restart::Always => {
                    let until = self.budget.edited(turn.now, Millis::MAX);
                    self.restarts = self.restarts.saturating_add(1);
                    self.enter(Phase::Backoff { until }, turn);
                }
            },
            // No edit frees a port, mends the machine or readies another service.
            Phase::Blocked { why: Block::Port | Block::Machine | Block::After, .. }
            | Phase::Down
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Stopping { .. }
            | Phase::Finished
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    /// A server of this workspace that somebody started by hand has appeared or gone. It counts where nothing of
    /// ours runs; while it is there nothing is started, and when it goes the goal decides.
    pub(crate) fn external(&mut self, present: bool, turn: &mut Turn<'_>) {
        match (self.phase, present) {
            (
                Phase::Backoff { .. }
                | Phase::Blocked { .. }
                | Phase::Quiet { .. }
                | Phase::Finished
                | Phase::GaveUp,
                true,
            ) => {
                self.enter(Phase::External, turn);
                self.waiting.answer(Answer::External, turn);
            }
            (Phase::Down, true) => match self.goal {
                Goal::Down => self.enter(Phase::External, turn),
                // The session is over; nothing here may lead to a start.
                Goal::Up => {}
            },
            (Phase::External, false) => match self.goal {
                Goal::Up => self.leave_quiet(turn),
                Goal::Down => self.enter(Phase::Down, turn),
            },
            // It was in use once more: the wait begins anew.
            (Phase::Quiet { .. }, false) => self.leave_quiet(turn),
            // If this attempt turns out to be blocked, this is by what.
            (Phase::Spawning { .. }, present) => self.hand_started = present,
            // Known already, or nothing that waits for it.
            (Phase::External, true)
            | (Phase::Down | Phase::Backoff { .. } | Phase::Blocked { .. }, false)
            | (Phase::Finished | Phase::GaveUp, false)
            | (
                Phase::Starting { .. }
                | Phase::Ready { .. }
                | Phase::Unhealthy { .. }
                | Phase::Stopping { .. },
                _,
            ) => {}
        }
    }

    /// A person who ends a server by Ctrl-C mostly wants to start it again: the port is theirs for a while.
    pub(crate) fn leave_quiet(&mut self, turn: &mut Turn<'_>) {
        let earliest = self.budget.earliest(turn.now);
        let until = turn.policy.takeover_ms.map(|quiet| turn.after(quiet).max(earliest));
        self.enter(Phase::Quiet { until }, turn);
    }

    /// The session ends: what lives is stopped, nothing is started any more, the goal stays for the next one.
    pub(crate) fn session_ending(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            // It is to end for good; those who wait for that will be told when it has.
            Phase::Stopping { why: StopReason::Down | StopReason::SessionEnd, .. } => {}
            Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Stopping { why: StopReason::Restart | StopReason::Dead, .. } => {
                self.stop_run(StopReason::SessionEnd, turn);
                self.waiting.answer(Answer::Superseded, turn);
            }
            Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {
                self.enter(Phase::Down, turn);
                self.waiting.answer(Answer::Superseded, turn);
            }
            // Nothing lives and nothing waits to be started.
            Phase::Down | Phase::Finished => {}
        }
    }
}
