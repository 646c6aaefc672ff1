//! Names for what passes through the core: moments, runs, requests.

/// Milliseconds of a clock that never goes back; where it begins is the caller's choice.
pub type Millis = u64;

/// One life of a service's process. The core numbers them, rising by one, never using a number twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl RunId {
    /// The run after this one.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Somebody who asked and gets exactly one [`Answer`](crate::Answer). The caller makes them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);
