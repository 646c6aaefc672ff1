//! Everything that can wake the loop.

use std::sync::Arc;

use lifecycle::RunId;
use run::folder::FolderId;
use run::protocol::Report;
use run::record::Exited;
use tokio::sync::{mpsc, oneshot};
use wire::{ErrorObject, Request};

use crate::port::{Looked, Seeker};
use crate::probe::Verdict;
use crate::recover::Recovered;
use crate::service::Obstacle;
use crate::spawn::{SpawnFailure, Spawned};
use crate::strays::Stray;
use crate::truth::Facts;
use crate::whereabouts;

/// Which service: identifier of its workspace, and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) workspace: Arc<str>,
    pub(crate) service: Arc<str>,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.workspace, self.service)
    }
}

/// Where an answer goes. Dropped unanswered only with the daemon itself.
pub(crate) type Reply = oneshot::Sender<Result<wire::Raw, ErrorObject>>;

/// Everything that can wake the loop.
#[derive(Debug)]
pub(crate) enum Input {
    /// What was found out about the folders of workspaces, and a folder that is none yet.
    Places {
        findings: Vec<(Arc<str>, whereabouts::Finding)>,
        named: Option<(wire::Text, FolderId)>,
        heard: oneshot::Sender<()>,
    },
    /// The records of a workspace are gone, or are not to be removed.
    Forgotten { workspace: Arc<str>, result: std::io::Result<()>, reply: Reply },
    /// A client asks for something that changes the world.
    Request { request: Box<Request>, reply: Reply },
    /// What a stop or restart would lose is known; `request` goes on if that is nothing.
    Weighed { request: Box<Request>, reply: Reply, losses: Vec<(Key, Vec<String>)> },
    /// The record of a workspace is written (but perhaps not yet on the platter).
    Recorded { workspace: Arc<str>, result: Result<(), String> },
    /// It would now survive a power failure.
    Synced { workspace: Arc<str> },
    /// The answer to a spawn.
    Spawned { key: Key, run: RunId, result: Result<Box<Spawned>, SpawnFailure> },
    /// A shim says something.
    Shim { key: Key, run: RunId, report: Report },
    /// The connection to a shim ended.
    ShimGone { key: Key, run: RunId },
    /// What became of a run whose shim is gone.
    Recovered { key: Key, run: RunId, result: Recovered },
    /// A run that was not ready ended, and why is known now.
    Examined { key: Key, run: RunId, exited: Exited, last_words: Vec<String>, collision: bool },
    /// A probe's verdict.
    Probed { key: Key, run: RunId, verdict: Verdict },
    /// The liveness tick is due.
    LivenessDue,
    /// A service was stopped and its port is still taken, by whom it says.
    PortStillTaken { key: Key, run: RunId, obstacle: Obstacle },
    /// A JupyterLab was asked what its kernels do.
    Heard { key: Key, run: RunId, view: Box<wire::JupyterView> },
    /// Somebody looked at the port of a service that does not run.
    Looked { key: Key, looked: Looked, heard: Option<oneshot::Sender<()>> },
    /// The other JupyterLabs of a folder, where they are not those that are known.
    Strays { key: Key, strays: Vec<Stray>, heard: oneshot::Sender<()> },
    /// Who holds the ports that are to be taken over.
    Takeover {
        params: Box<wire::StartParams>,
        reply: Reply,
        seekers: Vec<(Key, Seeker)>,
        found: Vec<(Key, Obstacle)>,
    },
    /// Who runs by hand what is to be adopted is known as well as it can be.
    Adopt { keys: Vec<Key>, params: Box<wire::StartParams>, reply: Reply },
    /// What a run really does.
    Facts { key: Key, run: RunId, facts: Facts },
    /// A kernel was ended by a signal.
    KernelEnded { key: Key, run: RunId, end: Box<wire::KernelEnd> },
    /// How much memory is left was looked at.
    Memory { found: Option<Box<crate::memory::Shortage>> },
    /// A shim that was asked for a sign of life may not have given one.
    Unanswered { key: Key, run: RunId, number: u32, look: u32 },
    /// Something that waited for the disk is done.
    Disk,
    /// The disk may have been waited for too long.
    DiskDue,
    /// What blocked a service may be gone.
    Relief { key: Key },
    /// A watched file changed.
    SourceChanged { key: Key },
    /// An orphan of ours ended: the main process of a run whose shim is gone, perhaps.
    Reaped { pid: i32, cause: wire::ExitCause },
    /// The daemon is asked to end by a signal; perhaps because the session or the machine ends.
    Terminate { session_ends: bool },
}

/// The loop's door.
pub(crate) type Inputs = mpsc::UnboundedSender<Input>;
