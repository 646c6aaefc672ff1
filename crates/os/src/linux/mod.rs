//! Linux: /proc, pidfds, netlink.

pub(crate) mod host;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod spawn;

use std::io;
use std::os::fd::OwnedFd;

use nix::fcntl::OFlag;

/// A pipe whose ends are closed on exec: read end, write end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}
