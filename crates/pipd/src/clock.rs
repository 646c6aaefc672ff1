//! The two clocks: a monotonic one that decides, the wall clock that is only shown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lifecycle::Millis;
use tokio::time::Instant;

/// Monotonic time since the daemon's start. It rises while the machine is awake; the wall clock never enters
/// a decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Millis {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn instant(self, at: Millis) -> Instant {
        self.origin + Duration::from_millis(at)
    }

    /// The wall-clock time of a monotonic one, milliseconds since the Unix epoch.
    pub(crate) fn wall(self, at: Millis) -> i64 {
        let delta = i64::try_from(at).unwrap_or(i64::MAX) - i64::try_from(self.now()).unwrap_or(i64::MAX);
        wall_ms().saturating_add(delta)
    }
}

/// The wall clock, milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
