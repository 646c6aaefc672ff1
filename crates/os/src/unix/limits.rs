//! The limit on open descriptors.

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
