//! A run whose shim is gone: find out what became of it, and give it a replacement shim.
//!
//! Used in the same way when a shim dies under a living daemon and when a new daemon finds the run. The
//! run's lock decides who acts; nothing is buried or replaced without it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifecycle::{Event, RunId};
use os::lock::FileLock;
use run::layout::RunDir;
use run::record::{self, Durability, Exited, RunSpec, Started};
use tracing::{debug, info, warn};
use wire::ExitCause;

use crate::clock::wall_ms;
use crate::daemon::Daemon;
use crate::input::{Input, Key};
use crate::runs::exit_of;
use crate::service::{LiveRun, exit_view};
use crate::shim_link;
use crate::spawn::start_shim;

/// What became of a run.
#[derive(Debug)]
pub(crate) enum Recovered {
    /// It has a shim: the same as before, or a new one.
    Shim(Box<FoundShim>),
    /// It ended, and this is how.
    Ended(Exited),
    /// It never came to life.
    Never,
    /// It could not be found out now; try again.
    Unclear(String),
}

/// A shim to talk to.
#[derive(Debug)]
pub(crate) struct FoundShim {
    pub(crate) dir: RunDir,
    pub(crate) spec: RunSpec,
    pub(crate) started: Option<Started>,
    pub(crate) connection: UnixStream,
    pub(crate) pipes: Option<[OwnedFd; 2]>,
    pub(crate) replacement: bool,
}

/// Finds out, and acts where something must be done. Blocks; not for the loop.
pub(crate) fn recover(dir: &RunDir, shim_program: &Path) -> Recovered {
    let spec: RunSpec = match record::read(&dir.spec()) {
        Ok(Some(spec)) => spec,
        // The folder was made and nothing in it was ever spawned.
        Ok(None) => {
            bury(dir, "the daemon died before it was spawned");
            return Recovered::Never;
        }
        Err(error) => return Recovered::Unclear(error.to_string()),
    };
    let started: Option<Started> = match record::read(&dir.started()) {
        Ok(started) => started,
        Err(error) => return Recovered::Unclear(error.to_string()),
    };
    let lock = match FileLock::try_acquire(&dir.lock()) {
        // Held: its shim lives.
        Ok(None) => return join(dir, spec, started),
        Ok(Some(lock)) => lock,
        Err(error) => return Recovered::Unclear(format!("{}: {error}", dir.lock().display())),
    };
    match record::read::<Exited>(&dir.exited()) {
        Ok(Some(exited)) => return Recovered::Ended(exited),
        Ok(None) => {}
        Err(error) => return Recovered::Unclear(error.to_string()),
    }
    if started.is_none() {
        // The child waits for this record before it executes, and ends with the shim it waits for.
        bury_locked(dir, "its shim died before it was started");
        return Recovered::Never;
    }
    replace(dir, spec, started, shim_program, &lock)
}

/// The shim lives: connect to it.
fn join(dir: &RunDir, spec: RunSpec, started: Option<Started>) -> Recovered {
    match UnixStream::connect(spec.socket.as_path()) {
        Ok(connection) => Recovered::Shim(Box::new(FoundShim {
            pipes: open_pipes(dir),
            dir: dir.clone(),
            spec,
            started,
            connection,
            replacement: false,
        })),
        // It holds the lock and does not listen: too young, or about to end.
        Err(error) => Recovered::Unclear(format!("{}: {error}", spec.socket.to_string_lossy())),
    }
}

/// The shim is dead and this is its lock: a new one takes over, whether the service lives (it is watched) or not
/// (what is left of it is swept).
fn replace(
    dir: &RunDir,
    spec: RunSpec,
    started: Option<Started>,
    program: &Path,
    lock: &FileLock,
) -> Recovered {
    let pipes = open_pipes(dir);
    let made = UnixStream::pair().and_then(|(ours, theirs)| {
        start_shim(program, dir, Some(&theirs), lock)?;
        Ok(ours)
    });
    match made {
        Ok(connection) => Recovered::Shim(Box::new(FoundShim {
            dir: dir.clone(),
            spec,
            started,
            connection,
            pipes,
            replacement: true,
        })),
        Err(error) => Recovered::Unclear(format!("no replacement shim: {error}")),
    }
}

/// Read ends of the FIFOs, held so that the service never writes into a broken pipe.
fn open_pipes(dir: &RunDir) -> Option<[OwnedFd; 2]> {
    Some([os::fifo::open_read(&dir.out()).ok()?, os::fifo::open_read(&dir.err()).ok()?])
}

/// Writes a tombstone, under the run's lock: a late shim finds it and leaves.
pub(crate) fn bury(dir: &RunDir, why: &str) {
    match FileLock::try_acquire(&dir.lock()) {
        Ok(Some(_lock)) => bury_locked(dir, why),
        Ok(None) => debug!(dir = %dir.path().display(), "a run to be buried has a shim after all"),
        Err(error) => warn!(dir = %dir.path().display(), %error, "a run could not be buried"),
    }
}

