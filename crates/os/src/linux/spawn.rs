//! What a fresh child needs from Linux.

use std::io;
use std::os::unix::net::UnixStream;

/// Flags for `send` to a peer that may be gone: an error, not SIGPIPE.
pub(crate) const SEND_FLAGS: libc::c_int = libc::MSG_NOSIGNAL;

/// Two connected sockets, closed on exec, that never raise SIGPIPE when written with [`SEND_FLAGS`].
pub(crate) fn quiet_pair() -> io::Result<(UnixStream, UnixStream)> {
    UnixStream::pair()
}

/// Marks every descriptor from 3 on to be closed on exec, also those that a careless library left open.
/// Async-signal-safe. Kernels before 5.11 cannot; there, our own descriptors carry the mark anyway.
pub(crate) fn close_rest_on_exec() {
    // SAFETY: plain numbers; it changes flags of descriptors only.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}
