//! Points at which a test can have the writer die, as SIGKILL would have it. Nothing outside tests.

#[cfg(not(test))]
#[inline(always)]
pub(crate) fn point() {}

#[cfg(test)]
pub(crate) use injected::*;

#[cfg(test)]
mod injected {
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static SPACE: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Dies at the `n`th point from here; never with `None`.
    pub(crate) fn die_after(points: Option<u32>) {
        LEFT.set(points);
    }

    pub(crate) fn point() {
        match LEFT.get() {
            Some(0) => std::panic::panic_any("killed"),
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
    }

    /// Bytes a log file may hold before writes answer "no space left on device".
    pub(crate) fn limit_space(end: Option<u64>) {
        SPACE.set(end);
    }

    pub(crate) fn space() -> Option<u64> {
        SPACE.get()
    }
}
