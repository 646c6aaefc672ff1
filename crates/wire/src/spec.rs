//! What a workspace wants to have running. Made by `crates/workspace`, kept and carried out by `pipd`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Text;

/// Under this name the caller's umask, in octal digits, travels with the environment that is captured. No variable of
/// this name reaches a service.
pub const UMASK: &str = "PIPD_UMASK";

/// A workspace as found by the client: its folder, its services and the caller's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceSpec {
    /// Canonical path of the folder.
    pub root: Text,
    /// Environment of the caller, already cleaned (see `docs/environment.md`). Empty means: use what was
    /// captured before.
    #[serde(default)]
    pub env: BTreeMap<String, Text>,
    /// Services in the order of the configuration; the order in which they are shown.
    #[serde(default)]
    pub services: Vec<ServiceSpec>,
    /// What was found and why, one sentence each, for people.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What a person should look at although everything works, one sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What its services use and pipd does not run, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<DependSpec>,
}

/// Something outside that services of a workspace use when it is there. Shown, never waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DependSpec {
    /// As a service is named.
    pub name: String,
    /// Where it answers, `http://localhost:11434`.
    pub url: String,
}

/// One service of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// `[a-z0-9][a-z0-9_-]{0,63}`.
    pub name: String,
    /// What it is; decides defaults and what `stop` warns about.
    #[serde(default)]
    pub kind: Kind,
    /// Program and arguments. `{port}` and `{root}` are replaced when a run is spawned.
    pub argv: Vec<Text>,
    /// Absolute folder to run in.
    pub cwd: Text,
    /// Set on top of the captured environment; `{port}` and `{root}` are replaced. `None` removes.
    #[serde(default)]
    pub env: BTreeMap<String, Option<Text>>,
    /// Absolute paths of `.env` files, read at every spawn, applied before `env`.
    #[serde(default)]
    pub env_files: Vec<Text>,
    /// The port it is to listen on, if it serves.
    #[serde(default)]
    pub port: Option<PortSpec>,
    /// When it counts as ready.
    #[serde(default)]
    pub ready: ReadySpec,
    /// How it is asked to end.
    #[serde(default)]
    pub stop: StopSpec,
    /// When it is started again.
    #[serde(default)]
    pub restart: RestartSpec,
    /// What follows the end of a server that somebody started by hand.
    #[serde(default, skip_serializing_if = "ExternalPolicy::is_default")]
    pub external: ExternalPolicy,
    /// Services of this workspace that must be ready first.
    #[serde(default)]
    pub after: Vec<String>,
    /// How much of its output is kept.
    #[serde(default)]
    pub logs: LogSpec,
    /// Path part of the URL shown to people, `/` or `/lab`.
    #[serde(default)]
    pub url_path: String,
    /// Files whose change lets a failing service try again at once.
    #[serde(default)]
    pub watch: Vec<Text>,
    /// Why this service exists: "server.py calls serve()".
    #[serde(default)]
    pub found: String,
    /// Set when it must not be started, with the reason and the command that mends it.
    #[serde(default)]
    pub refused: Option<String>,
    /// What it names and what was not there when the configuration was read. It is blocked as long as that is so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absent>,
    /// Shown in `status` while it runs.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A file or folder that a service cannot be started without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Absent {
    /// Its absolute path.
    pub path: Text,
    /// What is to be there.
    #[serde(default)]
    pub wanted: Place,
    /// What was found instead and where it was asked for, for people.
    pub detail: String,
    /// The command to type next.
    #[serde(default)]
    pub hint: Option<String>,
}

/// What can be at a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A folder.
    Folder,
    /// A file that may be executed.
    Program,
    /// A file, or whatever a newer peer asks for.
    #[default]
    #[serde(other)]
    File,
}

/// What follows the end of a server that somebody started by hand, while the service is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExternalPolicy {
    /// One of pipd's, when the port has been quiet for a while.
    #[default]
    Takeover,
    /// Nothing, until somebody asks.
    Leave,
}

impl ExternalPolicy {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A JupyterLab: has kernels and terminals, gets the workspace's token, is never restarted while it lives.
    Jupyter,
    /// A web application.
    Web,
    /// Anything else, and whatever a newer peer calls by a name this build does not know.
    #[default]
    #[serde(other)]
    Command,
}

/// The port a service is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortSpec {
    /// This one or none.
    Fixed(u16),
    /// The next free one from here, remembered for the workspace.
    Auto(u16),
}

/// When a service counts as ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadySpec {
    /// What must be seen.
    #[serde(default)]
    pub check: ReadyCheck,
    /// Accept an answer from a socket that is not of the run's own tree (a container engine's proxy).
    #[serde(default)]
    pub any_owner: bool,
    /// How long a start may take, in milliseconds.
    #[serde(default = "ReadySpec::default_timeout_ms")]
    pub timeout_ms: u64,
}

impl ReadySpec {
    /// The start deadline where none is configured: 60 s.
    pub const fn default_timeout_ms() -> u64 {
        60_000
    }
}

impl Default for ReadySpec {
    fn default() -> Self {
        Self { check: ReadyCheck::None, any_owner: false, timeout_ms: Self::default_timeout_ms() }
    }
}

