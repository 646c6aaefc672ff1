//! What a new daemon finds: workspaces and their goals, runs that live, runs that ended meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Event, Restored, RunId};
use run::layout::{HostDir, RunDir, WorkspaceDir};
use run::record::{self, Exited, RecordError, RunSpec, Started};
use run::workspace::WorkspaceRecord;
use tokio::sync::mpsc;
use tracing::{debug, info};
use wire::Goal;

use crate::daemon::{Daemon, Shared};
use crate::input::{Input, Key};
use crate::mend;
use crate::port::Looked;
use crate::recover::{self, Recovered};
use crate::service::Service;
use crate::session::Session;
use crate::workspace::Workspace;

/// The last run of a service, as found.
enum Found {
    Nothing,
    OfAnotherBoot,
    Ended(Exited),
    Alive { dir: RunDir, was_ready: bool, stopping: bool, uptime_ms: u64, recovered: Recovered },
}

impl Daemon {
    /// Reads everything back. Called once, before anybody is served.
    pub(crate) fn adopt(&mut self, session: &Session) {
        let hosts = self.hosts.clone();
        let mut ids = BTreeSet::new();
        for host in &hosts {
            let entries = match std::fs::read_dir(host.workspaces()) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.warnings.push(format!("{}: {error}", host.workspaces().display()));
                    continue;
                }
            };
            for entry in entries.flatten() {
                let Some(id) = entry.file_name().to_str().map(Arc::<str>::from) else { continue };
                if !self.workspaces.contains_key(&id) {
                    self.adopt_workspace(id.clone(), &host.workspace(&id));
                }
                ids.insert(id);
            }
        }
        ids.retain(|id| !self.newer.contains_key(id));
        ids.retain(|id| self.adopt_unrecorded(id, &hosts));
        let keys = self.keys();
        for key in &keys {
            self.adopt_service(key, &hosts, session);
        }
        self.look_for_hands(&keys);
        // What was found out is on record before anything else can be lost, if it is certain where it belongs.
        for id in ids {
            if self.workspaces.get(&id).is_some_and(|workspace| workspace.root.as_path().is_absolute()) {
                self.after_record(&id, Vec::new());
            }
        }
        info!(services = keys.len(), "state read back");
    }

    /// Whether what a record says was started is gone, and its shim has yet to say how it ended.
    fn has_unheard_ends(&self) -> bool {
        let services = self.workspaces.values().flat_map(|workspace| workspace.services.iter());
        let mut runs = services.filter_map(|(_, service)| service.live.as_ref());
        runs.any(|live| live.started_ms.is_some() && live.main.is_none())
    }

    fn adopt_workspace(&mut self, id: Arc<str>, folder: &WorkspaceDir) {
        let path = folder.record();
        let record: WorkspaceRecord = match record::read(&path) {
            Ok(Some(record)) => record,
            Ok(None) => return,
            Err(error) => {
                let kept = mend::keep_away(&path, &error);
                if matches!(error, RecordError::Newer { .. }) {
                    self.warnings.push(format!("{kept}; its services are not managed by this one"));
                    self.newer.insert(id, kept);
                } else {
                    self.warnings.push(kept);
                }
                return;
            }
        };
        let mut workspace = Workspace {
            environments: record.environments,
            depends: record.depends,
            folder: record.folder,
            former: record.former,
            ..Workspace::new(Arc::clone(&id), record.root, record.token)
        };
        for saved in record.services {
            let name: Arc<str> = saved.spec.name.as_str().into();
            let mut service = Service::new(saved.spec, lifecycle::Service::new());
            service.environment = saved.environment;
            service.port = saved.port;
            service.port_choice = saved.port_choice;
            service.goal = saved.goal;
            service.by_hand = saved.by_hand;
            workspace.services.push((name, service));
        }
        self.workspaces.insert(id, workspace);
    }

    fn adopt_service(&mut self, key: &Key, hosts: &[HostDir], session: &Session) {
        let mut last = 0;
        let mut newest = None;
        for host in hosts {
            let folder = host.workspace(&key.workspace).service(&key.service);
            match folder.run_numbers() {
                Ok(numbers) => {
                    if let Some(&number) = numbers.last()
                        && number > last
                    {
                        last = number;
                        newest = Some(folder.run(number));
                    }
                }
                Err(error) => self.warnings.push(format!("{}: {error}", folder.runs().display())),
            }
        }
        let seen = newest.clone();
        let found = match newest {
            Some(dir) => look(dir, &self.shim_program),
            None => Found::Nothing,
        };
        // Also what a daemon before put aside: as long as it lies there, it is said.
        for path in seen.iter().flat_map(|dir| record::put_aside(dir.path())) {
            self.warnings.push(mend::said_of(&path));
        }
        let (run, now) = (RunId(last), self.clock.now());
        let healthy_after = self.service(key).map_or(0, |service| service.policy.healthy_after_ms);
        let failures = failures_before(hosts, key, last, healthy_after);
        let anew = self.workspaces.get(&key.workspace).map(|workspace| session.brings_back(workspace));
        let Some(service) = self.service_mut(key) else { return };
        let by_hand = service
            .by_hand
            .as_ref()
            .is_some_and(|seen| last <= seen.run && os::host::boot_id().is_ok_and(|boot| boot == seen.boot));
        let goal = match service.goal {
            Goal::Up => lifecycle::Goal::Up,
            Goal::Down => lifecycle::Goal::Down,
        };
        let (restored, recovered) = match found {
            Found::OfAnotherBoot => (anew.unwrap_or_default(), None),
            Found::Nothing => (Restored::Nothing, None),
            Found::Ended(exited) => {
                let (exit, view) = recover::ended(&exited);
                service.last_exit = Some(view);
                // An end that was asked for while the service is wanted: a restart or a session that ended half-way.
                let restored = if session.is_after(&exited) {
                    anew.unwrap_or_default()
                } else if goal == lifecycle::Goal::Down || exited.asked {
                    Restored::Nothing
                } else if exit.clean {
                    Restored::Finished
                } else {
                    Restored::Ended { run, exit, uptime_ms: exited.uptime_ms }
                };
                (restored, None)
            }
            Found::Alive { dir, was_ready, stopping, uptime_ms, recovered } => {
                let restored = Restored::Alive { run, ready: was_ready, stopping, uptime_ms };
                (restored, Some((dir, recovered)))
            }
        };
        // Whatever our own last run came to: somebody has run it since.
        let restored = match restored {
            Restored::Alive { .. } | Restored::Resting => restored,
            _ if by_hand => Restored::ByHand,
            _ => restored,
        };
        service.core =
            lifecycle::Service::restore(goal, run, restored, now).with_history(failures, u64::from(failures));
        if let Some((dir, recovered)) = recovered {
            service.live = Some(placeholder(run, dir));
            self.on_recovered(key, run, recovered);
        }
        // The core looks around: what is wanted and gone is begun, what is unwanted and alive is ended.
        self.step(key, Event::Deadline);
    }
}

