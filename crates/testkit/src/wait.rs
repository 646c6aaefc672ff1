//! Waiting for a condition, with a deadline. The only place where the tests sleep.

use std::time::{Duration, Instant};

/// For what takes well under a second on an idle machine.
pub const SHORT: Duration = Duration::from_secs(15);
/// For what takes seconds on an idle machine.
pub const LONG: Duration = Duration::from_secs(60);

/// Waits until `condition` holds.
///
/// # Panics
/// When `limit` has passed; `what` says what was waited for.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    until_some(what, limit, || condition().then_some(()));
}

/// Waits until `attempt` gives a value.
///
/// # Panics
/// When `limit` has passed; `what` says what was waited for.
#[track_caller]
pub fn until_some<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
