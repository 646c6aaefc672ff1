//! Machine, boot, runtime folder.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;

use nix::unistd::geteuid;

use super::sysctl;
use crate::unix::raw::check;

/// What tells this machine from others that may share a home: the hardware's UUID.
pub(crate) fn machine_id() -> io::Result<Option<Vec<u8>>> {
    let mut id = [0_u8; 16];
    let patience = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    // SAFETY: sixteen bytes are written, to a place that lives for the call. (`kern.uuid` would not do: it names the
    // kernel's build, alike on all machines of a release.)
    let answer = check(unsafe { libc::gethostuuid(id.as_mut_ptr(), &raw const patience) });
    Ok(answer.is_ok().then(|| id.to_vec()))
}

/// There is one space of pids.
pub(crate) fn namespace() -> u64 {
    0
}

/// The service manager there is for each user.
pub(crate) const SERVICE_MANAGER: &str = "launchd";

/// Folders of the home that only programs may read which the user has let in.
pub(crate) const GUARDED: &[&str] =
    &["Desktop", "Documents", "Downloads", "Library/Mobile Documents", "Library/CloudStorage"];

/// There are no such addresses.
pub(crate) fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

/// launchd is always there and listens in no folder of ours.
pub(crate) fn user_manager() -> Option<PathBuf> {
    None
}

/// There are no control groups.
pub(crate) fn control_group(_: i32) -> Option<String> {
    None
}

/// No file system here is known to be memory.
pub(crate) fn memory_root() -> Option<PathBuf> {
    None
}

/// Whether the machine is about to go down: the kernel is told so when a shutdown or restart begins.
pub(crate) fn shutting_down() -> bool {
    sysctl::number(c"kern.willshutdown").is_ok_and(|value| value != 0)
}

pub(crate) fn boot_id() -> io::Result<String> {
    sysctl::text(c"kern.bootsessionuuid")
}

/// The user's own temporary folder as the system knows it, whatever `TMPDIR` says.
pub(crate) fn runtime_root() -> PathBuf {
    let mut buffer = [0_u8; 1024];
    // SAFETY: the buffer is as long as said; the answer is NUL-terminated when it fits.
    let length =
        unsafe { libc::confstr(libc::_CS_DARWIN_USER_TEMP_DIR, buffer.as_mut_ptr().cast(), buffer.len()) };
    match CStr::from_bytes_until_nul(&buffer) {
        Ok(folder) if length > 1 && length <= buffer.len() => {
            PathBuf::from(OsStr::from_bytes(folder.to_bytes())).join("pipd")
        }
        _ => PathBuf::from(format!("/tmp/pipd-{}", geteuid().as_raw())),
    }
}
