//! Machine, pid namespace, boot, runtime folder.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt};
use std::os::unix::net::SocketAddr;
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
///
/// A whole system that runs in a container gets a new one at each boot, and has a machine id of its own: it counts
/// as the first namespace, or its state would be lost with every boot.
pub(crate) fn namespace() -> u64 {
    let init = fs::read_to_string("/proc/1/comm").unwrap_or_default();
    if init.trim_end() == "systemd" && Path::new("/run/systemd/system").is_dir() {
        return FIRST_NAMESPACE;
    }
    fs::metadata("/proc/self/ns/pid").map_or(0, |facts| facts.ino())
}

/// The number that the kernel gives to the namespace it boots with.
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The service manager there may be for each user.
pub(crate) const SERVICE_MANAGER: &str = "systemd";

/// No folder of a home is kept from the home's own user.
pub(crate) const GUARDED: &[&str] = &[];

/// A socket's address that is no path.
pub(crate) fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

/// The folder of the user's service manager, when one runs: the one it listens in.
pub(crate) fn user_manager() -> Option<PathBuf> {
    let uid = geteuid().as_raw();
    let folder =
        absolute_variable("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from(format!("/run/user/{uid}")));
    let socket = fs::symlink_metadata(folder.join("systemd/private")).ok()?;
    (socket.file_type().is_socket() && socket.uid() == uid).then_some(folder)
}

/// The control group of a process, as a path from the root of the hierarchy that the service manager made.
pub(crate) fn control_group(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let of = |which: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines.filter(|(kind, path)| *kind == which && *path != "/").map(|(_, path)| path.to_owned()).next()
    };
    // The unified hierarchy has no name; beside older ones either may be the one in use.
    of("").or_else(|| of("name=systemd"))
}

/// Whether the machine is about to go down. Here the service manager is asked instead.
pub(crate) fn shutting_down() -> bool {
    false
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

/// Below `/dev/shm`, where that is memory.
pub(crate) fn memory_root() -> Option<PathBuf> {
    let shared = Path::new("/dev/shm");
    let kind = nix::sys::statfs::statfs(shared).ok()?.filesystem_type();
    (kind == nix::sys::statfs::TMPFS_MAGIC).then(|| shared.join(format!("pipd-{}", geteuid())))
}

fn is_ours(folder: &Path, uid: u32) -> bool {
    fs::metadata(folder).is_ok_and(|facts| facts.is_dir() && facts.uid() == uid)
}
