//! The end of a process by kqueue.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};

use super::close_on_exec;
use crate::process::{Liveness, ProcessIdentity};
use crate::unix::raw::check;

/// The event by which a queue whose news were taken stays readable.
const TOLD: usize = 1;

/// A kqueue that is readable once this very process has ended; `None` when it is gone, or a zombie already.
///
/// Registered first, proven second, as a pidfd is on Linux. Newer kernels tell the wait status to whoever may signal
/// the process, older ones to its parent only and refuse the question with `EACCES`.
pub(crate) fn watch(process: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    let Ok(pid) = usize::try_from(process.pid) else { return Ok(None) };
    let queue = Kqueue::new()?;
    let register = |what: FilterFlag| {
        let end = KEvent::new(pid, EventFilter::EVFILT_PROC, EvFlags::EV_ADD, what, 0, 0);
        queue.kevent(&[end], &mut [], None)
    };
    let registered = match register(FilterFlag::NOTE_EXIT | FilterFlag::NOTE_EXITSTATUS) {
        Err(Errno::EACCES) => register(FilterFlag::NOTE_EXIT),
        answer => answer,
    };
    match registered {
        Ok(_) => {}
        Err(Errno::ESRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let liveness = process.liveness()?;
    let queue = OwnedFd::from(queue);
    // A zombie that ended before it was registered is never told of.
    if liveness == Liveness::Gone || (liveness == Liveness::Zombie && !is_readable(&queue)?) {
        return Ok(None);
    }
    close_on_exec(&queue)?;
    Ok(Some(queue))
}

fn is_readable(queue: &OwnedFd) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: queue.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, that lives for the call.
    check(unsafe { libc::poll(&raw mut entry, 1, 0) }).map(|ready| ready > 0)
}

/// The wait status, if the kernel told it. Taking it from the queue would make that unreadable, so it is put back as an
/// event of our own, which stays.
pub(crate) fn exit_status(handle: BorrowedFd<'_>) -> Option<libc::c_int> {
    let event = next(handle)?;
    if event.ident == TOLD && event.filter == libc::EVFILT_USER {
        return status(event.udata as isize);
    }
    let told = event.fflags & libc::NOTE_EXITSTATUS != 0;
    let found = if told { event.data & libc::NOTE_PDATAMASK as isize } else { UNTOLD };
    put_back(handle, found);
    status(found)
}

/// In the place of a status that was not told.
const UNTOLD: isize = -1;

fn status(found: isize) -> Option<libc::c_int> {
    libc::c_int::try_from(found).ok().filter(|_| found != UNTOLD)
}

fn next(handle: BorrowedFd<'_>) -> Option<libc::kevent> {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: an all-zero record is a valid value of this plain C struct.
    let mut event: libc::kevent = unsafe { std::mem::zeroed() };
    // SAFETY: no changes, room for one event that lives for the call, no waiting.
    let found =
        unsafe { libc::kevent(handle.as_raw_fd(), std::ptr::null(), 0, &raw mut event, 1, &raw const now) };
    (found == 1).then_some(event)
}

fn put_back(handle: BorrowedFd<'_>, found: isize) {
    // Without EV_CLEAR an event of this kind stays until it is deleted.
    let add = event_of_ours(libc::EV_ADD, 0, found);
    let trigger = event_of_ours(0, libc::NOTE_TRIGGER, found);
    let changes = [add, trigger];
    // SAFETY: two changes that live for the call, no room for events, no waiting.
    unsafe {
        libc::kevent(handle.as_raw_fd(), changes.as_ptr(), 2, std::ptr::null_mut(), 0, std::ptr::null())
    };
}

fn event_of_ours(flags: u16, fflags: u32, found: isize) -> libc::kevent {
    libc::kevent {
        ident: TOLD,
        filter: libc::EVFILT_USER,
        flags,
        fflags,
        data: 0,
        udata: found as *mut libc::c_void,
    }
}
