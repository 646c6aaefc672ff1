//! The limits on open descriptors and watched files.

use std::io;

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
