//! A story: events at made-up times, and after each of them what is to be done and where the service is.

use lifecycle::{
    Action, Answer, Block, Event, Exit, Goal, Millis, Phase, Policy, RequestId, RunId, Service, StopReason,
};

/// Ready within 10 s or late, ladders of 5 s, everything else as users expect it.
pub(crate) fn policy() -> Policy {
    Policy { start_timeout_ms: 10_000, stop_allowance_ms: 5_000, ..Policy::default() }
}

pub(crate) struct Story {
    pub(crate) service: Service,
    policy: Policy,
}

impl Story {
    /// A service nobody has wanted so far.
    pub(crate) fn of(policy: Policy) -> Self {
        Self { service: Service::new(), policy }
    }

    pub(crate) fn restored(service: Service, policy: Policy) -> Self {
        Self { service, policy }
    }

    /// It was started at 0, without anybody waiting, and is ready as run 1.
    pub(crate) fn of_ready(policy: Policy) -> Self {
        Self::of(policy)
            .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
            .then(0, spawned(1), &[], "starting 1")
            .then(0, ready(1), &[], "ready 1")
    }

    /// At `at` this happens; these things are to be done, and it is there.
    #[track_caller]
    pub(crate) fn then(mut self, at: Millis, event: Event, actions: &[Action], phase: &str) -> Self {
        let done = self.service.step(event, at, &self.policy);
        assert_eq!(done, actions, "{event:?} at {at}, now {}", name(&self.service));
        assert_eq!(name(&self.service), phase, "{event:?} at {at}");
        self
    }

    /// The same when nothing is to be done.
    #[track_caller]
    pub(crate) fn quietly(self, at: Millis, event: Event, phase: &str) -> Self {
        self.then(at, event, &[], phase)
    }

    /// Its next deadline.
    #[track_caller]
    pub(crate) fn due(self, at: Option<Millis>) -> Self {
        assert_eq!(self.service.deadline(), at, "{}", name(&self.service));
        self
    }
}

/// The phase as people would say it.
pub(crate) fn name(service: &Service) -> String {
    match *service.phase() {
        Phase::Down => "down".into(),
        Phase::Blocked { why, .. } => match why {
            Block::Port => "blocked: port".into(),
            Block::Exec => "blocked: exec".into(),
            Block::Machine => "blocked: machine".into(),
            Block::After => "blocked: after".into(),
            Block::Refused => "blocked: refused".into(),
        },
        Phase::Spawning { run } => format!("spawning {}", run.0),
        Phase::Starting { run, .. } => format!("starting {}", run.0),
        Phase::Ready { run, .. } => format!("ready {}", run.0),
        Phase::Unhealthy { run, was_ready: true, .. } => format!("unhealthy {}", run.0),
        Phase::Unhealthy { run, was_ready: false, .. } => format!("late {}", run.0),
        Phase::Stopping { run, why, killed, .. } => {
            let what = if killed { "killed" } else { "stopping" };
            let next = match why {
                StopReason::Down => "down",
                StopReason::Restart => "restart",
                StopReason::Dead => "dead",
                StopReason::SessionEnd => "session end",
            };
            format!("{what} {}: {next}", run.0)
        }
        Phase::Backoff { .. } => "backoff".into(),
        Phase::Finished => "finished".into(),
        Phase::GaveUp => "gave up".into(),
        Phase::External => "external".into(),
        Phase::Quiet { .. } => "quiet".into(),
    }
}

pub(crate) const START: Event = Event::Start { request: None };
pub(crate) const STOP: Event = Event::Stop { request: None };
pub(crate) const RESTART: Event = Event::Restart { request: None, seen: None };
pub(crate) const APPEARS: Event = Event::External { present: true };
pub(crate) const GOES: Event = Event::External { present: false };
pub(crate) const COLLISION: Exit = Exit { collision: true, ..Exit::FAILURE };
pub(crate) const NOT_EXECUTED: Exit = Exit { exec_failed: true, ..Exit::FAILURE };
pub(crate) const MACHINE: Exit = Exit { machine: true, ..Exit::FAILURE };
pub(crate) const SESSION_END: Exit = Exit { session_end: true, ..Exit::FAILURE };

pub(crate) fn start(request: u64) -> Event {
    Event::Start { request: Some(RequestId(request)) }
}

pub(crate) fn stop(request: u64) -> Event {
    Event::Stop { request: Some(RequestId(request)) }
}

pub(crate) fn restart(request: u64) -> Event {
    Event::Restart { request: Some(RequestId(request)), seen: None }
}

pub(crate) fn adopt(request: u64) -> Event {
    Event::Adopt { request: Some(RequestId(request)) }
}

pub(crate) fn spawned(run: u64) -> Event {
    Event::Spawned { run: RunId(run) }
}

pub(crate) fn blocked(run: u64, why: Block) -> Event {
    Event::Blocked { run: RunId(run), why }
}

pub(crate) fn ready(run: u64) -> Event {
    Event::Ready { run: RunId(run) }
}

pub(crate) fn silent(run: u64) -> Event {
    Event::Silent { run: RunId(run) }
}

pub(crate) fn dead(run: u64) -> Event {
    Event::Dead { run: RunId(run) }
}

pub(crate) fn exited(run: u64, exit: Exit) -> Event {
    Event::Exited { run: RunId(run), exit }
}

/// It fails.
pub(crate) fn crash(run: u64) -> Event {
    exited(run, Exit::FAILURE)
}

pub(crate) fn goal(goal: Goal) -> Action {
    Action::GoalChanged(goal)
}

pub(crate) fn spawn(run: u64) -> Action {
    Action::Spawn { run: RunId(run) }
}

pub(crate) fn adopted(run: u64) -> Action {
    Action::Adopt { run: RunId(run) }
}

pub(crate) fn end(run: u64) -> Action {
    Action::Stop { run: RunId(run) }
}

pub(crate) fn kill(run: u64) -> Action {
    Action::Kill { run: RunId(run) }
}

pub(crate) fn answer(request: u64, answer: Answer) -> Action {
    Action::Answer { request: RequestId(request), answer }
}
