//! A service as a new daemon finds it: everything a dead daemon knew is read back from the journal.

use crate::{Exit, Goal, Life, Millis, Phase, RunId, Service, StopReason};

/// What the journal and the machine say about a service's last run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restored {
    /// No run of this boot; or its end is settled and does not matter (login, boot). With goal `Up` it starts.
    #[default]
    Nothing,
    /// No run of this session, and in this session nothing is to be started before somebody asks.
    Resting,
    /// The run lives.
    Alive {
        /// Which.
        run: RunId,
        /// It was ready when it was last seen.
        ready: bool,
        /// Its end is under way.
        stopping: bool,
        /// How long it has lived, in milliseconds.
        uptime_ms: Millis,
    },
    /// The run ended and nobody has drawn the conclusions; they are drawn at the first step.
    Ended {
        /// Which.
        run: RunId,
        /// How.
        exit: Exit,
        /// How long it lived, in milliseconds.
        uptime_ms: Millis,
    },
    /// It ended by itself, cleanly, and is to stay so.
    Finished,
    /// It was given up.
    GaveUp,
    /// A server that somebody started by hand did its work, or had just ended: the port is theirs for a while, as
    /// if it had ended now.
    ByHand,
}

/// What restoring could not do, because it takes a policy or an action: the first step does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unsettled {
    /// Draw the conclusions from an end.
    Ended { exit: Exit, uptime_ms: Millis },
    /// Leave the port quiet for as long as the policy says.
    Quiet,
    /// Ask the living run to end (again: the shim may be a new one, and asking twice harms nobody).
    Ask,
}

impl Service {
    /// A service after a restart of the daemon. [`deadline`](Self::deadline) is `now` where something is to be
    /// done at once.
    pub fn restore(goal: Goal, last_run: RunId, restored: Restored, now: Millis) -> Self {
        let mut service = Self { goal, since: now, last_run, ..Self::default() };
        match restored {
            Restored::Nothing => service.phase = waiting_to_start(goal, now),
            Restored::Resting => service.phase = Phase::Down,
            Restored::Finished => service.phase = at_rest(goal, Phase::Finished),
            Restored::GaveUp => service.phase = at_rest(goal, Phase::GaveUp),
            Restored::ByHand => {
                service.phase = at_rest(goal, Phase::Quiet { until: None });
                service.unsettled = match goal {
                    Goal::Up => Some(Unsettled::Quiet),
                    Goal::Down => None,
                };
            }
            Restored::Ended { run, exit, uptime_ms } => {
                service.last_run = last_run.max(run);
                service.phase = waiting_to_start(goal, now);
                service.unsettled = match goal {
                    Goal::Up => Some(Unsettled::Ended { exit, uptime_ms }),
                    Goal::Down => None,
                };
            }
            Restored::Alive { run, ready, stopping, uptime_ms } => {
                service.last_run = last_run.max(run);
                let life = Life { since: now, before: uptime_ms };
                let why = match goal {
                    Goal::Down => Some(StopReason::Down),
                    // Whoever had it stopped with this goal wanted it to come back.
                    Goal::Up if stopping => Some(StopReason::Restart),
                    Goal::Up => None,
                };
                service.phase = match why {
                    Some(why) => Phase::Stopping { run, why, killed: false, kill_at: None },
                    None if ready => Phase::Ready { run, life },
                    // How long it may still take is the policy's; the first step looks.
                    None => Phase::Starting { run, life, ready_by: now },
                };
                service.unsettled = why.map(|_| Unsettled::Ask);
            }
        }
        service
    }

    /// The same with its restart budget: how many of its latest runs failed one after the other, none of them
    /// healthy (not counting one that is handed over as [`Restored::Ended`]), and how often it was restarted
    /// since somebody last asked. Without this a daemon's death would be a healthy stretch.
    #[must_use]
    pub fn with_history(mut self, failures: u32, restarts: u64) -> Self {
        self.budget.failures = failures;
        self.budget.ends = failures;
        self.restarts = restarts;
        self
    }
}

/// Not running: with goal `Up` the first step tries.
const fn waiting_to_start(goal: Goal, now: Millis) -> Phase {
    match goal {
        Goal::Up => Phase::Backoff { until: now },
        Goal::Down => Phase::Down,
    }
}

/// A way of not running that only means something to somebody who wants it to run.
const fn at_rest(goal: Goal, phase: Phase) -> Phase {
    match goal {
        Goal::Up => phase,
        Goal::Down => Phase::Down,
    }
}
