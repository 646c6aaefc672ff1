//! One service: what it is made of, and what may be read of it.

use crate::action::Turn;
use crate::budget::Budget;
use crate::restore::Unsettled;
use crate::waiting::Waiting;
use crate::{Action, Goal, Millis, Phase, RunId};

/// One service, from the first `start` on for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service {
    pub(crate) goal: Goal,
    pub(crate) phase: Phase,
    /// When the phase was entered.
    pub(crate) since: Millis,
    /// The highest run number ever given away.
    pub(crate) last_run: RunId,
    pub(crate) waiting: Waiting,
    pub(crate) budget: Budget,
    /// Restarts since somebody last asked.
    pub(crate) restarts: u64,
    /// While spawning: a server started by hand was seen, so `Blocked` would mean `External`.
    pub(crate) hand_started: bool,
    /// What a restored service has to do at its first step.
    pub(crate) unsettled: Option<Unsettled>,
}

impl Service {
    /// A service that nobody has ever wanted to run.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the user wants.
    pub const fn goal(&self) -> Goal {
        self.goal
    }

    /// Where it is.
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// When it got there.
    pub const fn since(&self) -> Millis {
        self.since
    }

    /// The run that lives or is being made.
    pub const fn run(&self) -> Option<RunId> {
        self.phase.run()
    }

    /// The highest run number given away so far, living or not.
    pub const fn last_run(&self) -> RunId {
        self.last_run
    }

    /// Restarts decided on since somebody last asked for a start.
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Failures since the last healthy stretch or request; what a start limit counts.
    pub const fn failures(&self) -> u32 {
        self.budget.failures
    }

    /// How many wait for an answer.
    pub const fn waiting(&self) -> usize {
        self.waiting.0.len()
    }

    /// When the next attempt is due without further news.
    pub const fn next_try(&self) -> Option<Millis> {
        match self.phase {
            Phase::Backoff { until } => Some(until),
            Phase::Blocked { retry, .. } => retry,
            Phase::Quiet { until } => until,
            Phase::Down
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Stopping { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External => None,
        }
    }

    /// When a step with [`Event::Deadline`](crate::Event::Deadline) is due; none when only an event can change
    /// anything. After a step it is later than that step's `now`.
    pub fn deadline(&self) -> Option<Millis> {
        let unsettled = self.unsettled.map(|_| self.since);
        // The end of time stands for "never": a limit that large was not meant as a date.
        [unsettled, self.phase.deadline(), self.waiting.deadline()]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| *at < Millis::MAX)
    }

    /// The only writer of the phase.
    pub(crate) fn enter(&mut self, phase: Phase, turn: &Turn<'_>) {
        self.phase = phase;
        self.since = turn.now;
        self.hand_started = false;
    }

    pub(crate) fn spawn(&mut self, turn: &mut Turn<'_>) {
        let run = self.next_run(turn);
        turn.act(Action::Spawn { run });
    }

    /// The only maker of runs. Called where no run lives, and nowhere else.
    pub(crate) fn next_run(&mut self, turn: &Turn<'_>) -> RunId {
        let run = self.last_run.next();
        self.last_run = run;
        self.enter(Phase::Spawning { run }, turn);
        run
    }
}
