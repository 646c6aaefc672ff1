//! What people ask for: the only events that change the goal.
//!
//! Every request is answered exactly once. A request that finds its wish fulfilled is answered at once and
//! changes nothing; one that takes time waits; one that a later request contradicts is `Superseded`.

use crate::action::Turn;
use crate::{Action, Answer, Goal, Phase, RequestId, RunId, Service, StopReason};

impl Service {
    /// `Start`: a no-op where it runs, joined where it is on its way, tried at once everywhere else.
    pub(crate) fn start(&mut self, request: Option<RequestId>, turn: &mut Turn<'_>) {
        self.aim(Goal::Up, turn);
        match self.phase {
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Quiet { .. }
            | Phase::Finished
            | Phase::GaveUp => self.start_anew(request, turn),
            Phase::Spawning { .. } => self.wait_for_ready(request, turn),
            Phase::Starting { ready_by, .. } => self.waiting.join(request, Some(ready_by)),
            Phase::Ready { .. } => turn.answer(request, Answer::Already),
            // It runs; that it does not answer is shown, and no reason to make anybody wait.
            Phase::Unhealthy { was_ready: true, .. } => turn.answer(request, Answer::Already),
            // Its time was up for those who waited then; whoever asks again waits again.
            Phase::Unhealthy { was_ready: false, .. } => self.wait_for_ready(request, turn),
            Phase::Stopping { why, .. } => self.start_after_stop(request, why, turn),
            Phase::External => turn.answer(request, Answer::External),
        }
    }

    /// `Restart`: like `Start` where nothing runs; else the run is stopped and another one follows, unless that
    /// has happened since the run that was `seen`.
    pub(crate) fn restart(&mut self, request: Option<RequestId>, seen: Option<RunId>, turn: &mut Turn<'_>) {
        if seen.is_some_and(|seen| self.last_run > seen) {
            return self.restart_again(request, turn);
        }
        self.aim(Goal::Up, turn);
        match self.phase {
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Quiet { .. }
            | Phase::Finished
            | Phase::GaveUp => self.start_anew(request, turn),
            Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. } => {
                self.stop_run(StopReason::Restart, turn);
                self.wait_for_next_run(request, turn);
            }
            Phase::Stopping { why, .. } => self.start_after_stop(request, why, turn),
            Phase::External => turn.answer(request, Answer::External),
        }
    }

    /// A restart that has taken effect already: what it led to is what is waited for.
    fn restart_again(&mut self, request: Option<RequestId>, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Ready { .. } | Phase::Unhealthy { was_ready: true, .. } => {
                self.aim(Goal::Up, turn);
                turn.answer(request, Answer::Ready);
            }
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Unhealthy { was_ready: false, .. }
            | Phase::Stopping { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => self.start(request, turn),
        }
    }

    /// `Stop`: answered `Stopped` when nothing is left of the run.
    pub(crate) fn stop(&mut self, request: Option<RequestId>, turn: &mut Turn<'_>) {
        self.aim(Goal::Down, turn);
        match self.phase {
            Phase::Down => turn.answer(request, Answer::AlreadyStopped),
            Phase::Finished | Phase::GaveUp => {
                self.enter(Phase::Down, turn);
                turn.answer(request, Answer::AlreadyStopped);
            }
            Phase::Blocked { .. } | Phase::Backoff { .. } | Phase::Quiet { .. } => {
                self.enter(Phase::Down, turn);
                turn.answer(request, Answer::Stopped);
            }
            Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Stopping { .. } => {
                self.stop_run(StopReason::Down, turn);
                self.waiting.join(request, None);
            }
            // Nothing is ever stopped that we did not start.
            Phase::External => turn.answer(request, Answer::External),
        }
    }

    /// `Adopt`: what somebody started by hand becomes a run of ours, without an end and a beginning. Where nobody did,
    /// this is no start.
    pub(crate) fn adopt(&mut self, request: Option<RequestId>, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::External => {
                self.aim(Goal::Up, turn);
                self.forgive();
                self.wait_for_ready(request, turn);
                let run = self.next_run(turn);
                turn.act(Action::Adopt { run });
            }
            Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. } => turn.answer(request, Answer::Already),
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Stopping { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::Quiet { .. } => turn.answer(request, Answer::Absent),
        }
    }

    /// Sets the goal. Whoever waits, waits for the old one: superseded.
    fn aim(&mut self, goal: Goal, turn: &mut Turn<'_>) {
        if self.goal != goal {
            self.goal = goal;
            turn.goal(goal);
            self.waiting.answer(Answer::Superseded, turn);
        }
    }

    fn start_anew(&mut self, request: Option<RequestId>, turn: &mut Turn<'_>) {
        self.forgive();
        self.wait_for_ready(request, turn);
        self.spawn(turn);
    }

    /// A start while a run is on its way out: another one follows it. A session that ends takes no new runs.
    fn start_after_stop(&mut self, request: Option<RequestId>, why: StopReason, turn: &mut Turn<'_>) {
        match why {
            StopReason::Down | StopReason::Restart | StopReason::Dead => {
                self.stop_run(StopReason::Restart, turn);
                self.wait_for_next_run(request, turn);
            }
            StopReason::SessionEnd => turn.answer(request, Answer::Superseded),
        }
    }

    fn wait_for_ready(&mut self, request: Option<RequestId>, turn: &Turn<'_>) {
        self.waiting.join(request, Some(turn.after(turn.policy.start_timeout_ms)));
    }

    /// The same when a run must end first; those who wait already wait for that one too.
    fn wait_for_next_run(&mut self, request: Option<RequestId>, turn: &Turn<'_>) {
        self.forgive();
        let allowance = turn.policy.stop_allowance_ms.saturating_add(turn.policy.start_timeout_ms);
        self.waiting.join(request, None);
        self.waiting.wait_until(turn.after(allowance));
    }

    /// A person asked for a start: the counters begin anew.
    fn forgive(&mut self) {
        self.budget.forgive();
        self.restarts = 0;
    }

    /// Has the run end, for this reason. One that is ending already keeps its ladder and takes the new reason; one
    /// that is not known to live yet is asked as soon as it is.
    pub(crate) fn stop_run(&mut self, reason: StopReason, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Spawning { run } => {
                self.enter(Phase::Stopping { run, why: reason, killed: false, kill_at: None }, turn);
            }
            Phase::Starting { run, .. } | Phase::Ready { run, .. } | Phase::Unhealthy { run, .. } => {
                self.walk_ladder(run, reason, turn);
            }
            Phase::Stopping { ref mut why, .. } => *why = reason,
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External
            | Phase::Quiet { .. } => {}
        }
    }

    /// Asks a living run to end.
    pub(crate) fn walk_ladder(&mut self, run: RunId, why: StopReason, turn: &mut Turn<'_>) {
        let kill_at = Some(turn.after(turn.policy.stop_allowance_ms));
        self.unsettled = None;
        self.enter(Phase::Stopping { run, why, killed: false, kill_at }, turn);
        turn.act(Action::Stop { run });
    }
}
