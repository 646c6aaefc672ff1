//! Linux: /proc, pidfds, netlink.

pub(crate) mod host;
pub(crate) mod memory;
pub(crate) mod ports;
pub(crate) mod process;
mod rest;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod wait;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::limits::{Limit, Watching};

/// A pipe whose ends are closed on exec: read end, write end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// Gives a file its blocks; `false` where the file system cannot.
pub(crate) fn allocate(file: &File, len: usize) -> io::Result<bool> {
    let len = libc::off_t::try_from(len).map_err(io::Error::other)?;
    match nix::fcntl::posix_fallocate(file, 0, len) {
        Ok(()) => Ok(true),
        Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOSYS) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The most descriptors a process may have, where that is less than its hard limit says.
pub(crate) fn most_descriptors() -> Option<u64> {
    None
}

/// The limit on processes and threads of this user; `None` where there is none.
pub(crate) fn process_limit() -> io::Result<Option<(u64, u64)>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NPROC)?;
    Ok((soft != RLIM_INFINITY).then_some((soft, hard)))
}

/// `prlimit` of util-linux, for this process.
#[expect(clippy::unnecessary_wraps, reason = "other systems have no such command")]
pub(crate) fn raise(limit: Limit, most: u64) -> Option<String> {
    let name = match limit {
        Limit::Files => "nofile",
        Limit::Processes => "nproc",
    };
    Some(format!("prlimit --pid {} --{name}={most}:{most}", std::process::id()))
}

/// inotify: its limits, and the instances of processes that may be looked into.
pub(crate) fn watching() -> Option<Watching> {
    let limit = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
    };
    let is_watcher = |target: &Path| target.as_os_str() == "anon_inode:inotify";
    let mut used = 0;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        if !process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let targets = descriptors.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        used += targets.filter(|target| is_watcher(target)).count() as u64;
    }
    Some(Watching {
        instances: limit("max_user_instances")?,
        // Root looks into everybody's processes, and the limit is for each user.
        instances_used: (!nix::unistd::geteuid().is_root()).then_some(used),
        watches: limit("max_user_watches")?,
    })
}
