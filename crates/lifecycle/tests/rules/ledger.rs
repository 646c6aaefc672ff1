//! The reference model's idea of a budget: write everything down, count anew each time.

use lifecycle::{Millis, Policy};

/// What has happened that a budget depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Chapter {
    /// Somebody asked, or it was healthy.
    Clean,
    Failed {
        at: Millis,
    },
    Collided {
        at: Millis,
    },
    NotExecuted,
    Executed,
}

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    policy: Policy,
    history: Vec<Chapter>,
    edit: Option<Millis>,
}

impl Ledger {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, history: vec![Chapter::Clean], edit: None }
    }

    pub(crate) fn collided(&mut self, now: Millis) {
        self.history.push(Chapter::Collided { at: now });
    }

    /// Whether it is given up.
    pub(crate) fn failed(&mut self, now: Millis) -> bool {
        self.history.push(Chapter::Failed { at: now });
        let failures = self.series().filter(|c| matches!(c, Chapter::Failed { .. })).count();
        self.policy.start_limit.is_some_and(|limit| failures >= limit as usize)
    }

    /// How long to wait before it is tried again.
    pub(crate) fn not_executed(&mut self) -> Millis {
        self.history.push(Chapter::NotExecuted);
        let row = self.history.iter().rev().take_while(|c| **c != Chapter::Executed && **c != Chapter::Clean);
        let row = row.filter(|c| **c == Chapter::NotExecuted).count();
        let mut pause = 1_000;
        for _ in 1..row {
            pause = (pause * 2).min(self.policy.cap_ms.max(9_000));
        }
        pause
    }

    pub(crate) fn judge_health(&mut self, lived: Millis) {
        self.history.push(Chapter::Executed);
        if lived >= self.policy.healthy_after_ms {
            self.history.push(Chapter::Clean);
        }
    }

    pub(crate) fn clean_slate(&mut self) {
        self.history.push(Chapter::Clean);
        self.edit = None;
    }

    /// What has happened since the slate was last clean.
    fn series(&self) -> impl Iterator<Item = &Chapter> {
        self.history.iter().rev().take_while(|chapter| **chapter != Chapter::Clean)
    }

    /// The distance that the last end of the series asks for.
    pub(crate) fn not_before(&self) -> Millis {
        let ends: Vec<Millis> = self
            .series()
            .filter_map(|chapter| match chapter {
                Chapter::Failed { at } | Chapter::Collided { at } => Some(*at),
                Chapter::Clean | Chapter::NotExecuted | Chapter::Executed => None,
            })
            .collect();
        let Some(last) = ends.first() else { return 0 };
        let first = self.policy.first_ms;
        let mut pause = first;
        for number in 2..=ends.len() {
            pause = if number == 2 { (first * 2).max(250) } else { pause * 2 };
            pause = pause.min(self.policy.cap_ms.max(9_000)).max(first);
        }
        last + pause
    }

    pub(crate) fn edited(&mut self, now: Millis, planned: Millis) -> Millis {
        let at = match self.edit {
            Some(edit) if edit > now => edit,
            Some(edit) if edit + 1_000 > now => edit + 1_000,
            _ => now,
        };
        if at < planned {
            self.edit = Some(at);
        }
        at.min(planned)
    }
}
