//! What is reported of the present run. (Reports of older runs do not get here.)

use crate::action::Turn;
use crate::budget::Budget;
use crate::event::Verdict;
use crate::{Answer, Block, Exit, Life, Millis, Phase, Restart, RunId, Service, StopReason};

impl Service {
    /// The process lives.
    pub(crate) fn spawned(&mut self, run: RunId, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Spawning { .. } if turn.policy.probed => {
                let ready_by = turn.after(turn.policy.start_timeout_ms);
                let life = Life { since: turn.now, before: 0 };
                self.waiting.wait_until(ready_by);
                self.enter(Phase::Starting { run, life, ready_by }, turn);
            }
            // Nobody will say when it is ready: running is ready.
            Phase::Spawning { .. } => {
                self.ready(run, Life { since: turn.now, before: 0 }, turn);
            }
            // It was to end before it had begun; now there is something to stop.
            Phase::Stopping { why, killed: false, kill_at: None, .. } => self.walk_ladder(run, why, turn),
            // Known already.
            Phase::Stopping { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    /// No process came to life: the answer to a spawn, or the truth about a run that a dead daemon believed alive.
    pub(crate) fn not_spawned(&mut self, run: RunId, why: Block, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. } => self.blocked(run, why, turn),
            Phase::Stopping { why, .. } => self.gone(why, Exit::FAILURE, turn),
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    /// Its own listener answers.
    pub(crate) fn answers(&mut self, run: RunId, turn: &mut Turn<'_>) {
        match self.phase {
            // What answers lives: `Spawned` is merely late.
            Phase::Spawning { .. } => self.ready(run, Life { since: turn.now, before: 0 }, turn),
            Phase::Stopping { why, killed: false, kill_at: None, .. } => self.walk_ladder(run, why, turn),
            Phase::Starting { life, .. } | Phase::Unhealthy { life, .. } => self.ready(run, life, turn),
            // Known already; or it is to end all the same.
            Phase::Ready { .. }
            | Phase::Stopping { .. }
            | Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    pub(crate) fn ready(&mut self, run: RunId, life: Life, turn: &mut Turn<'_>) {
        self.enter(Phase::Ready { run, life }, turn);
        self.waiting.answer(Answer::Ready, turn);
    }

    /// All alive, no answer: shown, never restarted. A breakpoint looks the same. One that is starting is said to be
    /// silent only when nothing is left that could answer: nobody waits for its deadline.
    pub(crate) fn silent(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Ready { run, life } => {
                self.enter(Phase::Unhealthy { run, life, was_ready: true }, turn);
            }
            Phase::Starting { run, life, .. } => {
                self.enter(Phase::Unhealthy { run, life, was_ready: false }, turn);
                self.waiting.answer(Answer::Timeout, turn);
            }
            // It has not answered so far either.
            Phase::Spawning { .. }
            | Phase::Unhealthy { .. }
            | Phase::Stopping { .. }
            | Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    /// Proven dead: what is left of it is ended, and it counts as a failure.
    pub(crate) fn dead(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Ready { run, life } | Phase::Unhealthy { run, life, .. } => match turn.policy.restart {
                // Nobody wants it restarted, so nobody gains by its end.
                Restart::Never => self.silent(turn),
                Restart::OnFailure | Restart::Always => {
                    // Counted here: the time its end will take is no sign of health.
                    self.budget.ended_after(life.uptime(turn.now), turn.policy);
                    self.walk_ladder(run, StopReason::Dead, turn);
                }
            },
            // Before it is ready there is nothing a proof could rest on.
            Phase::Starting { .. }
            | Phase::Spawning { .. }
            | Phase::Stopping { .. }
            | Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    /// Nothing is left of it.
    pub(crate) fn exited(&mut self, run: RunId, exit: Exit, turn: &mut Turn<'_>) {
        match self.phase {
            // `Spawned` is late and will be stale.
            Phase::Spawning { .. } => self.ended(run, exit, 0, turn),
            Phase::Starting { life, .. } | Phase::Ready { life, .. } | Phase::Unhealthy { life, .. } => {
                self.ended(run, exit, life.uptime(turn.now), turn);
            }
            Phase::Stopping { why, .. } => self.gone(why, exit, turn),
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    /// A run ended that nobody had asked to.
    pub(crate) fn ended(&mut self, run: RunId, exit: Exit, uptime: Millis, turn: &mut Turn<'_>) {
        match exit.verdict() {
            Verdict::SessionEnd => {
                self.waiting.answer(Answer::Superseded, turn);
                self.enter(Phase::Down, turn);
            }
            Verdict::Blocked(why) => {
                if why == Block::Port {
                    self.budget.collided(turn.now, turn.policy);
                }
                self.blocked(run, why, turn);
            }
            verdict @ (Verdict::Clean | Verdict::Failure) => {
                self.budget.ended_after(uptime, turn.policy);
                self.waiting.answer(Answer::Failed, turn);
                match (turn.policy.restart, verdict == Verdict::Clean) {
                    (Restart::Never | Restart::OnFailure, true) => self.enter(Phase::Finished, turn),
                    (Restart::Never, false) => self.enter(Phase::GaveUp, turn),
                    (Restart::OnFailure, false) | (Restart::Always, _) => self.back_off(turn),
                }
            }
        }
    }

    /// A run ended that was to end; what comes next was decided then.
    fn gone(&mut self, why: StopReason, exit: Exit, turn: &mut Turn<'_>) {
        match why {
            StopReason::Down => {
                self.enter(Phase::Down, turn);
                self.waiting.answer(Answer::Stopped, turn);
            }
            StopReason::SessionEnd => self.enter(Phase::Down, turn),
            StopReason::Restart | StopReason::Dead if exit.session_end => {
                self.enter(Phase::Down, turn);
                self.waiting.answer(Answer::Superseded, turn);
            }
            StopReason::Restart => self.spawn(turn),
            StopReason::Dead => {
                self.waiting.answer(Answer::Failed, turn);
                self.back_off(turn);
            }
        }
    }

    /// A failure. A delay of nothing is over by the end of this step.
    fn back_off(&mut self, turn: &mut Turn<'_>) {
        match self.budget.failed(turn.now, turn.policy) {
            Some(until) => {
                self.restarts = self.restarts.saturating_add(1);
                self.enter(Phase::Backoff { until }, turn);
            }
            None => self.enter(Phase::GaveUp, turn),
        }
    }

    /// Something stands in the way. Not counted; those who wait are told, unless it is only a matter of order.
    fn blocked(&mut self, run: RunId, why: Block, turn: &mut Turn<'_>) {
        if self.hand_started {
            self.enter(Phase::External, turn);
            self.waiting.answer(Answer::External, turn);
            return;
        }
        let retry = match why {
            Block::Machine => Some(Budget::machine_refused(turn.now)),
            Block::Exec => Some(self.budget.not_executed(turn.now, turn.policy)),
            Block::Port | Block::After | Block::Refused => None,
        };
        self.enter(Phase::Blocked { why, run, retry }, turn);
        if why != Block::After {
            self.waiting.answer(Answer::Blocked, turn);
        }
    }
}
