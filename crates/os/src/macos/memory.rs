//! Questions to the kernel by sysctl. The system compresses and drops what is idle by itself; there is nothing to say
//! about that.

use std::io;

use super::sysctl;
use crate::memory::{Group, Machine};

pub(crate) fn rest() {}

pub(crate) fn share_one_heap() {}

pub(crate) fn machine() -> io::Result<Machine> {
    let total = sysctl::number(c"hw.memsize")?;
    // The share that is free or could be freed, in percent: what the system's own pressure warnings go by.
    let level = sysctl::number(c"kern.memorystatus_level")?.min(100);
    Ok(Machine { total, available: total / 100 * level, stalled: None })
}

/// There are none on this system.
pub(crate) fn group(_pid: i32) -> Option<Group> {
    None
}

/// The system does not tell.
pub(crate) type Counter = ();

pub(crate) fn counter(_pid: i32) -> Option<Counter> {
    None
}

pub(crate) fn read(_counter: &Counter) -> Option<u64> {
    None
}