fn bury_locked(dir: &RunDir, why: &str) {
    if dir.exited().exists() {
        return;
    }
    debug!(dir = %dir.path().display(), why, "buried");
    let tombstone = Exited {
        cause: ExitCause::Unknown,
        at_ms: wall_ms(),
        uptime_ms: 0,
        asked: false,
        out_of_memory: None,
        usage: None,
        swept: Vec::new(),
        left_running: Vec::new(),
        unkillable: Vec::new(),
    };
    if let Err(error) = record::write(&dir.exited(), &tombstone, Durability::Rename) {
        warn!(%error, "no tombstone");
    }
}

impl Daemon {
    /// The connection to a shim ended. If its run had not ended before, somebody has to look after it.
    pub(crate) fn on_shim_gone(&mut self, key: &Key, run: RunId) {
        let program = Arc::clone(&self.shim_program);
        let Some(live) = self.service_mut(key).and_then(|service| service.live.as_mut()) else { return };
        if live.run != run {
            return;
        }
        live.shim = None;
        let dir = live.dir.clone();
        self.touch();
        self.look_after(key.clone(), run, dir, program);
    }

    fn look_after(&self, key: Key, run: RunId, dir: RunDir, program: Arc<Path>) {
        let inputs = self.inputs.clone();
        tokio::task::spawn_blocking(move || {
            let result = recover(&dir, &program);
            let _ = inputs.send(Input::Recovered { key, run, result });
        });
    }

    pub(crate) fn on_recovered(&mut self, key: &Key, run: RunId, result: Recovered) {
        if !self.service(key).is_some_and(|service| service.is_live(run)) {
            return;
        }
        match result {
            Recovered::Shim(found) => {
                info!(%key, run = run.0, replacement = found.replacement, "run has a shim again");
                self.adopt_shim(key, run, *found);
            }
            Recovered::Ended(exited) => self.on_exited(key, run, exited),
            Recovered::Never => {
                if let Some(service) = self.service_mut(key) {
                    service.live = None;
                }
                self.step(key, Event::Blocked { run, why: lifecycle::Block::Machine });
            }
            Recovered::Unclear(why) => {
                debug!(%key, why, "what became of a run is unclear; looking again");
                let Some(live) = self.service_mut(key).and_then(|service| service.live.as_mut()) else {
                    return;
                };
                let pause = (LOOK_AGAIN * 2_u32.saturating_pow(live.looks)).min(LOOK_AGAIN_AT_MOST);
                live.looks += 1;
                let dir = live.dir.clone();
                let (inputs, key, program) =
                    (self.inputs.clone(), key.clone(), Arc::clone(&self.shim_program));
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(pause).await;
                    tokio::task::spawn_blocking(move || {
                        let result = recover(&dir, &program);
                        let _ = inputs.send(Input::Recovered { key, run, result });
                    });
                });
            }
        }
    }

    /// Listens to the shim of a run that is ours again.
    pub(crate) fn adopt_shim(&mut self, key: &Key, run: RunId, found: FoundShim) {
        let FoundShim { dir, spec, started, connection, pipes, replacement } = found;
        let (orders, reader) = match shim_link::link(connection, key.clone(), run, self.inputs.clone()) {
            Ok(link) => link,
            Err(error) => return warn!(%key, %error, "the connection to a shim could not be used"),
        };
        let Some(service) = self.service_mut(key) else { return };
        let reaped = service.live.as_ref().and_then(|live| live.reaped.clone());
        service.live = Some(LiveRun {
            run,
            dir,
            marker: spec.marker,
            port: spec.port,
            host_dir: spec.host_dir.as_path().to_owned(),
            // A shim that was there before is the service's parent; a new one says who it is.
            shim: started.as_ref().filter(|_| !replacement).map(|started| started.shim.clone()),
            main: started.as_ref().map(|started| started.main.clone()),
            started_ms: started.as_ref().map(|started| started.at_ms),
            replaced_shim: replacement,
            orders,
            reader,
            stuck: Vec::new(),
            dropped_lines: 0,
            reaped,
            looks: 0,
            _pipes: pipes,
        });
        self.repeat_orders(key);
        self.touch();
    }

    /// An orphan of ours ended. If it was the main process of a run whose shim died, its exit code is known now.
    pub(crate) fn on_reaped(&mut self, pid: i32, cause: ExitCause) {
        for workspace in self.workspaces.values_mut() {
            for (_, service) in &mut workspace.services {
                let is_it = |live: &&mut LiveRun| live.main.as_ref().is_some_and(|main| main.pid == pid);
                if let Some(live) = service.live.as_mut().filter(is_it) {
                    live.reaped = Some(cause);
                    return;
                }
            }
        }
    }
}

/// How long to wait before looking again at a run that is neither dead nor reachable.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The same after it stayed so for a while.
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_secs(2);

/// What a run that ended while no daemon lived means for the core, and for people.
pub(crate) fn ended(exited: &Exited) -> (lifecycle::Exit, wire::ExitView) {
    (exit_of(exited), exit_view(exited))
}
