//! Processes through libproc and sysctl.

use std::ffi::{CStr, OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpid, getsid};

use super::sysctl;
use crate::process::{Liveness, ProcessIdentity, ProcessInfo, Usage, split_words};

pub(crate) use super::process_watch::{exit_status, watch};

/// `ru_maxrss` counts bytes here.
pub(crate) const RSS_UNITS_PER_KIB: u64 = 1024;

/// Asks `PROC_PIDTBSDINFO` for zombies too.
const ZOMBIES_TOO: u64 = 1;

/// The start of a process that does not tell it.
const UNKNOWN_START: u64 = 0;

/// "No terminal" in `e_tdev`.
const NO_DEVICE: u32 = u32::MAX;

/// What the kernel tells of a process of this user; `None` when there is no such process.
pub(super) fn record(pid: i32) -> io::Result<Option<libc::proc_bsdinfo>> {
    // SAFETY: an all-zero record is a valid value of this plain C struct.
    let mut record: libc::proc_bsdinfo = unsafe { std::mem::zeroed() };
    match pid_info(pid, libc::PROC_PIDTBSDINFO, ZOMBIES_TOO, &mut record) {
        Ok(()) => Ok(Some(record)),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The little that everybody may know of another user's process. When it started is not told: its start is 0, so it is
/// never taken for a process that was once known.
fn others(pid: i32) -> io::Result<Option<ProcessInfo>> {
    // SAFETY: an all-zero record is a valid value of this plain C struct.
    let mut record: libc::proc_bsdshortinfo = unsafe { std::mem::zeroed() };
    match pid_info(pid, libc::PROC_PIDT_SHORTBSDINFO, ZOMBIES_TOO, &mut record) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(ProcessInfo {
        pid,
        ppid: number(record.pbsi_ppid),
        pgid: number(record.pbsi_pgid),
        sid: getsid(Some(Pid::from_raw(pid))).map_or(0, Pid::as_raw),
        start: UNKNOWN_START,
        uid: record.pbsi_uid,
        tty: 0,
        foreground: 0,
        state: state(record.pbsi_status),
    }))
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(0)
}

fn state(status: u32) -> Liveness {
    match status {
        libc::SZOMB => Liveness::Zombie,
        libc::SSTOP => Liveness::Stopped,
        _ => Liveness::Running,
    }
}

pub(crate) fn info(pid: i32) -> io::Result<Option<ProcessInfo>> {
    let record = match record(pid) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return others(pid),
        Err(error) => return Err(error),
    };
    Ok(Some(ProcessInfo {
        pid,
        ppid: number(record.pbi_ppid),
        pgid: number(record.pbi_pgid),
        sid: getsid(Some(Pid::from_raw(pid))).map_or(0, Pid::as_raw),
        start: record.pbi_start_tvsec * 1_000_000 + record.pbi_start_tvusec,
        uid: record.pbi_uid,
        tty: if record.e_tdev == NO_DEVICE { 0 } else { u64::from(record.e_tdev) },
        foreground: number(record.e_tpgid),
        state: state(record.pbi_status),
    }))
}

/// The resident size; the times of children that were reaped are not to be had.
pub(crate) fn usage(process: &ProcessInfo) -> io::Result<Option<Usage>> {
    match info(process.pid)? {
        Some(found) if found.start == process.start => {}
        Some(_) | None => return Ok(None),
    }
    // SAFETY: an all-zero record is a valid value of this plain C struct.
    let mut record: libc::proc_taskinfo = unsafe { std::mem::zeroed() };
    match pid_info(process.pid, libc::PROC_PIDTASKINFO, 0, &mut record) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
        Err(error) => return Err(error),
    }
    let ticks = u128::from(record.pti_total_user) + u128::from(record.pti_total_system);
    let (numerator, denominator) = time_base();
    let cpu_ms = u64::try_from(ticks * numerator / denominator / 1_000_000).unwrap_or(u64::MAX);
    Ok(Some(Usage { memory: record.pti_resident_size, proportional: false, cpu_ms }))
}

