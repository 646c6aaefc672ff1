//! One service as the daemon holds it: its specification, its core, and the facts that explain its phase.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use lifecycle::RunId;
use os::process::ProcessIdentity;
use run::layout::RunDir;
use run::protocol::Order;
use run::record::Exited;
use run::workspace::ByHand;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use wire::{
    ExitView, ExternalPolicy, Goal, HolderView, PortChoice, PortSpec, ReadyCheck, RestartPolicy, ServiceSpec,
};

use crate::companion::Companion;
use crate::port::{External, Standing};
use crate::strays::Stray;
use crate::truth::Facts;

/// How long a port must have been quiet before a server that somebody started by hand, and ended, is replaced.
const QUIET_MS: u64 = 10_000;

/// One service.
pub(crate) struct Service {
    /// What the present or next run is made from.
    pub(crate) spec: ServiceSpec,
    /// A specification given while a run lives: taken over when the next one is spawned by request.
    pub(crate) next_spec: Option<ServiceSpec>,
    /// Name of the captured environment in the workspace's record.
    pub(crate) environment: Option<String>,
    /// The port it has been given.
    pub(crate) port: Option<u16>,
    /// What was chosen on the command line instead of what is configured.
    pub(crate) port_choice: Option<PortSpec>,
    /// What is written in the workspace's record; set before the core hears of it.
    pub(crate) goal: Goal,
    /// As it is in the record: it is wanted, and its port is left to whoever runs it by hand.
    pub(crate) by_hand: Option<ByHand>,
    pub(crate) core: lifecycle::Service,
    pub(crate) policy: lifecycle::Policy,
    pub(crate) live: Option<LiveRun>,
    /// The end that was asked for is also that of what a person detached.
    pub(crate) spare_nobody: bool,
    /// The server started by hand that is being adopted.
    pub(crate) adopting: Option<Box<External>>,
    /// Why it is blocked, or who does the work in its place.
    pub(crate) obstacle: Option<Obstacle>,
    /// Who holds the port of a service that does not run, as last seen.
    pub(crate) port_left: Option<Obstacle>,
    /// Other servers of this kind that serve the same folder, as last seen.
    pub(crate) strays: Vec<Stray>,
    pub(crate) last_exit: Option<ExitView>,
    /// What the last run that failed to become ready said last.
    pub(crate) last_words: Vec<String>,
    /// Why it is unhealthy.
    pub(crate) complaint: Option<String>,
    /// Connections that waited to be accepted when that was last looked at.
    pub(crate) accept_queue: u32,
    /// What runs beside it in its present phase.
    pub(crate) companion: Companion,
    /// When the last attempt at a run was made.
    pub(crate) spawned_at: SystemTime,
}

/// A run that has a shim.
pub(crate) struct LiveRun {
    pub(crate) run: RunId,
    pub(crate) dir: RunDir,
    pub(crate) marker: String,
    pub(crate) port: Option<u16>,
    /// The folder that it was started in, as that was called then.
    pub(crate) cwd: PathBuf,
    pub(crate) host_dir: PathBuf,
    pub(crate) shim: Option<ProcessIdentity>,
    pub(crate) main: Option<ProcessIdentity>,
    pub(crate) started_ms: Option<i64>,
    /// A replacement shim is not the parent of the service: its tree is found by marker.
    pub(crate) replaced_shim: bool,
    /// The release its shim is of, when it is not the daemon's.
    pub(crate) other_release: Option<Box<str>>,
    /// It was started by hand: its output goes elsewhere, and nobody who tells has its exit code.
    pub(crate) adopted: bool,
    /// The token it was started with, where that is not the workspace's.
    pub(crate) token: Option<String>,
    /// What it really does, as last seen.
    pub(crate) facts: Facts,
    /// To the shim; dropping it ends the connection.
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) reader: AbortHandle,
    /// Processes that would not die.
    pub(crate) stuck: Vec<i32>,
    /// Log lines the disk would not take.
    pub(crate) dropped_lines: u64,
    /// Whether its shim still answers.
    pub(crate) hearing: crate::hearing::Hearing,
    /// The disk of its log does not answer.
    pub(crate) log_waits: bool,
    /// What a JupyterLab has said last, when somebody wanted to know.
    pub(crate) jupyter: Option<wire::JupyterView>,
    /// Kernels that are watched, and those that were killed.
    pub(crate) deaths: crate::jupyter::deaths::Deaths,
    /// Cause of the end, if this daemon reaped the process itself after its shim died.
    pub(crate) reaped: Option<wire::ExitCause>,
    /// How often it was looked for in vain after its connection ended.
    pub(crate) looks: u32,
    /// Since when there is a connection.
    pub(crate) linked_at: Instant,
    /// Since when its shim holds the lock and cannot be reached.
    pub(crate) deaf_since: Option<Instant>,
    /// Read ends of the output FIFOs, never read: while they are open no death of a shim gives the service
    /// a broken pipe.
    pub(crate) pipes: Option<[OwnedFd; 2]>,
}

