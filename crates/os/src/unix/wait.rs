//! How processes end, and noticing it without polling.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::process::ProcessIdentity;
use crate::sys;
use crate::unix::raw::{check, retry};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It exited with this code.
    Code(i32),
    /// A signal killed it.
    Signal {
        /// The number of the signal.
        signal: i32,
        /// Whether a core was dumped.
        core: bool,
    },
}

impl Ended {
    /// Reads a wait status; `None` when it tells of no end.
    pub(crate) fn from_status(status: libc::c_int) -> Option<Self> {
        if libc::WIFEXITED(status) {
            Some(Self::Code(libc::WEXITSTATUS(status)))
        } else if libc::WIFSIGNALED(status) {
            Some(Self::Signal { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) })
        } else {
            None
        }
    }
}

/// What a process and its waited-for children used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in its own code, in milliseconds.
    pub user_ms: u64,
    /// Processor time in the kernel, in milliseconds.
    pub system_ms: u64,
    /// Largest resident memory, in KiB.
    pub max_rss_kib: u64,
}

/// How our child ended, leaving it a zombie; `None` while it lives. Until it is reaped its pid names nobody else.
///
/// # Errors
/// `ECHILD` when it is no child of ours.
pub fn peek(pid: i32) -> io::Result<Option<Ended>> {
    if pid <= 0 {
        return Err(no_child());
    }
    sys::wait::peek(pid)
}

/// Takes the exit of our child; its pid may be used again from here on. `None` while it lives.
///
/// # Errors
/// `ECHILD` when it is no child of ours.
pub fn reap(pid: i32) -> io::Result<Option<(Ended, Usage)>> {
    if pid <= 0 {
        // Zero and below would mean "any child of this group": never here.
        return Err(no_child());
    }
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value of that plain C struct.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both places live for the call and have the types wait4 writes.
    let found = retry(|| unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) })?;
    if found == 0 {
        return Ok(None);
    }
    // A status that tells of no end: it was stopped, or goes on. It lives.
    let Some(ended) = Ended::from_status(status) else { return Ok(None) };
    Ok(Some((
        ended,
        Usage {
            user_ms: milliseconds(usage.ru_utime),
            system_ms: milliseconds(usage.ru_stime),
            max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0) / sys::process::RSS_UNITS_PER_KIB,
        },
    )))
}

/// Some child of ours that has ended and is not reaped; `None` when there are children and none has ended.
///
/// # Errors
/// `ECHILD` when we have no child at all: the proof that nothing is left.
pub fn any_exited() -> io::Result<Option<i32>> {
    sys::wait::any_exited()
}

fn milliseconds(time: libc::timeval) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_usec).unwrap_or(0) / 1000
}

pub(crate) fn no_child() -> io::Error {
    io::Error::from_raw_os_error(libc::ECHILD)
}

/// A descriptor that becomes readable when a process, not necessarily our child, has ended.
#[derive(Debug)]
pub struct ExitWatch(OwnedFd);

impl ExitWatch {
    /// Watches this very process; `None` when it is gone already. For a zombie it is readable at once (Linux), or `None`
    /// (macOS).
    ///
    /// # Errors
    /// What the system says.
    pub fn new(process: &ProcessIdentity) -> io::Result<Option<Self>> {
        Ok(sys::process::watch(process)?.map(Self))
    }

    /// How the process ended, where the system tells those who are not the parent: Linux 6.15 and later, once the
    /// parent has reaped it; a macOS that tells it to whoever may signal the process. Else `None`: the code is unknown.
    #[must_use]
    pub fn exit_code(&self) -> Option<Ended> {
        Ended::from_status(sys::process::exit_status(self.0.as_fd())?)
    }

    /// Whether it has ended, without waiting.
    ///
    /// # Errors
    /// What the system says.
    pub fn has_ended(&self) -> io::Result<bool> {
        use std::os::fd::AsRawFd;
        let mut entry = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, that lives for the call.
        check(unsafe { libc::poll(&raw mut entry, 1, 0) }).map(|ready| ready > 0)
    }
}

impl AsFd for ExitWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
