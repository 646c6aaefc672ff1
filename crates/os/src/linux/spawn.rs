//! What a fresh child needs from Linux.

use std::io;
use std::mem::MaybeUninit;
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

/// Stack of a child that borrows our memory, in bytes; it makes some eighty system calls and calls no library.
const CHILD_STACK: usize = 64 << 10;

/// Makes a child that runs `life` and becomes another program, and returns its pid when it has, or has ended.
///
/// The child borrows our memory, and this thread waits for it: nothing is copied, so it costs the same however large
/// we are. A fork would copy the page tables, and every page that we or the child write to afterwards.
///
/// # Safety
/// `life` must not return, keep to async-signal-safe calls, and write nothing but its own stack and `errno`. No handler
/// of a signal may run in it: the caller has blocked them all.
pub(crate) unsafe fn fork_until_exec(
    life: extern "C" fn(*mut libc::c_void) -> libc::c_int,
    argument: *mut libc::c_void,
) -> io::Result<i32> {
    // Sixteen bytes are the alignment that a stack needs.
    let mut stack: Vec<MaybeUninit<u128>> = Vec::with_capacity(CHILD_STACK / size_of::<u128>());
    let top = stack.spare_capacity_mut().as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: `top` is the aligned end of memory that is ours until this thread runs again, which is when the child
    // uses it no more; the rest is the caller's promise.
    let pid = unsafe { libc::clone(life, top.cast(), flags, argument) };
    if pid == -1 { Err(io::Error::last_os_error()) } else { Ok(pid) }
}
