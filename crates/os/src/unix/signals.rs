//! Signals of our own process: a clean slate at start, and SIGCHLD as a descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, sigaction, sigprocmask};

pub use nix::sys::signal::Signal;

use crate::sys;

/// Undoes what a launcher left behind: an empty mask, and every signal at its default, SIGPIPE included.
///
/// Mask and ignored signals survive exec. With SIGCHLD blocked nobody hears of an exit, and a service that
/// inherits a blocked SIGTERM can only be killed. Call it first in `main`, before there are threads; a program that
/// writes to pipes or sockets then ignores SIGPIPE by [`ignore`].
///
/// # Errors
/// What the system says.
pub fn clean_slate() -> io::Result<()> {
    for number in 1..=sys::signals::LAST {
        // A handler cannot have been inherited: it is our own runtime's, as the one that names a stack overflow.
        if sys::signals::is_ignored(number) {
            sys::signals::to_default(number);
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

/// Ignores signals. Children made by [`spawn`](crate::spawn) do not inherit that.
///
/// # Errors
/// `EINVAL` for a signal that cannot be ignored.
pub fn ignore(signals: &[Signal]) -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in signals {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { sigaction(*signal, &action) }?;
    }
    Ok(())
}

/// Where the SIGCHLD handler writes; -1 before there is a pipe. Never closed once set: a handler may be using it.
static CHILD_PIPE: AtomicI32 = AtomicI32::new(-1);

/// A descriptor that becomes readable when a child of ours ends; see [`drain`]. Read end of a pipe: non-blocking,
/// closed on exec. Once per process. A `poll` or `sleep` that waits meanwhile is interrupted (`EINTR`).
///
/// # Errors
/// `AlreadyExists` on the second call; else what the system says.
pub fn child_pipe() -> io::Result<OwnedFd> {
    let (read, write) = sys::pipe()?;
    set_nonblocking(&read)?;
    set_nonblocking(&write)?;
    if CHILD_PIPE.compare_exchange(-1, write.as_raw_fd(), Ordering::SeqCst, Ordering::SeqCst).is_err() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "this process has a pipe for SIGCHLD already",
        ));
    }
    // From here on it belongs to the handler.
    let _ = write.into_raw_fd();
    let action = SigAction::new(
        SigHandler::Handler(on_child),
        SaFlags::SA_RESTART | SaFlags::SA_NOCLDSTOP,
        SigSet::empty(),
    );
    // SAFETY: the handler makes one write(2) and keeps errno: async-signal-safe.
    unsafe { sigaction(Signal::SIGCHLD, &action) }?;
    Ok(read)
}

/// Empties a descriptor of [`child_pipe`]; afterwards ask about every child, since signals merge.
pub fn drain(pipe: impl AsFd) {
    let mut waste = [0_u8; 256];
    while matches!(nix::unistd::read(pipe.as_fd(), &mut waste), Ok(read) if read == waste.len()) {}
}

extern "C" fn on_child(_signal: libc::c_int) {
    let errno = Errno::last_raw();
    let pipe = CHILD_PIPE.load(Ordering::SeqCst);
    if pipe >= 0 {
        // SAFETY: the descriptor is never closed. A full pipe is readable already, so a failed write loses nothing.
        unsafe { libc::write(pipe, b"c".as_ptr().cast(), 1) };
    }
    Errno::set_raw(errno);
}

fn set_nonblocking(descriptor: &impl AsFd) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let descriptor: BorrowedFd<'_> = descriptor.as_fd();
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
