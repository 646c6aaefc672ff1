//! The daemon's state and its one handler: an input in, the core asked, its actions carried out.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Action, Event, Millis, Phase, RunId};
use run::layout::HostDir;
use run::protocol::Order;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};
use wire::DaemonInfo;

use crate::answers::Answers;
use crate::clock::Clock;
use crate::input::{Input, Inputs, Key};
use crate::published::Published;
use crate::service::Service;
use crate::workspace::Workspace;

/// Everything the daemon knows. Lives in one thread; borrowed for the length of one input, never across a wait.
pub(crate) struct Daemon {
    pub(crate) info: DaemonInfo,
    /// Where runs may be kept, best first: the state root, then the runtime root.
    pub(crate) hosts: Vec<HostDir>,
    pub(crate) shim_program: Arc<std::path::Path>,
    pub(crate) clock: Clock,
    pub(crate) inputs: Inputs,
    pub(crate) workspaces: BTreeMap<Arc<str>, Workspace>,
    pub(crate) answers: Answers,
    pub(crate) warnings: Vec<String>,
    /// `PIPD_STATE_DIR`, where it is set.
    pub(crate) told_state_dir: Option<wire::Text>,
    /// Open-file limits the daemon was started with, given back to services.
    pub(crate) nofile: Option<(u64, u64)>,
    /// Whether the next liveness tick is already ordered.
    pub(crate) liveness_due: bool,
    /// When ports were looked at last on behalf of a reader.
    pub(crate) looked_at: Option<std::time::Instant>,
    /// The last run of every service that has left its folders behind and is in no configuration now.
    pub(crate) numbers_used: HashMap<Key, RunId>,
    /// Workspaces whose record a newer pipd wrote: nothing of them is touched, and what runs there keeps running.
    pub(crate) newer: BTreeMap<Arc<str>, String>,
    /// What was seen when somebody asked for more than the snapshot.
    pub(crate) looks: crate::details::Looks,
    /// What is known of where folders are.
    pub(crate) places: crate::places::Places,
    /// Set once the session ends: until when services are waited for.
    pub(crate) session_ends_by: Option<Millis>,
    /// Leads to this daemon from what runs beside the loop.
    pub(crate) own: std::rc::Weak<RefCell<Self>>,
    /// How much memory is left is being looked at.
    pub(crate) memory_looked_at: bool,
    /// The next look at the disk is ordered.
    pub(crate) disk_looked_at: bool,
    /// For how long the disk has not answered.
    pub(crate) disk_waits: Option<Duration>,
    /// Memory is running out.
    pub(crate) shortage: Option<crate::memory::Shortage>,
    generation: u64,
    published: Option<Rc<Published>>,
    changed: watch::Sender<u64>,
    /// Set once: why the loop is to end.
    pub(crate) ending: Option<run::record::DaemonGoal>,
}

/// A daemon shared between the loop and the readers of its snapshot.
pub(crate) type Shared = Rc<RefCell<Daemon>>;

impl Daemon {
    pub(crate) fn new(
        info: DaemonInfo,
        hosts: Vec<HostDir>,
        shim_program: Arc<std::path::Path>,
        inputs: Inputs,
    ) -> Self {
        Self {
            info,
            hosts,
            shim_program,
            clock: Clock::new(),
            inputs,
            workspaces: BTreeMap::new(),
            answers: Answers::default(),
            warnings: Vec::new(),
            told_state_dir: std::env::var_os("PIPD_STATE_DIR").map(wire::Text::from),
            nofile: None,
            liveness_due: false,
            looked_at: None,
            numbers_used: HashMap::new(),
            newer: BTreeMap::new(),
            looks: crate::details::Looks::default(),
            places: crate::places::Places::default(),
            session_ends_by: None,
            own: std::rc::Weak::new(),
            memory_looked_at: false,
            disk_looked_at: false,
            disk_waits: None,
            shortage: None,
            generation: 0,
            published: None,
            changed: watch::Sender::new(0),
            ending: None,
        }
    }

    pub(crate) fn service(&self, key: &Key) -> Option<&Service> {
        self.workspaces.get(&key.workspace)?.service(&key.service)
    }

    pub(crate) fn service_mut(&mut self, key: &Key) -> Option<&mut Service> {
        self.workspaces.get_mut(&key.workspace)?.service_mut(&key.service)
    }

