//! Where everything lies. The only place that knows a file name.
//!
//! ```text
//! <root>/hosts/<host>/
//!   daemon.lock  daemon.json  autostart.json  pipd.sock  pipd.log
//!   s/<hash>.sock                            one per live run, the shim's
//!   workspaces/<id>/workspace.json
//!   forgotten/                               workspaces on their way out
//!   workspaces/<id>/services/<service>/runs/<number>/   lock spec.json started.json exit.json ready stopping out err spool
//!   workspaces/<id>/services/<service>/log/<number>.log  log/probes
//! ```

use std::path::{Path, PathBuf};

/// Everything of one user on one host (machine and pid namespace), below one root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDir(PathBuf);

impl HostDir {
    /// The folder for `host` below `root`.
    pub fn new(root: &Path, host: &str) -> Self {
        Self(root.join("hosts").join(host))
    }

    /// The folder by its path, as a run's specification names it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Held by the daemon for its life; never unlinked.
    pub fn daemon_lock(&self) -> PathBuf {
        self.0.join("daemon.lock")
    }

    /// The daemon's goodbye, see [`crate::record::DaemonRecord`].
    pub fn daemon_record(&self) -> PathBuf {
        self.0.join("daemon.json")
    }

    /// Which workspaces come back at login, see [`crate::record::AutostartRecord`].
    pub fn autostart_record(&self) -> PathBuf {
        self.0.join("autostart.json")
    }

    /// Where clients connect.
    pub fn socket(&self) -> PathBuf {
        self.0.join("pipd.sock")
    }

    /// The daemon's own log, where no service manager keeps it.
    pub fn daemon_log(&self) -> PathBuf {
        self.0.join("pipd.log")
    }

    /// What was said while the environment of a workspace was made.
    pub fn setup_log(&self, id: &str) -> PathBuf {
        self.0.join("setup").join(format!("{id}.log"))
    }

    /// Folder of the shims' sockets.
    pub fn shim_sockets(&self) -> PathBuf {
        self.0.join("s")
    }

    /// The socket of the shim of the run with this marker. Short: a socket path holds 103 bytes on macOS.
    pub fn shim_socket(&self, marker: &str) -> PathBuf {
        self.shim_sockets().join(format!("{:016x}.sock", fnv1a(marker.as_bytes())))
    }

    /// Folder of all workspaces.
    pub fn workspaces(&self) -> PathBuf {
        self.0.join("workspaces")
    }

    /// What was forgotten and is being removed.
    pub fn forgotten(&self) -> PathBuf {
        self.0.join("forgotten")
    }

    /// One workspace.
    pub fn workspace(&self, id: &str) -> WorkspaceDir {
        WorkspaceDir(self.workspaces().join(id))
    }
}

/// One workspace's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceDir(PathBuf);

impl WorkspaceDir {
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Goals, specifications, environment, token.
    pub fn record(&self) -> PathBuf {
        self.0.join("workspace.json")
    }

    /// Folder of all services.
    pub fn services(&self) -> PathBuf {
        self.0.join("services")
    }

    /// One service.
    pub fn service(&self, name: &str) -> ServiceDir {
        ServiceDir(self.services().join(name))
    }
}

/// One service's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDir(PathBuf);

impl ServiceDir {
    /// Folder of the log files, shared by all runs.
    pub fn logs(&self) -> PathBuf {
        self.0.join("log")
    }

    /// Folder of all runs.
    pub fn runs(&self) -> PathBuf {
        self.0.join("runs")
    }

    /// One run. Numbers sort as text up to ten digits.
    pub fn run(&self, number: u64) -> RunDir {
        RunDir(self.runs().join(format!("{number:010}")))
    }

    /// Numbers of the runs that have a folder, rising.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub fn run_numbers(&self) -> std::io::Result<Vec<u64>> {
        let entries = match std::fs::read_dir(self.runs()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// One run's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// A run's folder by its path, as the shim is given it.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Of the service it is a run of.
    pub fn service(&self) -> ServiceDir {
        ServiceDir(self.0.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_owned())
    }

    /// Taken by pipd before anything else, inherited by the shim, held for the shim's life; never unlinked
    /// while it may be held.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// [`crate::record::RunSpec`], written before anything is spawned.
    pub fn spec(&self) -> PathBuf {
        self.0.join("spec.json")
    }

    /// [`crate::record::Started`], written while the child still waits to execute.
    pub fn started(&self) -> PathBuf {
        self.0.join("started.json")
    }

    /// [`crate::record::Exited`], written when nothing of the run is left. Also the tombstone.
    pub fn exited(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    /// There once the run was ready: [`crate::record::mark_ready`], [`crate::record::Answered`].
    pub fn ready(&self) -> PathBuf {
        self.0.join("ready")
    }

    /// Empty; there once the run was asked to end.
    pub fn stopping(&self) -> PathBuf {
        self.0.join("stopping")
    }

    /// FIFO of the standard output.
    pub fn out(&self) -> PathBuf {
        self.0.join("out")
    }

    /// FIFO of the standard error.
    pub fn err(&self) -> PathBuf {
        self.0.join("err")
    }

    /// What was read and not yet logged, as a shared mapping.
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }
}

/// The identifier that a workspace gets where it is first seen: the folder's name for people, a hash of the canonical
/// path to tell it from others. It keeps it when the folder is moved, so a path leads to it by the record
/// ([`crate::workspace::id_of`]) and not by this.
pub fn workspace_id(canonical_root: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let name: String = canonical_root
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(24)
        .collect();
    let hash = fnv1a(canonical_root.as_os_str().as_bytes());
    if name.is_empty() { format!("root-{hash:016x}") } else { format!("{name}-{hash:016x}") }
}

/// FNV-1a, 64 bits: the same value for ever and on every machine, which std's hasher does not promise.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_socket_fits_the_shortest_limit() {
        let host = HostDir::new(Path::new("/home/a-rather-long-name/.local/state/pipd"), "0123456789ab");
        assert!(host.shim_socket("x").as_os_str().len() < 104, "{:?}", host.shim_socket("x"));
    }

    #[test]
    fn identifiers_are_stable_and_tell_folders_apart() {
        assert_eq!(workspace_id(Path::new("/home/ü/My Work")), workspace_id(Path::new("/home/ü/My Work")));
        assert!(workspace_id(Path::new("/home/x/My Work")).starts_with("my-work-"));
        assert_ne!(workspace_id(Path::new("/a/w")), workspace_id(Path::new("/b/w")));
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c); // published test vector
    }
}
