//! How much memory there is, and giving back what an idle process does not need.

use std::io;

use crate::sys;

/// The memory of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// All of it, in bytes.
    pub total: u64,
    /// What programs could still get without anything being swapped out, in bytes.
    pub available: u64,
    /// For how much of the last ten seconds something waited for memory, in percent; `None` where the system does
    /// not tell.
    pub stalled: Option<u32>,
}

/// A limit on the memory of a group of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// In bytes.
    pub limit: u64,
    /// What counts against it and could not simply be dropped, in bytes.
    pub used: u64,
}

/// The memory of this machine.
///
/// # Errors
/// What the system says.
pub fn machine() -> io::Result<Machine> {
    let mut system = sysinfo::System::new().map_err(io::Error::other)?;
    system.refresh_memory_specifics(sysinfo::MemoryRefreshKind::nothing().with_ram());
    let (total, available) = (system.total_memory(), system.available_memory());
    if total == 0 {
        return Err(io::Error::other("the system does not tell how much memory it has"));
    }
    Ok(Machine { total, available, stalled: sys::memory::stalled() })
}

/// Of the groups with a limit that a process is in, the one with the least left; `None` when there is none.
#[must_use]
pub fn group(pid: i32) -> Option<Group> {
    sys::memory::group(pid)
}

/// Counts how often the system kills a process of a group for memory.
#[derive(Clone, Debug)]
pub struct Kills {
    counter: sys::memory::Counter,
    before: u64,
}

impl Kills {
    /// Begins to count in the group that a process is in; `None` where the system does not tell.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let counter = sys::memory::counter(pid)?;
        let before = sys::memory::read(&counter)?;
        Some(Self { counter, before })
    }

    /// Whether there was such a kill since. In a group of many it may have hit any of them.
    #[must_use]
    pub fn happened(&self) -> Option<bool> {
        sys::memory::read(&self.counter).map(|now| now > self.before)
    }
}

/// Lets go of what only the busy past needed: free heap, the part of this thread's stack that is not in use, and the
/// mappings of program text and constants. Nothing is lost; what is needed again is mapped again from the page cache,
/// at the cost of a few dozen minor page faults. Does nothing where the system offers no such means.
pub fn rest() {
    sys::memory::rest();
}

/// Lets all threads allocate from one heap, for a program whose helper threads come and go: else each leaves one of
/// its own behind. To be called before there is a second thread.
pub fn share_one_heap() {
    sys::memory::share_one_heap();
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_memory() {
        let machine = super::machine().unwrap();
        assert!(machine.available > 0 && machine.available <= machine.total, "{machine:?}");
    }

    #[test]
    fn life_goes_on_after_a_rest() {
        let before: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        super::rest();
        let after: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        assert_eq!(before, after);
    }
}
