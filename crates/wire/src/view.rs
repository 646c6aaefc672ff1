//! What `pipd` publishes of itself: the snapshot that `status`, editors and `list` read.

use serde::{Deserialize, Serialize};

use crate::{DependSpec, JupyterView, Kind, Text};

/// Everything a reader may want, as of one moment. `generation` rises with every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Rises with every published change; starts anew with every daemon.
    pub generation: u64,
    /// When it was taken, milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
    /// What concerns the daemon itself ("state is not persistent: …").
    #[serde(default)]
    pub warnings: Vec<String>,
    /// In the order of their root paths.
    #[serde(default)]
    pub workspaces: Vec<WorkspaceView>,
}

/// One workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceView {
    /// Stable identifier, made from the canonical path at the first start. It stays when the folder is moved.
    pub id: String,
    /// Canonical path of the folder.
    pub root: Option<Text>,
    /// The folder is not there: it was deleted, or moved where it was not found yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Where the folder was before it was moved, the last place first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Text>,
    /// In the order of the configuration.
    #[serde(default)]
    pub services: Vec<ServiceView>,
    /// What a person should look at.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What its services use and pipd does not run. Whoever shows it asks them; the daemon does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<DependSpec>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// Who runs it.
    #[serde(default)]
    pub owner: Owner,
    /// What the user wants.
    pub goal: Goal,
    /// Where it is.
    pub phase: Phase,
    /// Why it is there, one line, when the phase alone does not say it ("port 8888 is held by …").
    #[serde(default)]
    pub detail: Option<String>,
    /// The command to type next.
    #[serde(default)]
    pub hint: Option<String>,
    /// When it entered the phase, milliseconds since the Unix epoch.
    #[serde(default)]
    pub since_ms: i64,
    /// The run it is in, or was in last; numbers rise and are never used twice.
    #[serde(default)]
    pub run: Option<u64>,
    /// Process of the present run.
    #[serde(default)]
    pub pid: Option<i32>,
    /// The shim that is that process's parent.
    #[serde(default)]
    pub shim_pid: Option<i32>,
    /// The release that shim is of, when it is not the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shim_version: Option<String>,
    /// When the present run was started, milliseconds since the Unix epoch.
    #[serde(default)]
    pub started_ms: Option<i64>,
    /// The port it has or is to have.
    #[serde(default)]
    pub port: Option<u16>,
    /// Address for people, without any secret.
    #[serde(default)]
    pub address: Option<String>,
    /// The same with what is needed to log in.
    #[serde(default)]
    pub url: Option<String>,
    /// Restarts since the last `start`.
    #[serde(default)]
    pub restarts: u64,
    /// When the next attempt is due, milliseconds since the Unix epoch.
    #[serde(default)]
    pub next_try_ms: Option<i64>,
    /// How the last run ended.
    #[serde(default)]
    pub last_exit: Option<ExitView>,
    /// Who holds the port, when somebody else does.
    #[serde(default)]
    pub holders: Vec<HolderView>,
    /// What a JupyterLab has said of its kernels last, when somebody wanted to know; see `at_ms` for its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jupyter: Option<JupyterView>,
    /// Folder of its log files.
    #[serde(default)]
    pub log_dir: Option<Text>,
    /// What a person should look at.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Commands to choose from where there is more than one way on, each with what it does. The first is `hint`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// Who runs a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// pipd.
    #[default]
    Managed,
    /// Somebody by hand, in this workspace's folder.
    External,
    /// Somebody else, or whoever a newer daemon names.
    #[serde(other)]
    Foreign,
}

impl Owner {
    /// What a holder is unless something else is said of it.
    fn foreign() -> Self {
        Self::Foreign
    }

    fn is_foreign(&self) -> bool {
        *self == Self::Foreign
    }
}

/// What the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// It is to run.
    Up,
    /// It is not to run.
    #[default]
    Down,
}

/// Where a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Not running, and not wanted.
    Down,
    /// Wanted, but something outside must change first.
    Blocked,
    /// A process is being made.
    Spawning,
    /// The process lives and is not ready yet.
    Starting,
    /// Ready.
    Ready,
    /// It was ready; it lives and does not answer.
    Unhealthy,
    /// It was asked to end.
    Stopping,
    /// It failed; the next attempt has a time.
    Backoff,
    /// It ended by itself, cleanly.
    Finished,
    /// It failed as often as its start limit allows.
    GaveUp,
    /// Somebody runs it by hand.
    External,
    /// Somebody ran it by hand and may be about to do so again; with `next_try_ms` pipd starts its own then.
    Quiet,
    /// A phase of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Somebody who listens on a port we want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderView {
    /// Address it listens on.
    pub address: String,
    /// Its process, when this user may see it.
    #[serde(default)]
    pub pid: Option<i32>,
    /// Its user.
    #[serde(default)]
    pub user: Option<String>,
    /// Its command line.
    #[serde(default)]
    pub command: Option<String>,
    /// Its folder.
    #[serde(default)]
    pub cwd: Option<String>,
    /// When it was started, milliseconds since the Unix epoch.
    #[serde(default)]
    pub since_ms: Option<i64>,
    /// Workspace and service, when it is a run of ours.
    #[serde(default)]
    pub service: Option<String>,
    /// Whose it is: a run of pipd's, started by hand in this workspace, or somebody else's.
    #[serde(default = "Owner::foreign", skip_serializing_if = "Owner::is_foreign")]
    pub owner: Owner,
    /// From where it was started, for people: "Cursor, terminal pts/3".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

impl Default for HolderView {
    /// Somebody of whom nothing is known.
    fn default() -> Self {
        Self {
            address: String::new(),
            pid: None,
            user: None,
            command: None,
            cwd: None,
            since_ms: None,
            service: None,
            owner: Owner::Foreign,
            from: None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitView {
    /// What ended it.
    pub cause: ExitCause,
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
    /// How long it ran, in milliseconds.
    #[serde(default)]
    pub uptime_ms: u64,
    /// It was asked to end.
    #[serde(default)]
    pub asked: bool,
    /// The system killed it for lack of memory: yes, no, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_memory: Option<bool>,
    /// What was left of its tree and had to be ended, command lines.
    #[serde(default)]
    pub swept: Vec<String>,
    /// What was left running because a person had detached it.
    #[serde(default)]
    pub left_running: Vec<String>,
}

/// What ended a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitCause {
    /// It returned a code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// It could not be executed.
    ExecFailed {
        /// What could not be executed, and why, for people.
        message: String,
        /// The error number.
        errno: i32,
    },
    /// It ended while nobody who could know was its parent.
    Unknown,
}

impl std::fmt::Display for ExitCause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
            Self::ExecFailed { message, .. } => f.write_str(message),
            Self::Unknown => f.write_str("ended, code unknown"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    // The numbers on which Linux and macOS agree.
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        _ => return None,
    })
}

/// One life of a service, for `why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunView {
    /// Its number.
    pub run: u64,
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub started_ms: Option<i64>,
    /// Its process.
    #[serde(default)]
    pub pid: Option<i32>,
    /// How it ended; absent while it lives.
    #[serde(default)]
    pub exit: Option<ExitView>,
    /// Last lines of a Python traceback it printed, or its last words.
    #[serde(default)]
    pub last_words: Vec<String>,
}