/// What proves readiness.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyCheck {
    /// Running is ready.
    #[default]
    None,
    /// A listener of the run's tree accepts on the port.
    Tcp,
    /// An HTTP answer on the port from a listener of the run's tree.
    Http {
        /// Path asked for, `/api`.
        path: String,
        /// The status that counts; any when absent.
        #[serde(default)]
        status: Option<u16>,
    },
}

/// How a service is asked to end: the ladder, then the sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSpec {
    /// Steps in the order of their time.
    pub steps: Vec<StopStep>,
    /// Grace of the sweep between terminate and kill, in milliseconds.
    pub sweep_ms: u64,
}

impl StopSpec {
    /// The ladder of a web server: TERM and CONT at once; TERM again and INT to the group at a third of the
    /// grace, after a second at the latest (uvicorn with an open stream needs it), INT once more at two thirds; KILL
    /// to the tree at the end.
    pub fn web(grace_ms: u64) -> Self {
        let third = grace_ms / 3;
        let soon = third.min(1_000);
        Self::ladder(&[
            (0, Signal::Term, StopTarget::Main),
            (0, Signal::Cont, StopTarget::Group),
            (soon, Signal::Term, StopTarget::Main),
            (soon, Signal::Int, StopTarget::Group),
            (2 * third, Signal::Int, StopTarget::Group),
            (grace_ms, Signal::Kill, StopTarget::Tree),
        ])
    }

    /// The ladder of JupyterLab: a TERM can be lost, so it is repeated at a third; INT leaves stale runtime
    /// files, so it comes only in the last second.
    pub fn jupyter(grace_ms: u64) -> Self {
        Self::ladder(&[
            (0, Signal::Term, StopTarget::Main),
            (0, Signal::Cont, StopTarget::Group),
            (grace_ms / 3, Signal::Term, StopTarget::Main),
            (grace_ms.saturating_sub(1_000), Signal::Int, StopTarget::Main),
            (grace_ms, Signal::Kill, StopTarget::Tree),
        ])
    }

    /// The ladder of any other command, beginning with a signal of its own.
    pub fn command(signal: Signal, grace_ms: u64) -> Self {
        Self::ladder(&[
            (0, signal, StopTarget::Main),
            (0, Signal::Cont, StopTarget::Group),
            (grace_ms / 3, signal, StopTarget::Main),
            (grace_ms, Signal::Kill, StopTarget::Tree),
        ])
    }

    fn ladder(steps: &[(u64, Signal, StopTarget)]) -> Self {
        Self {
            steps: steps.iter().map(|&(after_ms, signal, to)| StopStep { after_ms, signal, to }).collect(),
            sweep_ms: 2_000,
        }
    }

    /// Time from the request to the KILL, in milliseconds.
    pub fn grace_ms(&self) -> u64 {
        self.steps.last().map_or(0, |step| step.after_ms)
    }
}

impl Default for StopSpec {
    fn default() -> Self {
        Self::command(Signal::Term, 5_000)
    }
}

/// One step of a stop ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStep {
    /// Milliseconds after the stop was asked for.
    pub after_ms: u64,
    /// What is sent.
    pub signal: Signal,
    /// To whom.
    pub to: StopTarget,
}

/// The signals pipd sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Signal {
    /// SIGTERM
    Term,
    /// SIGINT
    Int,
    /// SIGHUP
    Hup,
    /// SIGQUIT
    Quit,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
    /// SIGCONT
    Cont,
    /// SIGKILL
    Kill,
}

/// Whom a step of the stop ladder reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopTarget {
    /// The process that was spawned.
    Main,
    /// Its process group.
    Group,
    /// Everything that belongs to the run.
    Tree,
}

/// When a service is started again after its process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartSpec {
    /// Which ends are followed by a start.
    #[serde(default)]
    pub policy: RestartPolicy,
    /// Delay of the first restart after a healthy stretch, in milliseconds.
    #[serde(default)]
    pub first_ms: u64,
    /// Uptime after which the backoff starts anew, in milliseconds.
    #[serde(default = "RestartSpec::default_healthy_after_ms")]
    pub healthy_after_ms: u64,
    /// Longest delay between restarts, in milliseconds.
    #[serde(default = "RestartSpec::default_cap_ms")]
    pub cap_ms: u64,
    /// Starts without a healthy stretch after which it is given up; never when absent.
    #[serde(default)]
    pub start_limit: Option<u32>,
}

impl RestartSpec {
    /// 60 s.
    pub const fn default_healthy_after_ms() -> u64 {
        60_000
    }

    /// 30 s.
    pub const fn default_cap_ms() -> u64 {
        30_000
    }
}

impl Default for RestartSpec {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::OnFailure,
            first_ms: 0,
            healthy_after_ms: Self::default_healthy_after_ms(),
            cap_ms: Self::default_cap_ms(),
            start_limit: None,
        }
    }
}

/// Which ends are followed by a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// None.
    Never,
    /// A code other than 0, or a signal nobody asked for.
    #[default]
    OnFailure,
    /// Every one but a stop.
    Always,
}

/// How much output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Size at which a file is followed by the next, in bytes.
    pub file_bytes: u64,
    /// Files kept, the current one included.
    pub files: u32,
}

impl Default for LogSpec {
    /// 5 files of 10 MiB.
    fn default() -> Self {
        Self { file_bytes: 10 << 20, files: 5 }
    }
}