    /// Every service there is.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.keys_of(|_| true)
    }

    fn keys_of(&self, wanted: impl Fn(&Service) -> bool) -> Vec<Key> {
        let mut keys = Vec::new();
        for workspace in self.workspaces.values() {
            for (name, _) in workspace.services.iter().filter(|(_, service)| wanted(service)) {
                keys.push(Key { workspace: Arc::clone(&workspace.id), service: Arc::clone(name) });
            }
        }
        keys
    }

    /// The one handler.
    pub(crate) fn handle(&mut self, input: Input) {
        match input {
            Input::Request { request, reply } => self.on_request(*request, reply),
            Input::Weighed { request, reply, losses } => self.on_weighed(*request, reply, losses),
            Input::Places { findings, named, heard } => self.on_places(findings, named, heard),
            Input::Forgotten { workspace, result, reply } => self.on_forgotten(&workspace, result, reply),
            Input::Recorded { workspace, result } => self.on_recorded(&workspace, result),
            Input::Synced { workspace } => self.on_synced(&workspace),
            Input::Spawned { key, run, result } => self.on_spawned(&key, run, result),
            Input::Shim { key, run, report } => self.on_report(&key, run, report),
            Input::ShimGone { key, run } => self.on_shim_gone(&key, run),
            Input::Recovered { key, run, result } => self.on_recovered(&key, run, result),
            Input::Examined { key, run, exited, last_words, collision } => {
                self.on_examined(&key, run, &exited, last_words, collision);
            }
            Input::Probed { key, run, verdict } => self.on_probed(&key, run, verdict),
            Input::LivenessDue => self.on_liveness_due(),
            Input::PortStillTaken { key, run, obstacle } => self.on_port_still_taken(&key, run, obstacle),
            Input::Heard { key, run, view } => self.on_heard(&key, run, *view),
            Input::Looked { key, looked, heard } => {
                self.on_looked(&key, looked);
                heard.map(|heard| heard.send(()));
            }
            Input::Strays { key, strays, heard } => {
                if let Some(service) = self.service_mut(&key) {
                    service.strays = strays;
                    self.touch();
                }
                let _ = heard.send(());
            }
            Input::Takeover { params, reply, seekers, found } => {
                self.on_takeover(*params, reply, seekers, found);
            }
            Input::Adopt { keys, params, reply } => self.on_adopt(&keys, &params, reply),
            Input::Facts { key, run, facts } => self.on_facts(&key, run, facts),
            Input::KernelEnded { key, run, end } => self.on_kernel_end(&key, run, *end),
            Input::Memory { found } => self.on_memory(found.map(|found| *found)),
            Input::Unanswered { key, run, number, look } => self.on_unanswered(&key, run, number, look),
            Input::Disk => self.look_at_the_disk(),
            Input::DiskDue => self.on_disk_due(),
            Input::Relief { key } => self.step(&key, Event::Unblocked),
            Input::SourceChanged { key } => self.step(&key, Event::SourceChanged),
            Input::Reaped { pid, cause } => self.on_reaped(pid, cause),
            Input::Terminate { session_ends } => self.on_terminate(session_ends),
        }
    }

    /// Lets the core take one event, and carries out what it decides.
    pub(crate) fn step(&mut self, key: &Key, event: Event) {
        let now = self.clock.now();
        let Some(service) = self.service_mut(key) else {
            debug!(%key, ?event, "event for a service that is gone");
            return;
        };
        let before = *service.core.phase();
        let Service { core, policy, .. } = service;
        let actions = core.step(event, now, policy);
        let after = *service.core.phase();
        if before != after {
            debug!(%key, ?before, ?after, "phase");
            self.on_phase(key, &before, &after);
        }
        for action in actions {
            self.perform(key, action);
        }
        // What the core asked for already may have been asked for less.
        if matches!(event, Event::Stop { .. }) && self.service(key).is_some_and(|s| s.spare_nobody) {
            self.repeat_orders(key);
        }
        self.attend(key);
        if before != after {
            self.answer_for_stalled(key);
            self.record_by_hand(key);
        }
        self.touch();
    }

    /// A daemon that comes later must not take a port that is left to whoever runs the service by hand.
    fn record_by_hand(&mut self, key: &Key) {
        let Some(service) = self.service_mut(key) else { return };
        let now = service.left_by_hand();
        if service.by_hand.is_some() != now.is_some() {
            service.by_hand = now;
            self.after_record(&key.workspace, Vec::new());
        }
    }

    fn perform(&mut self, key: &Key, action: Action) {
        match action {
            Action::Spawn { run } => self.spawn(key, run),
            Action::Adopt { run } => self.take_in(key, run),
            Action::Stop { run } => {
                let all_processes = self.service(key).is_some_and(|service| service.spare_nobody);
                self.order(key, run, Order::Stop { all_processes });
            }
            Action::Kill { run } => self.order(key, run, Order::Kill),
            Action::Answer { request, answer } => self.answer(key, request, answer),
            // Recorded before the core heard of the request.
            Action::GoalChanged(goal) => debug!(%key, ?goal, "goal"),
        }
    }

    fn order(&mut self, key: &Key, run: RunId, order: Order) {
        match self.service(key).and_then(|service| service.live.as_ref()) {
            Some(live) if live.run == run => {
                // A shim whose connection is gone is being replaced; its successor is told again.
                if live.orders.send(order).is_err() {
                    debug!(%key, "shim is gone, order waits for its successor");
                }
                self.ask_the_shim(key, run);
            }
            _ => warn!(%key, ?run, "no shim for this run"),
        }
    }

    /// Facts that hold only within a phase are dropped with it.
    fn on_phase(&mut self, key: &Key, before: &Phase, after: &Phase) {
        if let Some(service) = self.service_mut(key) {
            // What is adopted is known until it is a run of ours.
            service.adopting = match after {
                Phase::Spawning { .. } => service.obstacle.as_ref().and_then(|seen| seen.external.clone()),
                _ => None,
            };
            if !matches!(after, Phase::Blocked { .. } | Phase::External | Phase::Quiet { .. }) {
                service.obstacle = None;
            }
            if !matches!(after, Phase::Unhealthy { .. }) {
                service.complaint = None;
            }
            if let (Phase::Ready { .. }, Some(live)) = (after, &service.live) {
                let dir = live.dir.clone();
                self.on_disk(move || run::record::mark_ready(&dir));
            }
        }
        // What somebody runs by hand is as good for those who need it.
        let serves = |phase: &Phase| matches!(phase, Phase::Ready { .. } | Phase::External);
        if serves(after) && !serves(before) {
            self.release_dependents(key);
        }
    }

    /// The next moment at which something is due although nothing happens.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        let cores = self
            .workspaces
            .values()
            .flat_map(|workspace| workspace.services.iter())
            .filter_map(|(_, service)| service.core.deadline())
            .min();
        [cores, self.answers.deadline(), self.session_ends_by].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub(crate) fn on_deadline(&mut self) {
        let now = self.clock.now();
        let due = |service: &Service| service.core.deadline().is_some_and(|at| at <= now);
        for key in self.keys_of(due) {
            // What happened to one of them may have settled the next.
            if self.service(&key).is_some_and(due) {
                self.step(&key, Event::Deadline);
            }
        }
        self.answer_overdue(now);
    }

    /// Something that readers see has changed.
    pub(crate) fn touch(&mut self) {
        self.published = None;
        self.generation += 1;
        self.changed.send_replace(self.generation);
    }

    /// Something that readers see is newer, and nobody needs to be told.
    pub(crate) fn refresh(&mut self) {
        self.published = None;
    }

    /// Tells of every new generation; a slow reader misses steps, never the last one.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What readers see. Built when somebody reads, then shared until something changes.
    pub(crate) fn snapshot(&mut self) -> Rc<Published> {
        if let Some(published) = &self.published {
            return Rc::clone(published);
        }
        let snapshot = Rc::new(Published::new(self.make_snapshot(self.generation)));
        self.published = Some(Rc::clone(&snapshot));
        snapshot
    }
}

