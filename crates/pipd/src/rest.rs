//! Giving back memory that only the past needed, as the last thing before this thread sleeps: what runs after it comes
//! back to stay until the thread wakes, so that must be little.

use std::sync::atomic::{AtomicBool, Ordering};

static DUE: AtomicBool = AtomicBool::new(false);

/// The next time there is nothing to do, memory is given back first.
pub(crate) fn when_nothing_is_left_to_do() {
    DUE.store(true, Ordering::Relaxed);
}

/// For the runtime to call before its thread sleeps.
pub(crate) fn before_sleep() {
    if DUE.load(Ordering::Relaxed) && DUE.swap(false, Ordering::Relaxed) {
        os::memory::rest();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_runtime_that_sleeps_has_rested_once() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .on_thread_park(super::before_sleep)
            .build()
            .unwrap();
        super::when_nothing_is_left_to_do();
        runtime.block_on(async { tokio::time::sleep(std::time::Duration::from_millis(5)).await });
        assert!(!super::DUE.load(super::Ordering::Relaxed), "it slept and did not rest");
    }
}