/// What turns the kernel's clock ticks into nanoseconds.
#[expect(deprecated, reason = "the crate that has it now has nothing else we need")]
fn time_base() -> (u128, u128) {
    let base = {
        let mut base = libc::mach_timebase_info { numer: 0, denom: 0 };
        // SAFETY: the place lives for the call.
        unsafe { libc::mach_timebase_info(&raw mut base) };
        base
    };
    if base.denom == 0 { (1, 1) } else { (base.numer.into(), base.denom.into()) }
}

/// The system does not tell.
pub(crate) fn ignores_hangup(_pid: i32) -> Option<bool> {
    None
}

/// Calls `proc_pidinfo`, which writes exactly one `T` or fails.
fn pid_info<T>(pid: i32, flavor: libc::c_int, argument: u64, record: &mut T) -> io::Result<()> {
    let size = libc::c_int::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: callers pass the record that belongs to the flavor; it is as long as said and lives for the call.
    let written = unsafe { libc::proc_pidinfo(pid, flavor, argument, (&raw mut *record).cast(), size) };
    if written == size {
        Ok(())
    } else if written <= 0 {
        Err(io::Error::last_os_error())
    } else {
        Err(io::Error::other("the record of a process has another size on this system"))
    }
}

pub(crate) fn table() -> io::Result<Vec<ProcessInfo>> {
    let pids = pids(|buffer, size| {
        // SAFETY: the buffer is as long as said, or null to ask for the number.
        unsafe { libc::proc_listallpids(buffer.cast(), size) }
    })?;
    let mut rows = Vec::with_capacity(pids.len());
    for pid in pids {
        match info(pid) {
            Ok(found) => rows.extend(found),
            // One that the system keeps to itself.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

/// Calls one of libproc's listing functions, which answer with a number of pids: first for how many there may be, then,
/// with room to spare, for the pids, until there was room for all of them.
fn pids(list: impl Fn(*mut i32, libc::c_int) -> libc::c_int) -> io::Result<Vec<i32>> {
    let mut room = counted(|| list(std::ptr::null_mut(), 0))? + 64;
    loop {
        let mut pids = vec![0_i32; room];
        let size = libc::c_int::try_from(size_of_val(pids.as_slice())).map_err(io::Error::other)?;
        let found = counted(|| list(pids.as_mut_ptr(), size))?;
        if found < room {
            // What was not written is zero.
            pids.retain(|pid| *pid > 0);
            return Ok(pids);
        }
        room *= 2;
    }
}

/// An error is told by zero and `errno`: zero alone is an empty list.
fn counted(call: impl FnOnce() -> libc::c_int) -> io::Result<usize> {
    Errno::clear();
    match usize::try_from(call()) {
        Ok(0) if Errno::last_raw() != 0 => Err(io::Error::last_os_error()),
        Ok(count) => Ok(count),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// The parts of what the kernel keeps of a process's arguments: `(arguments, environment)`.
fn split_arguments(all: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = all.split_first_chunk()?;
    let count = usize::try_from(libc::c_int::from_ne_bytes(*count)).ok()?;
    // The program's path and the NULs that fill it up.
    let path_end = rest.iter().position(|byte| *byte == 0)?;
    let padding = rest[path_end..].iter().position(|byte| *byte != 0)?;
    let rest = &rest[path_end + padding..];
    let ends = rest.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1);
    let arguments_end = if count == 0 { 0 } else { ends.into_iter().nth(count - 1)? };
    Some(rest.split_at(arguments_end))
}

/// The device in `/dev` that has this number.
pub(crate) fn terminal_name(tty: u64) -> Option<String> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let wanted = u32::try_from(tty).ok()?;
    std::fs::read_dir("/dev").ok()?.flatten().find_map(|entry| {
        let name = entry.file_name().into_string().ok().filter(|name| name.starts_with("tty"))?;
        let metadata = entry.metadata().ok().filter(|metadata| metadata.file_type().is_char_device())?;
        // Device numbers have 32 bits here, whatever the standard library makes of them.
        ((metadata.rdev() & u64::from(u32::MAX)) == u64::from(wanted)).then_some(name)
    })
}

/// There is one network for all.
pub(crate) const fn shares_network(_pid: i32) -> Option<bool> {
    Some(true)
}

pub(crate) fn command(pid: i32) -> Option<Vec<OsString>> {
    let all = sysctl::arguments(pid).ok()?;
    split_arguments(&all).map(|(arguments, _)| split_words(arguments))
}

pub(crate) fn short_name(pid: i32) -> Option<String> {
    let mut buffer = [0_u8; 64];
    // SAFETY: the buffer is as long as said, one byte is kept for the NUL.
    let length = unsafe { libc::proc_name(pid, buffer.as_mut_ptr().cast(), buffer.len() as u32 - 1) };
    if length <= 0 {
        return None;
    }
    CStr::from_bytes_until_nul(&buffer).ok().map(|name| name.to_string_lossy().into_owned())
}

/// The kernel hides the environment of programs that came with the system: then it is empty here.
pub(crate) fn environ(pid: i32) -> io::Result<Vec<u8>> {
    match sysctl::arguments(pid) {
        Ok(all) => Ok(split_arguments(&all).map(|(_, environment)| environment.to_vec()).unwrap_or_default()),
        Err(error) => Err(match info(pid) {
            Ok(None) => ErrorKind::NotFound.into(),
            // What the kernel says of another user's process.
            _ if error.raw_os_error() == Some(libc::EINVAL) => ErrorKind::PermissionDenied.into(),
            _ => error,
        }),
    }
}

pub(crate) fn program(pid: i32) -> Option<PathBuf> {
    let mut buffer = vec![0_u8; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    // SAFETY: the buffer is as long as said and lives for the call.
    let length = unsafe { libc::proc_pidpath(pid, buffer.as_mut_ptr().cast(), buffer.len() as u32) };
    let path = buffer.get(..usize::try_from(length).ok()?)?;
    (!path.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(path)))
}

pub(crate) fn cwd(pid: i32) -> io::Result<PathBuf> {
    // SAFETY: an all-zero record is a valid value of this plain C struct.
    let mut record: libc::proc_vnodepathinfo = unsafe { std::mem::zeroed() };
    pid_info(pid, libc::PROC_PIDVNODEPATHINFO, 0, &mut record).map_err(|error| {
        if error.raw_os_error() == Some(libc::ESRCH) { ErrorKind::NotFound.into() } else { error }
    })?;
    let path: Vec<u8> = record
        .pvi_cdir
        .vip_path
        .as_flattened()
        .iter()
        .map(|byte| byte.cast_unsigned())
        .take_while(|byte| *byte != 0)
        .collect();
    Ok(PathBuf::from(OsStr::from_bytes(&path)))
}

pub(crate) fn started_ms(process: &ProcessInfo) -> Option<i64> {
    i64::try_from(process.start / 1000).ok().filter(|_| process.start != UNKNOWN_START)
}

pub(crate) fn own_children() -> io::Result<Option<Vec<i32>>> {
    children(getpid().as_raw())
}

pub(crate) fn children(pid: i32) -> io::Result<Option<Vec<i32>>> {
    children_of(pid).map(Some)
}

/// Zombies too, and those whose parent a debugger is for a time.
pub(super) fn children_of(parent: i32) -> io::Result<Vec<i32>> {
    pids(|buffer, size| {
        // SAFETY: the buffer is as long as said, or null to ask for the number.
        unsafe { libc::proc_listchildpids(parent, buffer.cast(), size) }
    })
}

/// There is none on this system.
pub(crate) fn become_subreaper(_on: bool) -> io::Result<bool> {
    Ok(false)
}

pub(crate) fn is_subreaper() -> io::Result<bool> {
    Ok(false)
}

/// Proves, then signals by number: there is no handle on a process, so a race of microseconds is left.
pub(crate) fn signal(process: &ProcessIdentity, signal: Signal) -> io::Result<bool> {
    match process.liveness()? {
        Liveness::Gone => Ok(false),
        // `kill` calls a zombie gone here, or forbidden.
        Liveness::Zombie => Ok(true),
        Liveness::Running | Liveness::Stopped => match kill(Pid::from_raw(process.pid), signal) {
            Ok(()) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(error) => Err(error.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_environment_are_told_apart() {
        let all = [&2_i32.to_ne_bytes()[..], b"/bin/sh\0\0\0\0sh\0-c\0HOME=/x\0A=\0"].concat();
        let (arguments, environment) = split_arguments(&all).unwrap();
        assert_eq!(split_words(arguments), ["sh", "-c"]);
        assert_eq!(environment, b"HOME=/x\0A=\0");
        assert!(split_arguments(b"\x01\0").is_none());
    }
}
