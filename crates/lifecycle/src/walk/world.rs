//! One service and the world around it: which process there is, whether it was asked to end.

use alloc::vec::Vec;

use crate::budget::Budget;
use crate::phase::{Block, Life, Phase};
use crate::waiting::{Waiter, Waiting};
use crate::{Action, Event, Exit, Millis, Policy, RequestId, RunId, Service};

/// All delays are multiples of it, so the moments between now and a deadline are few.
pub(super) const TICK: Millis = 250;
/// Every state is looked at as if it were this moment.
pub(super) const NOW: Millis = 1_000_000;
/// Every state is looked at as if this had been the last run.
const LAST_RUN: RunId = RunId(10);
/// As many requests wait at once.
const REQUESTS: usize = 2;

pub(super) const EXITS: [Exit; 6] = [
    Exit::CLEAN,
    Exit::FAILURE,
    Exit { collision: true, ..Exit::FAILURE },
    Exit { exec_failed: true, ..Exit::FAILURE },
    Exit { machine: true, ..Exit::FAILURE },
    Exit { session_end: true, ..Exit::FAILURE },
];
const BLOCKS: [Block; 5] = [Block::Port, Block::Exec, Block::Machine, Block::After, Block::Refused];

/// What the world knows of the present process, by itself and not by asking the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Process {
    None,
    /// A spawn is unanswered.
    Asked(RunId),
    Alive {
        run: RunId,
        stop_asked: bool,
        killed: bool,
    },
}

impl Process {
    pub(super) fn run(self) -> Option<RunId> {
        match self {
            Self::None => None,
            Self::Asked(run) | Self::Alive { run, .. } => Some(run),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) service: Service,
    pub(super) process: Process,
}

impl World {
    /// The world a service was made or restored in.
    pub(super) fn around(service: Service) -> Self {
        let process = match service.run() {
            Some(run) => Process::Alive { run, stop_asked: false, killed: false },
            None => Process::None,
        };
        Self { service, process }
    }

    /// Steps the service and does to the world what the event means and the actions ask for.
    pub(super) fn step(&mut self, event: Event, now: Millis, policy: &Policy) -> Vec<Action> {
        match (event, self.process) {
            (Event::Spawned { run } | Event::Ready { run }, Process::Asked(asked)) if run == asked => {
                self.process = Process::Alive { run, stop_asked: false, killed: false };
            }
            (Event::Blocked { run, .. } | Event::Exited { run, .. }, process)
                if process.run() == Some(run) =>
            {
                self.process = Process::None;
            }
            _ => {}
        }
        let actions = self.service.step(event, now, policy);
        for &action in &actions {
            match action {
                Action::Spawn { run } | Action::Adopt { run } => {
                    assert_eq!(self.process, Process::None, "a second run: {run:?} {self:?}");
                    self.process = Process::Asked(run);
                }
                Action::Stop { run } => {
                    let asked = Process::Alive { run, stop_asked: false, killed: false };
                    assert_eq!(self.process, asked, "nothing to stop, or asked twice");
                    self.process = Process::Alive { run, stop_asked: true, killed: false };
                }
                Action::Kill { run } => {
                    let stopped = Process::Alive { run, stop_asked: true, killed: false };
                    assert_eq!(self.process, stopped, "killed unasked, or twice");
                    self.process = Process::Alive { run, stop_asked: true, killed: true };
                }
                Action::Answer { .. } | Action::GoalChanged(_) => {}
            }
        }
        actions
    }

