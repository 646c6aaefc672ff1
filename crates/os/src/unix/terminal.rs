//! Terminals.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::unistd::setsid;

use super::raw::check;

/// Makes this process the leader of a new session whose controlling terminal this one is, as a shell in a terminal
/// window is: when the terminal is closed, it is hung up.
///
/// # Errors
/// When this process leads a group already, or `terminal` is none or belongs to another session.
pub fn lead(terminal: impl AsFd) -> io::Result<()> {
    setsid()?;
    // SAFETY: the descriptor is open for the call; the request takes one int by value (0: do not steal).
    check(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY as _, 0) })?;
    Ok(())
}