impl Daemon {
    /// What somebody ran by hand when the daemon before ended is looked for before anybody is served: whoever asks
    /// first is to be told that it still runs.
    fn look_for_hands(&mut self, keys: &[Key]) {
        for key in keys {
            let quiet = self
                .service(key)
                .is_some_and(|service| matches!(service.core.phase(), lifecycle::Phase::Quiet { .. }));
            let found = quiet.then(|| self.seeker(key)?.look().ok()?).flatten();
            if let Some(obstacle) = found {
                self.on_looked(key, Looked::Held(Box::new(obstacle)));
            }
        }
    }
}

/// Failures in a row before the last run: a new daemon goes on with the restart budget of the one before.
fn failures_before(hosts: &[HostDir], key: &Key, last: u64, healthy_after_ms: u64) -> u32 {
    let folders: Vec<_> =
        hosts.iter().map(|host| host.workspace(&key.workspace).service(&key.service)).collect();
    let failed = |number: &u64| {
        let read = |folder: &run::layout::ServiceDir| {
            record::read::<Exited>(&folder.run(*number).exited()).ok().flatten()
        };
        folders.iter().find_map(read).is_some_and(|exited| {
            !exited.asked && exited.cause != wire::ExitCause::Code(0) && exited.uptime_ms < healthy_after_ms
        })
    };
    let count = (1..last).rev().take_while(failed).take(LOOKED_BACK).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Runs looked back at.
const LOOKED_BACK: usize = 20;

fn look(dir: RunDir, shim_program: &Path) -> Found {
    // Runs of another boot are history: whatever has their numbers now is somebody else.
    let started = record::read::<Started>(&dir.started()).ok().flatten();
    let of_this_boot = match (&started, os::host::boot_id()) {
        (Some(started), Ok(boot)) => started.main.boot == boot,
        (None, _) | (_, Err(_)) => true,
    };
    if !of_this_boot {
        return Found::OfAnotherBoot;
    }
    // Of a process that is gone nobody is told that it is ready, though a moment passes until its end is on record.
    let was_ready = dir.ready().exists() && started.as_ref().is_some_and(|started| may_live(&started.main));
    let stopping = dir.stopping().exists();
    let uptime_ms = started
        .as_ref()
        .map_or(0, |started| u64::try_from(crate::clock::wall_ms() - started.at_ms).unwrap_or_default());
    match recover::recover(&dir, shim_program) {
        Recovered::Ended(exited) => Found::Ended(exited),
        Recovered::Never => Found::Nothing,
        recovered @ (Recovered::Shim(_) | Recovered::Unclear(_) | Recovered::Deaf(_)) => {
            Found::Alive { dir, was_ready, stopping, uptime_ms, recovered }
        }
    }
}

/// How long the first client may have to wait for shims to say how their runs ended.
const ENDS_WITHIN: Duration = Duration::from_millis(500);

/// Hears of the ends that came while no daemon lived, before anybody is told of those runs: a process that is gone is
/// not "already running". Its shim is there and says so within milliseconds; one that hangs is not waited for.
pub(crate) async fn hear_of_ends(daemon: &Shared, inputs: &mut mpsc::UnboundedReceiver<Input>) {
    let until = tokio::time::Instant::now() + ENDS_WITHIN;
    while daemon.borrow().has_unheard_ends() {
        match tokio::time::timeout_at(until, inputs.recv()).await {
            Ok(Some(input)) => daemon.borrow_mut().handle(input),
            Ok(None) => return,
            Err(_) => return debug!("shims of runs that are over have not said so yet"),
        }
    }
}

/// Whether this very process may be there: a zombie is not, nor is a stranger with its number.
pub(crate) fn may_live(process: &os::process::ProcessIdentity) -> bool {
    use os::process::Liveness;
    !matches!(process.liveness(), Ok(Liveness::Gone | Liveness::Zombie))
}

/// Holds the place of a run until its shim is linked.
pub(crate) fn placeholder(run: RunId, dir: RunDir) -> crate::service::LiveRun {
    let (orders, _) = mpsc::unbounded_channel();
    let spec = record::read::<RunSpec>(&dir.spec()).ok().flatten();
    crate::service::LiveRun {
        run,
        marker: spec.as_ref().map(|spec| spec.marker.clone()).unwrap_or_default(),
        adopted: spec.as_ref().is_some_and(|spec| spec.adopted),
        token: spec.as_ref().and_then(|spec| spec.token.clone()),
        facts: Default::default(),
        cwd: spec.as_ref().map(|spec| spec.cwd.as_path().to_owned()).unwrap_or_default(),
        port: spec.and_then(|spec| spec.port),
        dir,
        host_dir: PathBuf::new(),
        shim: None,
        main: None,
        started_ms: None,
        replaced_shim: false,
        other_release: None,
        orders,
        reader: crate::tasks::spawn(async {}).abort_handle(),
        stuck: Vec::new(),
        dropped_lines: 0,
        hearing: Default::default(),
        log_waits: false,
        jupyter: None,
        deaths: Default::default(),
        reaped: None,
        looks: 0,
        linked_at: std::time::Instant::now(),
        deaf_since: None,
        pipes: None,
    }
}
