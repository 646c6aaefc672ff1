//! The records of a run and of the daemon, and how a record is written and read.
//!
//! A record is one header line and one JSON body: `pipd 1 <crc32 of the body, hex> <length of the body>\n`.
//! It is replaced by rename, so a reader sees the old one or the new one. What cannot be read is *unreadable*,
//! never *absent*.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use os::process::ProcessIdentity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wire::{ExitCause, LogSpec, StopSpec, Text};

/// Format of the records of this build.
pub const VERSION: u32 = 1;

/// Largest record read, in bytes.
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// Whether a record must outlive a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Replaced by rename only: whole after a crash of ours, perhaps gone after a power failure.
    Rename,
    /// File and folder synced before the call returns.
    Synced,
}

/// Why a record could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// It is there and makes no sense.
    #[error("{path}: unreadable record: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A newer pipd wrote it.
    #[error("{path}: written by a newer pipd (record format {found}, this one reads up to {VERSION})")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it has.
        found: u32,
    },
}

impl RecordError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }

    fn unreadable(path: &Path, why: impl Into<String>) -> Self {
        Self::Unreadable { path: path.to_owned(), why: why.into() }
    }
}

/// Replaces the record at `path`, mode 0600.
///
/// # Errors
/// When the file system refuses; the old record is then still there.
pub fn write<T: Serialize>(path: &Path, record: &T, durability: Durability) -> Result<(), RecordError> {
    let body =
        serde_json::to_vec(record).map_err(|error| RecordError::unreadable(path, error.to_string()))?;
    let header = format!("pipd {VERSION} {:08x} {}\n", crc32fast::hash(&body), body.len());
    let temporary = temporary(path);
    let result = (|| {
        os::failpoint!("record.create", path)?;
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        os::failpoint!("record.write", path)?;
        let mut bytes = header.into_bytes();
        bytes.extend_from_slice(&body);
        file.write_all(&bytes)?;
        if durability == Durability::Synced {
            file.sync_all()?;
        }
        os::failpoint!("record.rename", path)?;
        std::fs::rename(&temporary, path)?;
        let _ = os::failpoint!("record.renamed", path);
        if durability == Durability::Synced {
            let folder = path.parent().unwrap_or_else(|| Path::new("."));
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    })();
    result.map_err(|error| {
        // A leftover is harmless and the error that matters is the first one.
        let _ = std::fs::remove_file(&temporary);
        RecordError::io(path)(error)
    })
}

/// Where the record at `path` is written by this process before it is put there.
fn temporary(path: &Path) -> PathBuf {
    path.with_extension(format!("tmp{}", std::process::id()))
}

/// Makes the file that this process will write the record at `path` into. Finding room for a new file is what takes
/// longest about a record; where it is waited for, that can be done before. Not doing it, or failing, costs only time.
pub fn prepare(path: &Path) {
    let _ = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(temporary(path));
}

/// Reads the record at `path`; `None` when there is none.
///
/// # Errors
/// When it is there and cannot be read, makes no sense, or is a newer pipd's.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RecordError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RecordError::io(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_RECORD_BYTES).read_to_end(&mut bytes).map_err(RecordError::io(path))?;
    // A header is some thirty bytes long: not worth asking the processor which instructions it has.
    let end = bytes
        .iter()
        .position(|&byte| byte == b'\n')
        .ok_or_else(|| RecordError::unreadable(path, "no header line"))?;
    let (header, body) = (&bytes[..end], &bytes[end + 1..]);
    let header = std::str::from_utf8(header).map_err(|_| RecordError::unreadable(path, "no header line"))?;
    let fields: Vec<&str> = header.split(' ').collect();
    let [magic, version, checksum, length] = fields[..] else {
        return Err(RecordError::unreadable(path, "no header line"));
    };
    if magic != "pipd" {
        return Err(RecordError::unreadable(path, "not a record of pipd"));
    }
    match version.parse::<u32>() {
        Ok(found) if found > VERSION => return Err(RecordError::Newer { path: path.to_owned(), found }),
        Ok(found) if found >= 1 => {}
        _ => return Err(RecordError::unreadable(path, "no format number")),
    }
    if length.parse() != Ok(body.len()) {
        return Err(RecordError::unreadable(path, format!("{length} bytes expected, {} found", body.len())));
    }
    if checksum != format!("{:08x}", crc32fast::hash(body)) {
        return Err(RecordError::unreadable(path, "checksum does not match"));
    }
    serde_json::from_slice(body).map(Some).map_err(|error| RecordError::unreadable(path, error.to_string()))
}