impl Drop for LiveRun {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// What stands in the way, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) detail: String,
    pub(crate) hint: Option<String>,
    /// Ways on, where there is more than one; the first is the hint.
    pub(crate) choices: Vec<String>,
    pub(crate) holders: Vec<HolderView>,
    /// The holder is this very service, started by hand.
    pub(crate) external: Option<Box<External>>,
    /// Processes whose end may change this.
    pub(crate) watch: Vec<ProcessIdentity>,
    /// The workspace's folder is not where it was.
    pub(crate) folder_is_gone: bool,
    /// What stood on the port.
    pub(crate) standing: Standing,
}

impl Service {
    pub(crate) fn new(spec: ServiceSpec, core: lifecycle::Service) -> Self {
        let policy = policy_of(&spec);
        Self {
            spec,
            next_spec: None,
            environment: None,
            port: None,
            port_choice: None,
            goal: Goal::Down,
            by_hand: None,
            core,
            policy,
            live: None,
            spare_nobody: false,
            adopting: None,
            obstacle: None,
            port_left: None,
            strays: Vec::new(),
            last_exit: None,
            last_words: Vec::new(),
            complaint: None,
            accept_queue: 0,
            companion: Companion::default(),
            spawned_at: SystemTime::UNIX_EPOCH,
        }
    }

    /// Takes a specification over, at once when no run lives, else for the next one.
    pub(crate) fn configure(&mut self, spec: ServiceSpec) {
        if same_but_for_path(&self.spec, &spec) {
            self.next_spec = None;
        } else if self.core.run().is_some() {
            self.next_spec = Some(spec);
        } else {
            self.apply(spec);
        }
    }

    /// Takes over what `configure` had to put off. Called when a new run begins by request.
    pub(crate) fn apply_next(&mut self) {
        if let Some(spec) = self.next_spec.take() {
            self.apply(spec);
        }
    }

    fn apply(&mut self, spec: ServiceSpec) {
        self.policy = policy_of(&spec);
        if self.spec.port != spec.port {
            self.port = None;
            self.port_choice = None;
        }
        self.spec = spec;
    }

    pub(crate) fn probed(&self) -> bool {
        self.policy.probed
    }

    /// The port at which its live run is to be asked, if it is to be asked.
    pub(crate) fn probed_port(&self) -> Option<u16> {
        let live = self.live.as_ref().filter(|_| self.probed())?;
        live.port.or(self.port)
    }

    /// The server that somebody started by hand in its place.
    pub(crate) fn external(&self) -> Option<&External> {
        self.obstacle.as_ref()?.external.as_deref()
    }

    /// What logs in to its JupyterLab: what that says itself, what it was started with, or the workspace's.
    pub(crate) fn login_token<'a>(&'a self, of_workspace: &'a str) -> &'a str {
        let live = self.live.as_ref();
        let told = live.and_then(|live| live.facts.token.as_deref().or(live.token.as_deref()));
        told.unwrap_or(of_workspace)
    }