    /// The moments at which an event can make a difference: at once, a tick later, when something is due, and
    /// long after everything was due.
    pub(super) fn moments(&self) -> Vec<Millis> {
        let mut moments = std::vec![NOW, NOW + TICK, NOW + 100_000];
        moments.extend(self.service.deadline());
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// The run before the last one.
    pub(super) fn older_run(&self) -> RunId {
        RunId(self.service.last_run().0.saturating_sub(1))
    }

    /// Everything that can happen now. Reports speak of the process there is.
    pub(super) fn possible(&self) -> Vec<Event> {
        let mut events = std::vec![
            Event::Start { request: None },
            Event::Stop { request: None },
            Event::Restart { request: None, seen: None },
            Event::Restart { request: None, seen: Some(self.older_run()) },
            Event::Adopt { request: None },
            Event::Unblocked,
            Event::SourceChanged,
            Event::External { present: true },
            Event::External { present: false },
            Event::SessionEnding,
            Event::Deadline,
        ];
        if self.service.waiting() < REQUESTS {
            let request = Some(self.new_request());
            events.extend([Event::Start { request }, Event::Stop { request }]);
            // The first time, and again after a daemon's death: since then there was another run, or there was none.
            let seen = [None, Some(self.older_run()), Some(self.service.last_run())];
            events.extend(seen.map(|seen| Event::Restart { request, seen }));
            events.push(Event::Adopt { request });
        }
        match self.process {
            Process::None => {}
            Process::Asked(run) => {
                events.push(Event::Spawned { run });
                // A prober may be faster than the answer of the spawner.
                events.push(Event::Ready { run });
                events.extend(BLOCKS.map(|why| Event::Blocked { run, why }));
                events.extend(EXITS.map(|exit| Event::Exited { run, exit }));
            }
            Process::Alive { run, .. } => {
                events.extend([Event::Ready { run }, Event::Silent { run }, Event::Dead { run }]);
                // The answer of the spawner may come late or twice.
                events.push(Event::Spawned { run });
                // A run that was restored may turn out never to have lived.
                events.extend(BLOCKS.map(|why| Event::Blocked { run, why }));
                events.extend(EXITS.map(|exit| Event::Exited { run, exit }));
            }
        }
        events
    }

    /// One that nobody has made yet.
    pub(super) fn new_request(&self) -> RequestId {
        RequestId(self.service.waiting.0.iter().map(|waiter| waiter.request.0 + 1).max().unwrap_or(0))
    }

    /// Reports about a run that is not the present one.
    pub(super) fn stale(&self) -> Vec<Event> {
        let last = self.service.last_run;
        let mut runs = std::vec![RunId(last.0 - 1), RunId(last.0 + 1)];
        if self.process == Process::None {
            runs.push(last);
        }
        let mut events = Vec::new();
        for run in runs {
            events.extend([Event::Spawned { run }, Event::Ready { run }]);
            events.extend([Event::Silent { run }, Event::Dead { run }]);
            events.extend(BLOCKS.map(|why| Event::Blocked { run, why }));
            events.extend(EXITS.map(|exit| Event::Exited { run, exit }));
        }
        events
    }

    /// The same state as if it were [`NOW`], without what cannot matter any more.
    pub(super) fn normal(mut self, now: Millis, policy: &Policy) -> Self {
        let moved = |at: Millis| (NOW + at).saturating_sub(now).max(NOW - 1);
        let lasting = policy.healthy_after_ms.max(policy.start_timeout_ms);
        let lived = |life: Life| Life { since: NOW, before: life.uptime(now).min(lasting) };
        let service = &mut self.service;
        assert!(service.phase.run().is_none_or(|run| run == service.last_run), "an old run lives");
        let run = LAST_RUN;
        service.phase = match service.phase {
            Phase::Blocked { why, retry, .. } => Phase::Blocked { why, run, retry: retry.map(moved) },
            Phase::Spawning { .. } => Phase::Spawning { run },
            Phase::Starting { life, ready_by, .. } => {
                Phase::Starting { run, life: lived(life), ready_by: moved(ready_by) }
            }
            Phase::Ready { life, .. } => Phase::Ready { run, life: lived(life) },
            Phase::Unhealthy { life, was_ready, .. } => {
                Phase::Unhealthy { run, life: lived(life), was_ready }
            }
            Phase::Stopping { why, killed, kill_at, .. } => {
                Phase::Stopping { run, why, killed, kill_at: kill_at.map(moved) }
            }
            Phase::Backoff { until } => Phase::Backoff { until: moved(until) },
            Phase::Quiet { until } => Phase::Quiet { until: until.map(moved) },
            same @ (Phase::Down | Phase::Finished | Phase::GaveUp | Phase::External) => same,
        };
        service.since = NOW;
        service.last_run = run;
        service.restarts = 0;
        for (number, waiter) in (0..).zip(&mut service.waiting.0) {
            waiter.request = RequestId(number);
        }
        service.waiting =
            Waiting(service.waiting.0.iter().map(|w| Waiter { until: w.until.map(moved), ..*w }).collect());
        let budget = service.budget;
        service.budget = Budget {
            failures: policy.start_limit.map_or(0, |limit| budget.failures.min(limit)),
            // Beyond these nothing changes but the length of the delays.
            ends: budget.ends.min(2),
            unexecuted: budget.unexecuted.min(1),
            not_before: moved(budget.not_before),
            edit: budget.edit.filter(|last| last + 1_000 > now).map(|last| NOW + last - now),
        };
        self.process = match self.process {
            Process::None => Process::None,
            Process::Asked(_) => Process::Asked(run),
            Process::Alive { stop_asked, killed, .. } => Process::Alive { run, stop_asked, killed },
        };
        self
    }
}