/// What stands between the name of a file that could not be read and the time at which it was put aside.
pub const ASIDE: &str = ".unreadable-";

/// Puts a file that cannot be read aside, under its own name with a time behind it: never deleted, and in nobody's way.
///
/// # Errors
/// When it cannot be renamed; it then lies where it was.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{ASIDE}{}", at.as_millis()));
    // Two within one millisecond are two all the same.
    let mut aside = PathBuf::from(&name);
    for more in 1.. {
        if !aside.exists() {
            break;
        }
        let mut next = name.clone();
        next.push(format!(".{more}"));
        aside = next.into();
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

/// What was put aside in this folder, by name.
pub fn put_aside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let aside = entries.filter(|entry| entry.file_name().to_string_lossy().contains(ASIDE));
    let mut found: Vec<PathBuf> = aside.map(|entry| entry.path()).collect();
    found.sort();
    found
}

/// `spec.json`: all a shim needs to know. Written before anything is spawned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Number of the run, rising within its service.
    pub run: u64,
    /// Identifier of the workspace.
    pub workspace: String,
    /// Name of the service.
    pub service: String,
    /// Value of `PIPD_RUN` in the environment of everything that belongs to the run.
    pub marker: String,
    /// Program and arguments, nothing left to replace.
    pub argv: Vec<Text>,
    /// Folder to run in.
    pub cwd: Text,
    /// The whole environment, `PIPD_RUN` included.
    pub env: Vec<(String, Text)>,
    /// How it is asked to end.
    pub stop: StopSpec,
    /// How much output is kept.
    pub log: LogSpec,
    /// Folder of the log files.
    pub log_dir: Text,
    /// The shim's socket.
    pub socket: Text,
    /// The host folder, for finding the daemon.
    pub host_dir: Text,
    /// The port the service is to listen on; a member that does when main exits with 0 is the service now.
    #[serde(default)]
    pub port: Option<u16>,
    /// Processes started from a JupyterLab terminal are a person's: not swept.
    #[serde(default)]
    pub spare_terminals: bool,
    /// Limits on open files to give the service, soft and hard; those of the shim when absent.
    #[serde(default)]
    pub nofile: Option<(u64, u64)>,
    /// The permissions that files the service makes do not get, as in the caller's shell; the usual 022 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// The process was started by hand and is no child of a shim: it has no marker and its output goes elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// The token of a JupyterLab that was started by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When it was written, milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
}

/// The variable that marks everything that belongs to a run.
pub const MARKER: &str = "PIPD_RUN";

/// `started.json`: written while the child waits between fork and exec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The service's process; also its process group.
    pub main: ProcessIdentity,
    /// The shim that made it.
    pub shim: ProcessIdentity,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// Notes that a run became ready, so that a later daemon shows it so at once and checks it then. Its absence
/// costs a moment of `starting`, so a disk that refuses it is no fault.
pub fn mark_ready(dir: &crate::layout::RunDir) {
    let _ = os::failpoint!("mark.ready");
    let _ = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.ready());
}

/// Who was there when a run last answered, in the file that [`mark_ready`] makes: a later daemon knows by it that one of
/// them has ended while none lived. Empty from daemons that did not write it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Its processes.
    pub pids: Vec<i32>,
}

impl Answered {
    /// Writes it down. What a disk refuses is known to nobody later, which is no fault.
    pub fn note(&self, dir: &crate::layout::RunDir) {
        let mut text = self.at_ms.to_string();
        for pid in &self.pids {
            text.push_str(&format!(" {pid}"));
        }
        text.push('\n');
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(dir.ready());
        let _ = file.and_then(|mut file| file.write_all(text.as_bytes()));
    }

    /// What was written down, if it is whole.
    pub fn read(dir: &crate::layout::RunDir) -> Option<Self> {
        let text = std::fs::read_to_string(dir.ready()).ok()?;
        let mut words = text.strip_suffix('\n')?.split(' ');
        let at_ms = words.next()?.parse().ok()?;
        Some(Self { at_ms, pids: words.map(str::parse).collect::<Result<_, _>>().ok()? })
    }
}

