//! The way a service is asked to end, step by step.

use std::time::{Duration, Instant};

use wire::{StopSpec, StopStep};

/// A stop under way.
pub(crate) struct Ladder {
    begun: Instant,
    left: std::vec::IntoIter<StopStep>,
}

impl Ladder {
    pub(crate) fn new(spec: &StopSpec, now: Instant) -> Self {
        let mut steps = spec.steps.clone();
        steps.sort_by_key(|step| step.after_ms);
        Self { begun: now, left: steps.into_iter() }
    }

    /// When the next step is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.left.as_slice().first().map(|step| self.begun + Duration::from_millis(step.after_ms))
    }

    /// The next step, when it is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<StopStep> {
        if self.deadline().is_some_and(|at| at <= now) { self.left.next() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_in_their_time_and_once() {
        use wire::Signal::{Cont, Int, Kill, Term};
        let step = |after_ms, signal| StopStep { after_ms, signal, to: wire::StopTarget::Main };
        let steps =
            vec![step(3_000, Kill), step(0, Term), step(0, Cont), step(1_000, Term), step(1_000, Int)];
        let spec = StopSpec { steps, sweep_ms: 0 };
        let begun = Instant::now();
        let mut ladder = Ladder::new(&spec, begun);
        let mut at = |ms: u64| {
            let now = begun + Duration::from_millis(ms);
            std::iter::from_fn(|| ladder.due(now)).map(|step| step.signal).collect::<Vec<_>>()
        };
        assert_eq!(at(0), [Term, Cont]);
        assert_eq!(at(999), []);
        assert_eq!(at(1_500), [Term, Int]);
        assert_eq!(at(60_000), [Kill]);
        assert_eq!(at(120_000), []);
        assert_eq!(ladder.deadline(), None);
    }
}
