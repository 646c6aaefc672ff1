//! Named pipes, through which a service's output goes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;

use crate::unix::raw::check;

/// Makes a named pipe with mode 0600.
///
/// # Errors
/// `AlreadyExists` when something is at `path`; else what the file system says.
pub fn make(path: &Path) -> io::Result<()> {
    crate::failpoint!("fifo.make", path)?;
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok(())
}

/// Opens the read end: at once, without waiting for a writer; reads do not block, the descriptor is closed on exec.
///
/// # Errors
/// `InvalidInput` when `path` is no named pipe; else what the file system says.
pub fn open_read(path: &Path) -> io::Result<OwnedFd> {
    open(path, OpenOptions::new().read(true))
}

/// Opens the write end of a pipe that has a reader; writes block, the descriptor is closed on exec.
///
/// # Errors
/// `ENXIO` when nobody has the read end open (this call never waits for one); `InvalidInput` when `path` is no
/// named pipe; else what the file system says.
pub fn open_write(path: &Path) -> io::Result<OwnedFd> {
    let pipe = open(path, OpenOptions::new().write(true))?;
    let flags = OFlag::from_bits_retain(fcntl(&pipe, FcntlArg::F_GETFL)?);
    fcntl(&pipe, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(pipe)
}

/// How many bytes wait in the pipe.
///
/// # Errors
/// What the system says, as for a closed descriptor.
pub fn available(pipe: impl AsFd) -> io::Result<usize> {
    let mut waiting: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to a place that lives for the call.
    check(unsafe { libc::ioctl(pipe.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut waiting) })?;
    Ok(usize::try_from(waiting).unwrap_or(0))
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<OwnedFd> {
    crate::failpoint!("fifo.open", path)?;
    let file: File =
        options.custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOFOLLOW).open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is no named pipe", path.display()),
        ));
    }
    Ok(file.into())
}