/// Notes that a run was asked to end, so that a later daemon does not take it for one that goes on.
pub fn mark_stopping(dir: &crate::layout::RunDir) {
    let _ = os::failpoint!("mark.stopping");
    let _ = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.stopping());
}

/// `exit.json`: written when nothing of the run is left. Without `main` it is a tombstone: the run never came
/// to life or its end was not witnessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// What ended it.
    pub cause: ExitCause,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// How long it ran, in milliseconds.
    #[serde(default)]
    pub uptime_ms: u64,
    /// It was asked to end.
    #[serde(default)]
    pub asked: bool,
    /// Killed for memory: yes, no, or not known.
    #[serde(default)]
    pub out_of_memory: Option<bool>,
    /// User and system time, in milliseconds, and the largest resident size, in KiB, when known.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// Command lines of what was left of its tree and had to be ended.
    #[serde(default)]
    pub swept: Vec<String>,
    /// Command lines of what a person had detached; still running.
    #[serde(default)]
    pub left_running: Vec<String>,
    /// Processes that would not die; still there.
    #[serde(default)]
    pub unkillable: Vec<i32>,
}

/// What a run used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Time in user mode, in milliseconds.
    pub user_ms: u64,
    /// Time in the kernel, in milliseconds.
    pub system_ms: u64,
    /// Largest resident size, in KiB.
    pub max_rss_kib: u64,
}

/// `daemon.json`: read before any start of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonRecord {
    /// Whether a daemon is to live.
    pub goal: DaemonGoal,
    /// Its program.
    pub exe: Text,
    /// Who starts it: `none`, `systemd`, `launchd`.
    #[serde(default)]
    pub manager: String,
    /// Its process, when it wrote this.
    #[serde(default)]
    pub process: Option<ProcessIdentity>,
    /// It left because its session ended: what the next one begins is a new session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub session_ended: bool,
    /// When the session began that it served in, as far as daemons have seen it: milliseconds since the Unix epoch. 0
    /// when not known.
    #[serde(default)]
    pub session_began_ms: i64,
}

/// `autostart.json`: which workspaces come back at login and boot. Without it all of them do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutostartRecord {
    /// Those that are not named below.
    pub others: bool,
    /// Folders of workspaces about which something was said.
    #[serde(default)]
    pub workspaces: Vec<AutostartChoice>,
}

/// What was said about one workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutostartChoice {
    /// Its folder.
    pub root: Text,
    /// Whether it comes back.
    pub comes: bool,
}

impl AutostartRecord {
    /// With nothing said: every workspace comes back, or none.
    pub fn of(others: bool) -> Self {
        Self { others, workspaces: Vec::new() }
    }

    /// Whether the workspace in this folder comes back.
    pub fn covers(&self, root: &Text) -> bool {
        self.covers_any([root])
    }

    /// The same for one that is known by several folders: the first about which something was said counts.
    pub fn covers_any<'a>(&self, roots: impl IntoIterator<Item = &'a Text>) -> bool {
        let said = |root: &Text| self.workspaces.iter().find(|choice| choice.root == *root);
        roots.into_iter().find_map(said).map_or(self.others, |choice| choice.comes)
    }

    /// Says it of one workspace.
    pub fn choose(&mut self, root: Text, comes: bool) {
        self.workspaces.retain(|choice| choice.root != root);
        if comes != self.others {
            self.workspaces.push(AutostartChoice { root, comes });
        }
    }

    /// Whether no workspace comes back at all.
    pub fn is_empty(&self) -> bool {
        !self.others && self.workspaces.iter().all(|choice| !choice.comes)
    }
}

/// Whether a daemon is to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DaemonGoal {
    /// Yes: one that is gone died without goodbye.
    Up,
    /// No: a person stopped it.
    Down,
    /// A new one is about to take over.
    Handover,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_prepared_record_is_written_into_the_file_made_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exit.json");
        prepare(&path);
        assert!(read::<Usage>(&path).unwrap().is_none());
        let made = std::fs::metadata(temporary(&path)).unwrap();
        assert_eq!(made.mode() & 0o777, 0o600);
        let usage = Usage { user_ms: 1, system_ms: 2, max_rss_kib: 3 };
        write(&path, &usage, Durability::Rename).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), made.ino());
        assert_eq!(read(&path).unwrap(), Some(usage));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
