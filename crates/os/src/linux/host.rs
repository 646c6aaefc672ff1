//! Machine, pid namespace, boot, runtime folder.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::unix::paths::absolute_variable;

/// What tells this machine from others that may share a home; `None` when it has no id.
pub(crate) fn machine_id() -> io::Result<Option<Vec<u8>>> {
    for path in ["/etc/machine-id", "/var/lib/dbus/machine-id"] {
        if let Ok(text) = fs::read_to_string(path) {
            let id = text.trim();
            if !id.is_empty() && id != "uninitialized" {
                return Ok(Some(id.as_bytes().to_vec()));
            }
        }
    }
    Ok(None)
}

/// The pid namespace: a number means another process in each of them.
pub(crate) fn namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino())
}

pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// `$XDG_RUNTIME_DIR/pipd` or `/run/user/<uid>/pipd` where that folder is ours (after `su` the variable names
/// another user's), else a folder in /tmp that carries our uid.
pub(crate) fn runtime_root() -> PathBuf {
    let uid = geteuid().as_raw();
    let login = absolute_variable("XDG_RUNTIME_DIR")
        .filter(|folder| is_ours(folder, uid))
        .or_else(|| Some(PathBuf::from(format!("/run/user/{uid}"))).filter(|folder| is_ours(folder, uid)));
    match login {
        Some(folder) => folder.join("pipd"),
        None => PathBuf::from(format!("/tmp/pipd-{uid}")),
    }
}

fn is_ours(folder: &Path, uid: u32) -> bool {
    fs::metadata(folder).is_ok_and(|facts| facts.is_dir() && facts.uid() == uid)
}