    /// The port it is to have, as far as that is decided.
    pub(crate) fn wanted_port(&self) -> Option<PortSpec> {
        self.spec.port.map(|configured| self.port_choice.unwrap_or(configured))
    }

    /// Somebody names a port instead of the configured one, or none any more.
    pub(crate) fn choose_port(&mut self, choice: Option<PortChoice>) {
        let Some(configured) = self.spec.port else { return };
        let before = self.wanted_port();
        self.port_choice = match choice {
            None => return,
            Some(PortChoice::Configured) => None,
            Some(PortChoice::Number(port)) => Some(PortSpec::Fixed(port)),
            Some(PortChoice::Auto) => match configured {
                PortSpec::Fixed(first) | PortSpec::Auto(first) => Some(PortSpec::Auto(first)),
            },
        };
        if self.wanted_port() != before {
            self.port = None;
        }
    }

    /// Whose processes are this service's now.
    pub(crate) fn scope(&self) -> Option<run::tree::Scope> {
        let live = self.live.as_ref()?;
        Some(crate::tree::scope(live, self.spec.kind == wire::Kind::Jupyter))
    }

    /// What the record is to say of whoever runs it by hand.
    pub(crate) fn left_by_hand(&self) -> Option<ByHand> {
        use lifecycle::Phase;
        let theirs = matches!(self.core.phase(), Phase::External | Phase::Quiet { .. })
            && self.core.goal() == lifecycle::Goal::Up;
        let boot = theirs.then(os::host::boot_id)?.ok()?;
        Some(ByHand { boot, run: self.core.last_run().0 })
    }

    /// Whether `run` is the one that lives.
    pub(crate) fn is_live(&self, run: RunId) -> bool {
        self.live.as_ref().is_some_and(|live| live.run == run)
    }
}

/// Whether two specifications want the same. The search path is the caller's shell's, and another shell is no
/// other configuration.
fn same_but_for_path(one: &ServiceSpec, other: &ServiceSpec) -> bool {
    let without_path = |spec: &ServiceSpec| {
        let mut spec = spec.clone();
        spec.env.remove("PATH");
        spec
    };
    one == other || without_path(one) == without_path(other)
}

fn policy_of(spec: &ServiceSpec) -> lifecycle::Policy {
    lifecycle::Policy {
        restart: match spec.restart.policy {
            RestartPolicy::Never => lifecycle::Restart::Never,
            RestartPolicy::OnFailure => lifecycle::Restart::OnFailure,
            RestartPolicy::Always => lifecycle::Restart::Always,
        },
        first_ms: spec.restart.first_ms,
        healthy_after_ms: spec.restart.healthy_after_ms,
        cap_ms: spec.restart.cap_ms,
        start_limit: spec.restart.start_limit,
        start_timeout_ms: spec.ready.timeout_ms,
        // The ladder, its sweep, and two seconds in which the shim notices what will not die.
        stop_allowance_ms: spec.stop.grace_ms() + spec.stop.sweep_ms + 2_000,
        probed: spec.ready.check != ReadyCheck::None,
        takeover_ms: match spec.external {
            ExternalPolicy::Takeover => Some(QUIET_MS),
            ExternalPolicy::Leave => None,
        },
    }
}

/// An exit record as clients see it.
pub(crate) fn exit_view(exited: &Exited) -> ExitView {
    ExitView {
        cause: exited.cause.clone(),
        at_ms: exited.at_ms,
        uptime_ms: exited.uptime_ms,
        asked: exited.asked,
        // Only what was killed can have been killed for that.
        out_of_memory: exited.out_of_memory.filter(|_| was_killed(&exited.cause)),
        swept: exited.swept.clone(),
        left_running: exited.left_running.clone(),
    }
}

fn was_killed(cause: &wire::ExitCause) -> bool {
    const KILL: i32 = 9;
    matches!(cause, wire::ExitCause::Signal(KILL)) || *cause == wire::ExitCause::Code(128 + KILL)
}
