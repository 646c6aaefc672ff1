//! Children that have ended, by libproc.
//!
//! Not by `waitid(2)`: of a killed child it does not tell the signal here (dotnet/corefx#29370), and it names children
//! that are merely stopped (swiftlang/swift-subprocess#371). The process table has state and wait status of a zombie.

use std::io;

use nix::unistd::getpid;

use super::process::{children_of, record};
use crate::wait::{Ended, no_child};

/// See [`crate::wait::peek`].
pub(crate) fn peek(pid: i32) -> io::Result<Option<Ended>> {
    let Some(record) = record(pid)? else { return Err(no_child()) };
    if record.pbi_status != libc::SZOMB {
        // Also while a debugger is its parent for a time.
        return Ok(None);
    }
    if i32::try_from(record.pbi_ppid) != Ok(getpid().as_raw()) {
        return Err(no_child());
    }
    let status = libc::c_int::try_from(record.pbi_xstatus).unwrap_or(0);
    Ok(Some(Ended::from_status(status).unwrap_or(Ended::Code(0))))
}

/// See [`crate::wait::any_exited`].
pub(crate) fn any_exited() -> io::Result<Option<i32>> {
    let children = children_of(getpid().as_raw())?;
    if children.is_empty() {
        return Err(no_child());
    }
    for pid in children {
        // One that somebody else reaped, or that belongs to a debugger, is not ours to name.
        if matches!(peek(pid), Ok(Some(_))) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}
