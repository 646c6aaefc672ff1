//! How often a failing service may be tried: never a storm, never given up unasked.
//!
//! Delays between an end and the next start are `first`, then 0.25 s, 0.5 s, 1 s, … doubled up to the cap. They
//! never shrink without a healthy stretch, so the first minute of a series is its worst, and in it there are at
//! most 12 starts as long as the cap is at least [`LEAST_CAP_MS`]: at 0, 0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75
//! and then every 9 s.

use crate::{Millis, Policy};

/// The second delay of a series; later ones double.
const STEP_MS: Millis = 250;
/// The smallest cap that keeps 12 starts in any 60 s.
const LEAST_CAP_MS: Millis = 9_000;
/// The first delay before something that could not be executed is tried again unasked.
const EXEC_STEP_MS: Millis = 1_000;
/// How long a fault of the machine may be over before it is noticed (2 s are promised, spawn included).
const MACHINE_RETRY_MS: Millis = 1_000;
/// Least time between two attempts that edits asked for: a service that touches its own sources as it starts must
/// not become a storm, and a person does not save faster.
const EDIT_SPACING_MS: Millis = 1_000;

/// What is left of a service's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Failures since the last healthy stretch: what a start limit counts.
    pub(crate) failures: u32,
    /// Runs that lived and ended since the last healthy stretch, failed or collided: what the delay grows with.
    pub(crate) ends: u32,
    /// Attempts in a row that could not be executed.
    pub(crate) unexecuted: u32,
    /// No start before this unless somebody asks or an edit does.
    pub(crate) not_before: Millis,
    /// The last attempt that an edit asked for, or the one that is planned.
    pub(crate) edit: Option<Millis>,
}

impl Budget {
    /// A person asked: everything is forgiven.
    pub(crate) fn forgive(&mut self) {
        *self = Self::default();
    }

    /// A run has ended by itself after `uptime`: a healthy stretch refills the budget.
    pub(crate) const fn ended_after(&mut self, uptime: Millis, policy: &Policy) {
        if uptime >= policy.healthy_after_ms {
            self.failures = 0;
            self.ends = 0;
        }
        self.unexecuted = 0;
    }

    /// A failure: the time of the next attempt, or none when the start limit is reached.
    pub(crate) const fn failed(&mut self, now: Millis, policy: &Policy) -> Option<Millis> {
        self.failures = self.failures.saturating_add(1);
        let until = self.end(now, policy);
        match policy.start_limit {
            Some(limit) if self.failures >= limit => None,
            Some(_) | None => Some(until),
        }
    }

    /// A run that lived and then found its port taken. Not a failure, yet the next start keeps the distance of
    /// one: a check that calls the port free and a server that cannot bind it must not chase each other.
    pub(crate) const fn collided(&mut self, now: Millis, policy: &Policy) {
        self.end(now, policy);
    }

    const fn end(&mut self, now: Millis, policy: &Policy) -> Millis {
        self.ends = self.ends.saturating_add(1);
        self.not_before = now.saturating_add(delay(self.ends, policy));
        self.not_before
    }

    /// It could not be executed: when to try again unasked.
    pub(crate) fn not_executed(&mut self, now: Millis, policy: &Policy) -> Millis {
        self.unexecuted = self.unexecuted.saturating_add(1);
        now.saturating_add(doubled(EXEC_STEP_MS, self.unexecuted.saturating_sub(1)).min(cap(policy)))
    }

    /// The machine refused: when to try again unasked.
    pub(crate) const fn machine_refused(now: Millis) -> Millis {
        now.saturating_add(MACHINE_RETRY_MS)
    }

    /// When an attempt may be made that nobody but circumstances ask for.
    pub(crate) fn earliest(&self, now: Millis) -> Millis {
        self.not_before.max(now)
    }

    /// An edit asks for an attempt before `planned`: when it will be made.
    pub(crate) fn edited(&mut self, now: Millis, planned: Millis) -> Millis {
        let spaced = match self.edit {
            // One that is planned already serves this edit too.
            Some(planned) if planned > now => planned,
            Some(last) => last.saturating_add(EDIT_SPACING_MS).max(now),
            None => now,
        };
        if spaced < planned {
            self.edit = Some(spaced);
            spaced
        } else {
            planned
        }
    }
}

/// The delay after the `ends`th end of a series. Never shrinks as `ends` grows.
const fn delay(ends: u32, policy: &Policy) -> Millis {
    if ends <= 1 {
        return policy.first_ms;
    }
    let step = max(policy.first_ms.saturating_mul(2), STEP_MS);
    let grown = doubled(step, ends.saturating_sub(2));
    max(policy.first_ms, min(grown, cap(policy)))
}

const fn cap(policy: &Policy) -> Millis {
    max(policy.cap_ms, LEAST_CAP_MS)
}

const fn doubled(step: Millis, times: u32) -> Millis {
    match 1_u64.checked_shl(times) {
        Some(factor) => step.saturating_mul(factor),
        None => Millis::MAX,
    }
}

// `Ord::max` is not const.
const fn max(a: Millis, b: Millis) -> Millis {
    if a > b { a } else { b }
}

const fn min(a: Millis, b: Millis) -> Millis {
    if a < b { a } else { b }
}
