//! The limits on open descriptors, processes and watched files.

use std::io;
use std::os::fd::AsRawFd;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::sys;

/// Raises our own limit on descriptors as far as we may. Returns soft and hard limit as they were: a service gets
/// them back ([`Program::rlimit_nofile`](crate::spawn::Program::rlimit_nofile)), since some programs close every
/// possible descriptor or use `select`.
///
/// # Errors
/// What the system says.
pub fn raise_nofile() -> io::Result<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let most = sys::most_descriptors().map_or(hard, |most| most.min(hard));
    if soft < most {
        setrlimit(Resource::RLIMIT_NOFILE, most, hard)?;
    }
    Ok((soft, hard))
}

/// Soft and hard limit on descriptors, as this process has them.
///
/// # Errors
/// What the system says.
pub fn nofile() -> io::Result<(u64, u64)> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?)
}

/// Soft and hard limit on the processes and threads of this user, as this process has them; `None` where there is
/// none or it cannot be asked for.
///
/// # Errors
/// What the system says.
pub fn processes() -> io::Result<Option<(u64, u64)>> {
    sys::process_limit()
}

/// Whether so many descriptors could be opened now. Nothing stays open.
#[must_use]
pub fn can_open(count: u64) -> bool {
    let Ok(first) = std::fs::File::open("/dev/null") else { return false };
    // Descriptors are given lowest first: where one far below the limit is free, so are those above it. Near the
    // limit there may be holes, and they are counted by filling them.
    let lowest = u64::try_from(first.as_raw_fd()).unwrap_or_default();
    if nofile().is_ok_and(|(soft, _)| lowest.saturating_add(count.saturating_mul(4)) < soft) {
        return true;
    }
    let mut others = Vec::new();
    (1..count).all(|_| first.try_clone().map(|other| others.push(other)).is_ok())
}

/// The limits of a process that can be raised while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Open descriptors.
    Files,
    /// Processes and threads of its user.
    Processes,
}

/// What to type to double a limit of this process, as long as it lives; `None` where the system has no such command.
#[must_use]
pub fn raise(limit: Limit, (soft, hard): (u64, u64)) -> Option<String> {
    // Whoever may go up to the hard limit needs nobody's help.
    let (program, most) = if soft < hard { ("", hard) } else { ("sudo ", hard.saturating_mul(2)) };
    sys::raise(limit, most).map(|command| format!("{program}{command}"))
}

/// How many files may be watched for changes, and how much of that this user has used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Watchers a user may have.
    pub instances: u64,
    /// Watchers this user has, as far as its processes may be looked into.
    pub instances_used: Option<u64>,
    /// Files all of a user's watchers may watch.
    pub watches: u64,
}

/// What is known of watching; `None` where the system counts nothing.
#[must_use]
pub fn watching() -> Option<Watching> {
    sys::watching()
}
