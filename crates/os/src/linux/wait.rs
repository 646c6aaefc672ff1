//! Children that have ended, by `waitid(2)`.

use std::io;

use crate::unix::raw::retry;
use crate::wait::{Ended, no_child};

/// See [`crate::wait::peek`].
pub(crate) fn peek(pid: i32) -> io::Result<Option<Ended>> {
    let id = libc::id_t::try_from(pid).map_err(|_| no_child())?;
    let Some(info) = wait_id(libc::P_PID, id)? else { return Ok(None) };
    // SAFETY: waitid filled the record for a child that ended, so the status field is the one in use.
    let status = unsafe { info.si_status() };
    Ok(Some(match info.si_code {
        libc::CLD_KILLED => Ended::Signal { signal: status, core: false },
        libc::CLD_DUMPED => Ended::Signal { signal: status, core: true },
        _ => Ended::Code(status),
    }))
}

/// See [`crate::wait::any_exited`].
pub(crate) fn any_exited() -> io::Result<Option<i32>> {
    // SAFETY: as in `peek`: the record tells of a child that ended.
    Ok(wait_id(libc::P_ALL, 0)?.map(|info| unsafe { info.si_pid() }))
}

fn wait_id(kind: libc::idtype_t, id: libc::id_t) -> io::Result<Option<libc::siginfo_t>> {
    // SAFETY: an all-zero siginfo_t is a valid value; a zero pid afterwards means that nothing was found.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the record lives for the call.
    retry(|| unsafe {
        libc::waitid(kind, id, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
    })?;
    // SAFETY: zeroed or filled in by waitid: the pid field is valid either way.
    Ok((unsafe { info.si_pid() } != 0).then_some(info))
}
