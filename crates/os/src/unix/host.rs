//! Which machine, container and boot this is.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use crate::sys;

/// Names this host and pid namespace in 12 hexadecimal digits.
///
/// A state folder may be shared by hosts (a home on a file server) and by containers; what one of them wrote about
/// its processes means nothing to the other.
///
/// # Errors
/// When the machine has neither an id nor a host name.
pub fn host_key() -> io::Result<String> {
    let machine = match sys::host::machine_id()? {
        Some(id) => id,
        None => host_name()?,
    };
    let mut hash = Fnv::new();
    hash.add(&machine);
    hash.add(&sys::host::namespace().to_le_bytes());
    Ok(format!("{:012x}", hash.0 >> 16 ^ hash.0 & 0xffff))
}

/// Names this boot; processes of another boot are gone, whatever their number. Read once.
///
/// # Errors
/// When the system does not tell.
pub fn boot_id() -> io::Result<String> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Ok(boot.clone());
    }
    let boot = sys::host::boot_id()?;
    Ok(BOOT.get_or_init(|| boot).clone())
}

/// The service manager that each user may have on this system: `systemd` or `launchd`.
pub const SERVICE_MANAGER: &str = sys::host::SERVICE_MANAGER;

/// The runtime folder of this user's systemd, when it runs: `$XDG_RUNTIME_DIR`, else `/run/user/<uid>`. `None` on
/// macOS, where the manager needs no folder.
#[must_use]
pub fn user_manager() -> Option<PathBuf> {
    sys::host::user_manager()
}

/// The control group of a process as systemd names it; `None` where there are none, or the process is gone.
#[must_use]
pub fn control_group(pid: i32) -> Option<String> {
    sys::host::control_group(pid)
}

/// Whether the machine is about to go down, where the kernel says so (macOS).
#[must_use]
pub fn shutting_down() -> bool {
    sys::host::shutting_down()
}

fn host_name() -> io::Result<Vec<u8>> {
    let mut buffer = [0_u8; 256];
    // SAFETY: the buffer is writable for the length given, and one byte is kept for the NUL.
    crate::unix::raw::check(unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) })?;
    let name = CStr::from_bytes_until_nul(&buffer).map(CStr::to_bytes).unwrap_or_default();
    if name.is_empty() {
        return Err(io::Error::other(
            "this machine has neither an id nor a host name: write one to /etc/machine-id",
        ));
    }
    Ok(OsStr::from_bytes(name).as_bytes().to_vec())
}

/// FNV-1a: stable over releases, which the hashes of std do not promise.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// A hash that is the same for ever.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash = Fnv::new();
    hash.add(bytes);
    hash.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_stable_and_short() {
        let key = host_key().unwrap();
        assert_eq!(key, host_key().unwrap());
        assert_eq!(key.len(), 12, "{key}");
        assert!(key.bytes().all(|b| b.is_ascii_hexdigit()), "{key}");
    }

    #[test]
    fn the_boot_has_a_name() {
        assert!(!boot_id().unwrap().is_empty());
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }

    #[test]
    fn fnv_is_fnv_1a() {
        let mut hash = Fnv::new();
        hash.add(b"foobar");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }
}
