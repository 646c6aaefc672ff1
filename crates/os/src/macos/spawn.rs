//! What a fresh child needs from macOS.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::unix::raw::check;

/// Flags for `send` to a peer that may be gone: none, the sockets carry `SO_NOSIGPIPE`.
pub(crate) const SEND_FLAGS: libc::c_int = 0;

/// Highest descriptor looked at: one call each, and a process of ours that has more opened them marked.
const LAST_LOOKED_AT: libc::c_int = 1024;

/// Two connected sockets, closed on exec, that never raise SIGPIPE.
pub(crate) fn quiet_pair() -> io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    quiet(&ours)?;
    quiet(&theirs)?;
    Ok((ours, theirs))
}

fn quiet(socket: &UnixStream) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option is one int that lives for the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NOSIGPIPE,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// Marks descriptors from 3 on to be closed on exec, also those that a careless library left open.
/// Async-signal-safe.
pub(crate) fn close_rest_on_exec() {
    for descriptor in 3..LAST_LOOKED_AT {
        // SAFETY: plain numbers; an error means that there is no such descriptor.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Makes a child that runs `life` and becomes another program; its pid.
///
/// # Safety
/// `life` must not return, and keep to async-signal-safe calls. No handler of a signal may run in it: the caller has
/// blocked them all.
pub(crate) unsafe fn fork_until_exec(
    life: extern "C" fn(*mut libc::c_void) -> libc::c_int,
    argument: *mut libc::c_void,
) -> io::Result<i32> {
    // SAFETY: the caller's promise.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = life(argument);
            // SAFETY: ends the process without running anything of ours.
            unsafe { libc::_exit(code) }
        }
        pid => Ok(pid),
    }
}