/// Inputs handled in one turn at most; then readers have theirs.
const BATCH: usize = 256;

/// After this time without anything to do, memory is given back; longer than helper threads are kept.
const REST_AFTER: Duration = Duration::from_secs(7);

/// At that time; never, when there is none. A millisecond late rather than a turn early.
async fn reached(due: Option<tokio::time::Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at + Duration::from_millis(1)).await,
        None => std::future::pending().await,
    }
}

/// Runs until the daemon is to end.
pub(crate) async fn run(daemon: &Shared, mut inputs: mpsc::UnboundedReceiver<Input>) {
    // When memory is given back next; not again before something has happened.
    let soon = || Some(tokio::time::Instant::now() + REST_AFTER);
    let mut rest_at = soon();
    loop {
        let (deadline, clock) = {
            let daemon = daemon.borrow();
            (daemon.deadline(), daemon.clock)
        };
        let input = match deadline {
            Some(at) if at <= clock.now() => inputs.try_recv().ok(),
            due => tokio::select! {
                biased;
                input = inputs.recv() => input,
                () = reached(due.map(|at| clock.instant(at))) => None,
                () = reached(rest_at) => {
                    daemon.borrow_mut().published = None;
                    crate::rest::when_nothing_is_left_to_do();
                    rest_at = None;
                    continue;
                }
            },
        };
        let looked = matches!(input, Some(Input::LivenessDue));
        let happened = input.is_some() && !looked;
        {
            let mut daemon = daemon.borrow_mut();
            // Readers do not come this way; what they were shown tells of them.
            if happened || (rest_at.is_none() && daemon.published.is_some()) {
                rest_at = soon();
            }
            // What has been reported counts before what time alone would conclude: after a suspend both wait here.
            let waiting = std::iter::from_fn(|| inputs.try_recv().ok()).take(BATCH);
            for input in input.into_iter().chain(waiting) {
                daemon.handle(input);
            }
            daemon.on_deadline();
            daemon.end_with_session();
            if daemon.ending.is_some() {
                return;
            }
        }
        // The slow look alone is no reason to keep in memory what it touched.
        if looked && rest_at.is_none() {
            crate::rest::when_nothing_is_left_to_do();
        }
        // Status readers get their turn even while inputs keep coming.
        tokio::task::yield_now().await;
    }
}
