//! What the configuration says about one service's life. The caller hands it in with every step, so that a
//! changed configuration counts from the next decision on.

use crate::Millis;

/// Which ends of a run nobody asked for are followed by a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restart {
    /// None: a failure is `GaveUp`, and a service that is proven dead is shown and left alone.
    Never,
    /// A code other than 0, or a signal. A clean exit is `Finished`.
    #[default]
    OnFailure,
    /// Every one. A clean exit uses up the budget like a failure, for a service that exits at once is a storm too.
    Always,
}

/// How a service is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Which ends are followed by a start.
    pub restart: Restart,
    /// Delay of the first restart after a healthy stretch; later ones grow.
    pub first_ms: Millis,
    /// Uptime that refills the restart budget; nothing but this and a person's request does.
    pub healthy_after_ms: Millis,
    /// Longest delay between restarts. Below 9 s it counts as 9 s, for the budget's sake
    /// (at most 12 starts in any 60 s).
    pub cap_ms: Millis,
    /// Starts without a healthy stretch after which it is given up; never when absent.
    pub start_limit: Option<u32>,
    /// How long a run may take to become ready before those who wait are told `Timeout`. The run goes on.
    pub start_timeout_ms: Millis,
    /// How long the stop ladder and the sweep may take, with a margin, before the one `Kill`.
    pub stop_allowance_ms: Millis,
    /// Whether something reports `Ready`. If nothing does, running is ready.
    pub probed: bool,
    /// How long the port must have been quiet after a server that was started by hand has ended, before one of
    /// ours is started in its place. Never unasked when absent.
    pub takeover_ms: Option<Millis>,
}

impl Default for Policy {
    /// What users expect of a service they said nothing about.
    fn default() -> Self {
        Self {
            restart: Restart::OnFailure,
            first_ms: 0,
            healthy_after_ms: 60_000,
            cap_ms: 30_000,
            start_limit: None,
            start_timeout_ms: 60_000,
            stop_allowance_ms: 10_000,
            probed: true,
            takeover_ms: Some(10_000),
        }
    }
}
