//! What is gathered only when somebody asks: processes and what they use, listening addresses, kernels.

use serde::{Deserialize, Serialize};

use crate::{ExitCause, Text};

/// For `service.details`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailsParams {
    /// Canonical path of one workspace; all when absent.
    #[serde(default)]
    pub root: Option<Text>,
    /// Which services; all when empty.
    #[serde(default)]
    pub services: Vec<String>,
}

/// Answer to `service.details`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailsAnswer {
    /// When it was answered, milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
    /// The memory of this machine; absent where the system does not tell.
    #[serde(default)]
    pub memory: Option<MemoryView>,
    /// One for each service that has a process, in the order of `status`.
    #[serde(default)]
    pub services: Vec<ServiceDetails>,
}

/// The memory of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryView {
    /// All of it, in bytes.
    pub total_bytes: u64,
    /// What programs could still get, in bytes.
    pub available_bytes: u64,
    /// For how much of the last ten seconds something waited for memory, in percent.
    #[serde(default)]
    pub stalled_percent: Option<u32>,
}

/// One service. Every group of facts has its own age.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDetails {
    /// Canonical path of its workspace.
    #[serde(default)]
    pub root: Option<Text>,
    /// Its name.
    pub name: String,
    /// The run these facts are of.
    #[serde(default)]
    pub run: Option<u64>,
    /// Its processes and what they use.
    #[serde(default)]
    pub tree: Option<TreeView>,
    /// Where it really listens.
    #[serde(default)]
    pub listening: Option<ListeningView>,
    /// Kernels and terminals, of a JupyterLab.
    #[serde(default)]
    pub jupyter: Option<JupyterView>,
}

/// The processes of a run: its main process, what descends from it, and what a person runs in its terminals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeView {
    /// When they were looked at, milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
    /// How many there are.
    pub processes: u32,
    /// What they use together, in bytes.
    pub memory_bytes: u64,
    /// How that is counted.
    #[serde(default)]
    pub memory_kind: MemoryKind,
    /// Processor time since the start of the run, of what lives and of what it has reaped, in milliseconds.
    pub cpu_ms: u64,
    /// Processor time since somebody asked last, in percent of one core; absent the first time.
    #[serde(default)]
    pub cpu_percent: Option<u32>,
    /// How long ago that was, in milliseconds.
    #[serde(default)]
    pub cpu_over_ms: Option<u64>,
}

/// How the memory of several processes is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryKind {
    /// Proportional set size: what several processes share is counted once.
    Pss,
    /// Resident set size: what several processes share is counted for each.
    #[default]
    #[serde(other)]
    Rss,
}

/// Where a run listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListeningView {
    /// When it was looked at, milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
    /// Address and port of every listening socket; those that kernels have for themselves are left out.
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// A JupyterLab from within.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JupyterView {
    /// When it was asked, milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
    /// Why it did not say what its kernels do; they count as busy then.
    #[serde(default)]
    pub silent: Option<String>,
    /// Its kernels, the busy ones first.
    #[serde(default)]
    pub kernels: Vec<KernelView>,
    /// Its terminals in which more than the shell runs.
    #[serde(default)]
    pub terminals: Vec<TerminalView>,
    /// Kernels of this run that were killed, oldest first.
    #[serde(default)]
    pub killed: Vec<KernelEnd>,
}

/// One kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelView {
    /// What JupyterLab calls it.
    pub id: String,
    /// Its kind: "python3".
    #[serde(default)]
    pub name: String,
    /// The notebook or console it belongs to.
    #[serde(default)]
    pub notebook: Option<String>,
    /// `busy`, `idle`, `starting`, or what else JupyterLab says; `unknown` when it says nothing.
    #[serde(default)]
    pub state: String,
    /// When it last did or said something, milliseconds since the Unix epoch.
    #[serde(default)]
    pub last_activity_ms: Option<i64>,
    /// How many browsers and programs are connected to it.
    #[serde(default)]
    pub connections: Option<u32>,
    /// Its process; absent when it is not one of the run's.
    #[serde(default)]
    pub pid: Option<i32>,
    /// Memory of that process and of what it has started, in bytes, counted as in the tree.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

/// A terminal in which something runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalView {
    /// What runs.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// A kernel that was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelEnd {
    /// What JupyterLab called it.
    pub id: String,
    /// The notebook or console it belonged to, where that was known.
    #[serde(default)]
    pub notebook: Option<String>,
    /// Its process.
    pub pid: i32,
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
    /// What ended it.
    pub cause: ExitCause,
    /// The system killed it for lack of memory: yes, no, or not known.
    #[serde(default)]
    pub out_of_memory: Option<bool>,
}
