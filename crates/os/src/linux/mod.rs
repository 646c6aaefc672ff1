//! Linux: /proc, pidfds, netlink.

pub(crate) mod host;
pub(crate) mod memory;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod spawn;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// A pipe whose ends are closed on exec: read end, write end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// Gives a file its blocks; `false` where the file system cannot.
pub(crate) fn allocate(file: &File, len: usize) -> io::Result<bool> {
    let len = libc::off_t::try_from(len).map_err(io::Error::other)?;
    match nix::fcntl::posix_fallocate(file, 0, len) {
        Ok(()) => Ok(true),
        Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The most descriptors a process may have, where that is less than its hard limit says.
pub(crate) fn most_descriptors() -> Option<u64> {
    None
}
