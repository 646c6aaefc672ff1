//! The system compresses and drops what is idle by itself; there is nothing to say.

pub(crate) fn rest() {}
