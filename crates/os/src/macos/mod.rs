//! macOS: libproc, sysctl, kqueue. Written from their documentation, type-checked, never run by its authors.

pub(crate) mod host;
pub(crate) mod memory;
pub(crate) mod ports;
pub(crate) mod process;
mod process_watch;
pub(crate) mod signals;
pub(crate) mod spawn;
mod sysctl;
pub(crate) mod wait;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::limits::{Limit, Watching};

/// What the header `sys/syslimits.h` calls `OPEN_MAX`: `setrlimit` refuses more, even under an infinite hard limit.
const OPEN_MAX: u64 = 10_240;

/// A pipe whose ends are closed on exec: read end, write end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe()?;
    close_on_exec(&read)?;
    close_on_exec(&write)?;
    Ok((read, write))
}

/// There is no call that opens and marks at once; a child forked in between by another thread is covered by
/// [`spawn::close_rest_on_exec`].
fn close_on_exec(descriptor: impl AsFd) -> io::Result<()> {
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Gives a file its blocks: left to the caller, who writes zeros. (`F_PREALLOCATE` reserves space without making
/// it part of the file.)
pub(crate) fn allocate(_file: &File, _len: usize) -> io::Result<bool> {
    Ok(false)
}

/// The most descriptors a process may have, where that is less than its hard limit says.
pub(crate) fn most_descriptors() -> Option<u64> {
    Some(OPEN_MAX)
}

/// nix does not offer this limit here, and the system has another one (`kern.maxprocperuid`) below it.
pub(crate) fn process_limit() -> io::Result<Option<(u64, u64)>> {
    Ok(None)
}

/// Nobody raises the limits of another process here.
pub(crate) fn raise(_limit: Limit, _most: u64) -> Option<String> {
    None
}

/// kqueue counts descriptors, which have their own limit.
pub(crate) fn watching() -> Option<Watching> {
    None
}
