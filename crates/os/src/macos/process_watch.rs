//! The end of a process by kqueue.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};

use super::close_on_exec;
use crate::process::{Liveness, ProcessIdentity};

/// A kqueue that is readable once this very process has ended; `None` when it is gone.
///
/// Registered first, proven second, as a pidfd is on Linux.
pub(crate) fn watch(process: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    let Ok(pid) = usize::try_from(process.pid) else { return Ok(None) };
    let queue = Kqueue::new()?;
    let end = KEvent::new(pid, EventFilter::EVFILT_PROC, EvFlags::EV_ADD, FilterFlag::NOTE_EXIT, 0, 0);
    match queue.kevent(&[end], &mut [], None) {
        Ok(_) => {}
        Err(Errno::ESRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    if process.liveness()? == Liveness::Gone {
        return Ok(None);
    }
    let queue = OwnedFd::from(queue);
    close_on_exec(&queue)?;
    Ok(Some(queue))
}

/// Nobody but the parent learns how a process ended.
pub(crate) fn exit_status(_handle: BorrowedFd<'_>) -> Option<libc::c_int> {
    None
}
