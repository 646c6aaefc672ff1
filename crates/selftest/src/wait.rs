//! Waiting for a condition, with a deadline and an ear for Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Trouble;

/// For everything here: well under a second on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until `attempt` gives a value; `what` says what was waited for.
pub(crate) fn until_some<T>(
    what: &str,
    limit: Duration,
    interrupted: &AtomicBool,
    mut attempt: impl FnMut() -> Option<T>,
) -> Result<T, Trouble> {
    let begun = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return Ok(value);
        }
        if interrupted.load(Ordering::Relaxed) {
            return Err(Trouble::Interrupted);
        }
        if begun.elapsed() > limit {
            return Err(Trouble::Broken(format!("waited {} s in vain for {what}", limit.as_secs())));
        }
        std::thread::sleep(PAUSE);
    }
}
