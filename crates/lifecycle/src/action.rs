//! What a step wants done, and the notebook a step writes it into.

use alloc::vec::Vec;

use crate::{Goal, Millis, Policy, RequestId, RunId};

/// Something to do. A step returns them in the order in which they are to be done: what must be recorded, then
/// what acts, then the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The user wants something else now; record it.
    GoalChanged(Goal),
    /// Make a process (the port check is part of it). Asks for exactly one `Spawned`, `Blocked` or `Exited`.
    Spawn {
        /// The new run.
        run: RunId,
    },
    /// Take the server that somebody started by hand for a run of ours. Asks for exactly one `Spawned`, `Blocked` or
    /// `Exited`, as a spawn does.
    Adopt {
        /// The new run.
        run: RunId,
    },
    /// Walk the stop ladder. May be asked again after a restart of the daemon.
    Stop {
        /// The run to end.
        run: RunId,
    },
    /// The ladder has had its time: kill what is left of the run. At most once per run.
    Kill {
        /// The run to end.
        run: RunId,
    },
    /// Answer somebody who asked.
    Answer {
        /// Who asked.
        request: RequestId,
        /// The answer.
        answer: Answer,
    },
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Started: it has become ready.
    Ready,
    /// It ran already; nothing was changed.
    Already,
    /// Stopped: nothing is left of it.
    Stopped,
    /// Nothing ran; nothing was stopped.
    AlreadyStopped,
    /// The run ended before it was ready. What comes next is the restart policy's.
    Failed,
    /// Something stands in the way; it goes on by itself when that is gone.
    Blocked,
    /// It lives and is not ready in time; it goes on.
    Timeout,
    /// Somebody asked for the opposite since, or the session is ending.
    Superseded,
    /// A server that somebody started by hand does the work; it is not ours to start or stop.
    External,
    /// Nobody runs it by hand, so there is nothing to adopt; nothing was changed.
    Absent,
}

/// One step in the making: when, by which rules, and what is to be done so far.
pub(crate) struct Turn<'a> {
    pub(crate) now: Millis,
    pub(crate) policy: &'a Policy,
    goal: Option<Goal>,
    acts: Vec<Action>,
    answers: Vec<Action>,
}

impl<'a> Turn<'a> {
    pub(crate) const fn new(now: Millis, policy: &'a Policy) -> Self {
        Self { now, policy, goal: None, acts: Vec::new(), answers: Vec::new() }
    }

    pub(crate) const fn after(&self, delay: Millis) -> Millis {
        self.now.saturating_add(delay)
    }

    pub(crate) const fn goal(&mut self, goal: Goal) {
        self.goal = Some(goal);
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.acts.push(action);
    }

    pub(crate) fn answer(&mut self, request: Option<RequestId>, answer: Answer) {
        if let Some(request) = request {
            self.answers.push(Action::Answer { request, answer });
        }
    }

    /// Record, act, answer: in this order, whatever the order in which the step found out.
    pub(crate) fn into_actions(self) -> Vec<Action> {
        let mut actions = self.acts;
        if let Some(goal) = self.goal {
            actions.insert(0, Action::GoalChanged(goal));
        }
        actions.extend(self.answers);
        actions
    }
}
