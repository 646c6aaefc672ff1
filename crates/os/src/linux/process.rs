//! Processes through /proc and pidfds.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host;
use crate::process::{Liveness, ProcessIdentity, ProcessInfo, Usage, split_words};
use crate::unix::raw::{check, owned};

/// `ru_maxrss` counts KiB here.
pub(crate) const RSS_UNITS_PER_KIB: u64 = 1;

pub(crate) fn info(pid: i32) -> io::Result<Option<ProcessInfo>> {
    let mut folder = format!("/proc/{pid}");
    row(pid, &mut folder)
}

pub(crate) fn table() -> io::Result<Vec<ProcessInfo>> {
    use std::fmt::Write;
    let mut rows = Vec::with_capacity(256);
    let mut folder = String::with_capacity(32);
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        folder.clear();
        if write!(folder, "/proc/{pid}").is_err() {
            continue;
        }
        match row(pid, &mut folder) {
            Ok(Some(found)) => rows.push(found),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

/// Reads one process. `folder` is `/proc/<pid>`; it is lengthened and cut again to save an allocation.
fn row(pid: i32, folder: &mut String) -> io::Result<Option<ProcessInfo>> {
    // The folder, not the file: its owner is the effective user also of a process that cannot be dumped.
    let uid = match fs::metadata(folder.as_str()) {
        Ok(facts) => facts.uid(),
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = folder.len();
    folder.push_str("/stat");
    let mut buffer = [0_u8; 1024];
    let read = File::open(folder.as_str()).and_then(|mut file| file.read(&mut buffer));
    folder.truncate(length);
    match read {
        Ok(read) => parse_stat(pid, uid, &buffer[..read])
            .map(Some)
            .ok_or_else(|| io::Error::other(format!("{folder}/stat makes no sense"))),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Reads `pid (name) state ppid …`. The name may hold blanks and parentheses; the last `)` ends it.
fn parse_stat(pid: i32, uid: u32, line: &[u8]) -> Option<ProcessInfo> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(name_end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let ppid = fields.next()?.parse().ok()?;
    let pgid = fields.next()?.parse().ok()?;
    let sid = fields.next()?.parse().ok()?;
    let tty: i32 = fields.next()?.parse().ok()?;
    let foreground = fields.next()?.parse().ok()?;
    // flags, 4 × faults, 4 × times, priority, nice
    let threads: u64 = fields.nth(11)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    let state = match state {
        // A leader that has ended while other threads run looks like a zombie, but the process lives.
        "Z" | "X" | "x" if threads <= 1 => Liveness::Zombie,
        "T" | "t" => Liveness::Stopped,
        _ => Liveness::Running,
    };
    let tty = u64::from(tty.cast_unsigned());
    Some(ProcessInfo { pid, ppid, pgid, sid, start, uid, tty, foreground, state })
}

/// From this resident size on the pages of a process are not walked: that takes long, it holds up the process, and
/// what is shared is little of it.
const TOO_LARGE_TO_WALK: u64 = 4 << 30;

pub(crate) fn usage(process: &ProcessInfo) -> io::Result<Option<Usage>> {
    let pid = process.pid;
    let line = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(line) => line,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (start, cpu_ms, resident) =
        parse_usage(&line).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat makes no sense")))?;
    if start != process.start {
        return Ok(None);
    }
    let proportional = if resident < TOO_LARGE_TO_WALK { proportional_size(pid) } else { Some(resident) };
    Ok(Some(Usage { memory: proportional.unwrap_or(resident), proportional: proportional.is_some(), cpu_ms }))
}

/// Start, processor time in milliseconds, resident size in bytes.
fn parse_usage(line: &[u8]) -> Option<(u64, u64, u64)> {
    let name_end = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(name_end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // utime, stime, cutime, cstime
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    // SAFETY: plain questions.
    let (per_second, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    let per_second = u64::try_from(per_second).ok().filter(|number| *number > 0)?;
    Some((number(19)?, ticks.checked_mul(1000)? / per_second, number(21)? * u64::try_from(page).ok()?))
}

/// The size in which shared pages count in parts; `None` for a process we may not look into.
fn proportional_size(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB"))?;
    Some(kib.trim().parse::<u64>().ok()? << 10)
}

pub(crate) fn ignores_hangup(pid: i32) -> Option<bool> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mask = text.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(mask.trim(), 16).ok()? & 1 << (libc::SIGHUP - 1) != 0)
}

/// The kernel packs the number as `struct tty` does: twelve bits of major between the two halves of minor.
pub(crate) fn terminal_name(tty: u64) -> Option<String> {
    const PSEUDO: std::ops::RangeInclusive<u64> = 136..=143;
    const CONSOLE: u64 = 4;
    let (major, minor) = ((tty >> 8) & 0xfff, (tty & 0xff) | ((tty >> 12) & 0xf_ff00));
    match major {
        major if PSEUDO.contains(&major) => Some(format!("pts/{}", minor + (major - PSEUDO.start()) * 256)),
        CONSOLE if minor < 64 => Some(format!("tty{minor}")),
        CONSOLE => Some(format!("ttyS{}", minor - 64)),
        _ => None,
    }
}

pub(crate) fn shares_network(pid: i32) -> Option<bool> {
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    Some(network(&pid.to_string())? == network("self")?)
}

pub(crate) fn command(pid: i32) -> Option<Vec<OsString>> {
    fs::read(format!("/proc/{pid}/cmdline")).ok().map(|words| split_words(&words))
}

pub(crate) fn short_name(pid: i32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned())
}

pub(crate) fn environ(pid: i32) -> io::Result<Vec<u8>> {
    fs::read(format!("/proc/{pid}/environ")).map_err(no_process)
}

pub(crate) fn program(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

pub(crate) fn cwd(pid: i32) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/cwd")).map_err(no_process)
}

fn no_process(error: io::Error) -> io::Error {
    if is_gone(&error) { ErrorKind::NotFound.into() } else { error }
}

pub(crate) fn started_ms(process: &ProcessInfo) -> Option<i64> {
    // SAFETY: a plain question.
    let ticks_per_second =
        u64::try_from(unsafe { libc::sysconf(libc::_SC_CLK_TCK) }).ok().filter(|n| *n > 0)?;
    let started = i64::try_from(process.start.checked_mul(1000)? / ticks_per_second).ok()?;
    // Both clocks now, rather than the boot time in /proc/stat: that one is cut to seconds.
    Some(clock_ms(libc::CLOCK_REALTIME)? - clock_ms(libc::CLOCK_BOOTTIME)? + started)
}

fn clock_ms(clock: libc::clockid_t) -> Option<i64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the place lives for the call.
    check(unsafe { libc::clock_gettime(clock, &raw mut time) }).ok()?;
    Some(time.tv_sec * 1000 + time.tv_nsec / 1_000_000)
}

pub(crate) fn own_children() -> io::Result<Option<Vec<i32>>> {
    let mut children = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        match fs::read_to_string(task?.path().join("children")) {
            Ok(list) => {
                children.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()))
            }
            // The thread has ended, or the kernel was built without these files.
            Err(error) if is_gone(&error) => {
                if !fs::exists("/proc/thread-self/children")? {
                    return Ok(None);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(children))
}

pub(crate) fn children(pid: i32) -> io::Result<Option<Vec<i32>>> {
    let mut children = Vec::new();
    let mut told = false;
    for task in fs::read_dir(format!("/proc/{pid}/task")).map_err(no_process)? {
        // A thread that has ended meanwhile has given its children to another one.
        if let Ok(list) = fs::read_to_string(task?.path().join("children")) {
            told = true;
            children.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    Ok(told.then_some(children))
}

pub(crate) fn become_subreaper(on: bool) -> io::Result<bool> {
    prctl::set_child_subreaper(on)?;
    Ok(true)
}

pub(crate) fn is_subreaper() -> io::Result<bool> {
    Ok(prctl::get_child_subreaper()?)
}

pub(crate) fn signal(process: &ProcessIdentity, signal: Signal) -> io::Result<bool> {
    let handle = match proven(process) {
        Ok(Some(handle)) => handle,
        Ok(None) => return Ok(false),
        Err(error) if no_pidfds(&error) => return signal_by_number(process, signal),
        Err(error) => return Err(error),
    };
    // SAFETY: the descriptor is open; the third argument may be null.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            handle.as_raw_fd(),
            signal as libc::c_int,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    reached(if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(()) })
}

/// For kernels and sandboxes without pidfds: prove, then signal; a race of microseconds is left.
fn signal_by_number(process: &ProcessIdentity, signal: Signal) -> io::Result<bool> {
    if process.liveness()? == Liveness::Gone {
        return Ok(false);
    }
    reached(kill(Pid::from_raw(process.pid), signal).map_err(io::Error::from))
}

fn reached(answer: io::Result<()>) -> io::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(error) if is_gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn no_pidfds(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM))
}

/// A pidfd of this very process; `None` when it is gone.
///
/// Opened first, proven second: whoever has the number and the start time after the handle was opened had them
/// before, so the handle is on nobody else.
fn proven(process: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    if process.pid <= 0 || process.boot != host::boot_id()? {
        return Ok(None);
    }
    // SAFETY: plain numbers.
    let answer = unsafe { libc::syscall(libc::SYS_pidfd_open, process.pid, 0) };
    let handle = match i32::try_from(answer).map_err(io::Error::other).and_then(owned) {
        Ok(handle) => handle,
        // EINVAL and ENOENT: the number is a thread's now.
        Err(error) if is_gone(&error) || error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(info(process.pid)?.filter(|found| found.start == process.start).map(|_| handle))
}

pub(crate) fn watch(process: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    proven(process)
}

/// The first version of the kernel's `struct pidfd_info`.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    users_and_groups: [u32; 8],
    exit_code: i32,
}

const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(0xff, 11, struct pidfd_info)`
const PIDFD_GET_INFO: libc::c_ulong =
    3 << 30 | (size_of::<PidfdInfo>() as libc::c_ulong) << 16 | 0xff << 8 | 11;

/// The wait status of a process that has been reaped, by whomever; `None` when the kernel does not tell.
pub(crate) fn exit_status(handle: BorrowedFd<'_>) -> Option<libc::c_int> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request carries the size of the record, which lives for the call.
    check(unsafe { libc::ioctl(handle.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) }).ok()?;
    (info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &[u8] =
        b" S 10 20 30 34816 20 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 1000 5 18446744073709551615";

    #[test]
    fn terminals_have_names() {
        assert_eq!(terminal_name(34816), Some("pts/0".to_owned()));
        assert_eq!(terminal_name(34816 + 12), Some("pts/12".to_owned()));
        assert_eq!(terminal_name(0x10_8800 | 1), Some("pts/257".to_owned()));
        assert_eq!(terminal_name(1025), Some("tty1".to_owned()));
        assert_eq!(terminal_name(4 << 8 | 64), Some("ttyS0".to_owned()));
        assert_eq!(terminal_name(5 << 8), None);
    }

    #[test]
    fn a_name_may_hold_blanks_and_parentheses() {
        for name in ["(sh)", "(a) S 1 2 3 (b))", "())", "(:-) R 1)"] {
            let line = [b"77 ", name.as_bytes(), REST].concat();
            let found = parse_stat(77, 1000, &line).unwrap();
            assert_eq!(
                (found.ppid, found.pgid, found.sid, found.tty, found.start),
                (10, 20, 30, 34816, 4242)
            );
            assert_eq!((found.pid, found.uid, found.state), (77, 1000, Liveness::Running));
        }
    }

    #[test]
    fn times_of_reaped_children_count() {
        let line = [b"77 (a) b)".as_slice(), REST].concat();
        let (start, cpu_ms, resident) = parse_usage(&line).unwrap();
        // The fields 14 to 17 of the line are 5 to 8, in hundredths of a second on every Linux there is.
        assert_eq!((start, cpu_ms), (4242, 260));
        assert!(resident >= 5 * 4096);
        assert!(parse_usage(b"77 (x) S 1 2").is_none());
    }

    #[test]
    fn a_dead_leader_of_living_threads_is_alive() {
        let line = |threads: &str| {
            format!("7 (x) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 99 0 0").into_bytes()
        };
        assert_eq!(parse_stat(7, 0, &line("1")).unwrap().state, Liveness::Zombie);
        assert_eq!(parse_stat(7, 0, &line("3")).unwrap().state, Liveness::Running);
    }

    #[test]
    fn rubbish_is_refused() {
        for line in ["", "7", "7 (sh", "7 (sh) S", "7 (sh) S 1 2 3 x"] {
            assert_eq!(parse_stat(7, 0, line.as_bytes()), None);
        }
    }

    #[test]
    fn the_record_has_the_size_the_kernel_wants() {
        assert_eq!(size_of::<PidfdInfo>(), 64);
        assert_eq!(PIDFD_GET_INFO, 0xc040_ff0b);
    }
}
