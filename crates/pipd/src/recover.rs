//! A run whose shim is gone: find out what became of it, and give it a replacement shim.
//!
//! Used in the same way when a shim dies under a living daemon and when a new daemon finds the run. The
//! run's lock decides who acts; nothing is buried or replaced without it.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifecycle::{Event, RunId};
use os::lock::FileLock;
use run::layout::RunDir;
use run::record::{self, Durability, Exited, RunSpec, Started};
use tracing::{debug, info, warn};
use wire::ExitCause;

use crate::clock::wall_ms;
use crate::daemon::Daemon;
use crate::input::{Input, Key};
use crate::mend;
use crate::runs::exit_of;
use crate::service::{LiveRun, Obstacle, exit_view};
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
    /// It has a shim that cannot be reached.
    Deaf(String),
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
    // The lock comes first: while somebody has it, what is missing here may be about to be written.
    match FileLock::try_acquire(&dir.lock()) {
        Ok(None) => join(dir),
        Ok(Some(lock)) => without_shim(dir, shim_program, &lock),
        Err(error) => Recovered::Unclear(format!("{}: {error}", dir.lock().display())),
    }
}

/// Nobody looks after the run, and nobody can begin to: the lock is ours.
fn without_shim(dir: &RunDir, shim_program: &Path, lock: &FileLock) -> Recovered {
    match record::read::<Exited>(&dir.exited()) {
        Ok(Some(exited)) => return Recovered::Ended(exited),
        Ok(None) => {}
        Err(error) if mend::makes_no_sense(&error) => mend::set_aside(&dir.exited()),
        Err(error) => return Recovered::Unclear(error.to_string()),
    }
    let (spec, started) = (record::read(&dir.spec()), record::read(&dir.started()));
    match (spec, started) {
        // The folder was made and nothing in it was ever spawned.
        (Ok(None), _) => {
            bury_locked(dir, "the daemon died before it was spawned");
            Recovered::Never
        }
        (Ok(Some(_)), Ok(None)) => {
            // The child waits for this record before it executes, and ends with the shim it waits for.
            bury_locked(dir, "its shim died before it was started");
            Recovered::Never
        }
        (Ok(Some(spec)), Ok(Some(started))) => replace(dir, spec, started, shim_program, lock),
        (Err(error), _) | (_, Err(error)) if !mend::makes_no_sense(&error) => {
            Recovered::Unclear(error.to_string())
        }
        (spec, started) => {
            let living = match mend::alive(dir) {
                Ok(living) => living,
                Err(error) => return Recovered::Unclear(error.to_string()),
            };
            if living.is_empty() {
                bury_locked(dir, "its records cannot be read and nothing of it lives");
                return Recovered::Ended(tombstone());
            }
            match mended(dir, spec.ok().flatten(), started.ok().flatten(), &living) {
                Ok((spec, started)) => replace(dir, spec, started, shim_program, lock),
                Err(why) => Recovered::Unclear(why),
            }
        }
    }
}

/// The records of a run of which something lives, those that could not be read written anew.
fn mended(
    dir: &RunDir,
    spec: Option<RunSpec>,
    started: Option<Started>,
    living: &[mend::Marked],
) -> Result<(RunSpec, Started), String> {
    let unknown = || format!("{}: nothing is known of what lives", dir.path().display());
    let spec = match spec {
        Some(spec) => spec,
        None => {
            let spec = mend::specification(dir, living).ok_or_else(unknown)?;
            mend::rewrite(&dir.spec(), &spec).map_err(|error| error.to_string())?;
            spec
        }
    };
    let started = match started {
        Some(started) => started,
        None => {
            let started = mend::started(living).ok_or_else(unknown)?;
            mend::rewrite(&dir.started(), &started).map_err(|error| error.to_string())?;
            started
        }
    };
    Ok((spec, started))
}

/// Somebody has the lock, so its shim lives, or is being started: connect to it.
fn join(dir: &RunDir) -> Recovered {
    // The last that a shim does: nothing is left of the run, and the lock will be free in a moment.
    if let Ok(Some(exited)) = record::read::<Exited>(&dir.exited()) {
        return Recovered::Ended(exited);
    }
    let spec = match record::read::<RunSpec>(&dir.spec()) {
        Ok(Some(spec)) => spec,
        Ok(None) => return Recovered::Unclear("it is being made".into()),
        // The shim has read it when it still made sense.
        Err(error) => match mend::alive(dir).ok().and_then(|living| mend::specification(dir, &living)) {
            Some(spec) => spec,
            None => return Recovered::Unclear(error.to_string()),
        },
    };
    match os::failpoint!("recover.connect").and_then(|()| UnixStream::connect(spec.socket.as_path())) {
        Ok(connection) => Recovered::Shim(Box::new(FoundShim {
            pipes: open_pipes(dir),
            dir: dir.clone(),
            spec,
            started: record::read(&dir.started()).ok().flatten(),
            connection,
            replacement: false,
        })),
        // It holds the lock and does not listen: too young, about to end, or cut off.
        Err(error) => Recovered::Deaf(format!("{}: {error}", spec.socket.to_string_lossy())),
    }
}

/// The shim is dead and this is its lock: a new one takes over, whether the service lives (it is watched) or not
/// (what is left of it is swept).
fn replace(dir: &RunDir, spec: RunSpec, started: Started, program: &Path, lock: &FileLock) -> Recovered {
    let pipes = open_pipes(dir);
    let made = UnixStream::pair().and_then(|(ours, theirs)| {
        start_shim(program, dir, Some(&theirs), lock)?;
        Ok(ours)
    });
    match made {
        Ok(connection) => Recovered::Shim(Box::new(FoundShim {
            dir: dir.clone(),
            spec,
            started: Some(started),
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

/// The same for who has the lock.
pub(crate) fn bury_locked(dir: &RunDir, why: &str) {
    if dir.exited().exists() {
        return;
    }
    debug!(dir = %dir.path().display(), why, "buried");
    if let Err(error) = record::write(&dir.exited(), &tombstone(), Durability::Rename) {
        warn!(%error, "no tombstone");
    }
}

fn tombstone() -> Exited {
    Exited {
        cause: ExitCause::Unknown,
        at_ms: wall_ms(),
        uptime_ms: 0,
        asked: false,
        out_of_memory: None,
        usage: None,
        swept: Vec::new(),
        left_running: Vec::new(),
        unkillable: Vec::new(),
    }
}

impl Daemon {
    /// The connection to a shim ended. If its run had not ended before, somebody has to look after it.
    pub(crate) fn on_shim_gone(&mut self, key: &Key, run: RunId) {
        let Some(live) = self.service_mut(key).and_then(|service| service.live.as_mut()) else { return };
        if live.run != run {
            return;
        }
        live.shim = None;
        // A shim that serves for a while and then dies is replaced at once; one that cannot begin is no hurry.
        if live.linked_at.elapsed() >= SERVED_FOR {
            live.looks = 0;
        }
        let (dir, looks) = (live.dir.clone(), live.looks);
        live.looks = looks.saturating_add(1);
        self.touch();
        self.look_after(key.clone(), run, dir, pause(looks));
    }

    /// Finds out, after a pause, what became of a run.
    fn look_after(&self, key: Key, run: RunId, dir: RunDir, pause: Duration) {
        let (inputs, program) = (self.inputs.clone(), Arc::clone(&self.shim_program));
        let look = move || {
            let result = recover(&dir, &program);
            let _ = inputs.send(Input::Recovered { key, run, result });
        };
        if pause.is_zero() {
            drop(crate::tasks::blocking(look));
            return;
        }
        crate::tasks::spawn(async move {
            tokio::time::sleep(pause).await;
            crate::tasks::blocking(look);
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
                    service.obstacle = Some(Obstacle {
                        detail: "its shim died before the service began".into(),
                        hint: Some("it is tried again by itself".into()),
                        ..Obstacle::default()
                    });
                }
                self.step(key, Event::Blocked { run, why: lifecycle::Block::Machine });
            }
            Recovered::Unclear(why) => self.look_again(key, run, &why),
            Recovered::Deaf(why) => {
                let now = Instant::now();
                let live = self.service_mut(key).and_then(|service| service.live.as_mut());
                if let Some(live) = live
                    && now.duration_since(*live.deaf_since.get_or_insert(now)) >= DEAF_FOR
                {
                    live.deaf_since = None;
                    let lock = live.dir.lock();
                    warn!(%key, run = run.0, why, "its shim cannot be reached and is replaced");
                    crate::tasks::blocking(move || shim_link::kill_owner(&lock));
                }
                self.look_again(key, run, &why);
            }
        }
    }

    fn look_again(&mut self, key: &Key, run: RunId, why: &str) {
        debug!(%key, why, "what became of a run is unclear; looking again");
        let Some(live) = self.service_mut(key).and_then(|service| service.live.as_mut()) else { return };
        live.looks = live.looks.saturating_add(1);
        let (dir, pause) = (live.dir.clone(), pause(live.looks));
        self.look_after(key.clone(), run, dir, pause);
    }

    /// Listens to the shim of a run that is ours again.
    pub(crate) fn adopt_shim(&mut self, key: &Key, run: RunId, found: FoundShim) {
        let FoundShim { dir, spec, started, connection, pipes, replacement } = found;
        // A replacement greets as soon as it is there.
        let silent = (!replacement).then(|| dir.lock());
        let (orders, reader) =
            match shim_link::link(connection, key.clone(), run, self.inputs.clone(), silent) {
                Ok(link) => link,
                Err(error) => return self.look_again(key, run, &error.to_string()),
            };
        let Some(service) = self.service_mut(key) else { return };
        let mut before = service.live.take();
        let deaths = before.as_mut().map(|live| std::mem::take(&mut live.deaths)).unwrap_or_default();
        let kept_pipes = before.as_mut().and_then(|live| live.pipes.take());
        let before = before.as_ref();
        service.live = Some(LiveRun {
            run,
            dir,
            marker: spec.marker,
            port: spec.port,
            cwd: spec.cwd.as_path().to_owned(),
            host_dir: spec.host_dir.as_path().to_owned(),
            // A shim that was there before is the service's parent; a new one says who it is.
            shim: started
                .as_ref()
                .filter(|_| !replacement && !spec.adopted)
                .map(|started| started.shim.clone()),
            main: started.as_ref().map(|started| started.main.clone()).filter(crate::adopt::may_live),
            started_ms: started.as_ref().map(|started| started.at_ms),
            other_release: None,
            replaced_shim: replacement || spec.adopted,
            adopted: spec.adopted,
            token: spec.token,
            facts: before.map(|live| live.facts.clone()).unwrap_or_default(),
            orders,
            reader,
            stuck: Vec::new(),
            dropped_lines: before.map_or(0, |live| live.dropped_lines),
            hearing: Default::default(),
            log_waits: false,
            jupyter: before.and_then(|live| live.jupyter.clone()),
            deaths,
            reaped: before.and_then(|live| live.reaped.clone()),
            looks: before.map_or(0, |live| live.looks),
            linked_at: Instant::now(),
            deaf_since: None,
            // Better the old ones than none: without a reader the service would write into a broken pipe.
            pipes: pipes.or(kept_pipes),
        });
        self.repeat_orders(key);
        if replacement {
            self.attend_anew(key);
        }
        self.touch();
    }

    /// An orphan of ours ended. If it was the main process of a run whose shim died, its exit code is known now.
    pub(crate) fn on_reaped(&mut self, pid: i32, cause: ExitCause) {
        for workspace in self.workspaces.values_mut() {
            for (_, service) in workspace.services.iter_mut() {
                let is_it = |live: &&mut LiveRun| live.main.as_ref().is_some_and(|main| main.pid == pid);
                if let Some(live) = service.live.as_mut().filter(is_it) {
                    live.reaped = Some(cause);
                    return;
                }
            }
        }
    }
}

/// How long to wait before looking for the `looks`th time at a run that has no shim to talk to.
fn pause(looks: u32) -> Duration {
    match looks {
        0 => Duration::ZERO,
        more => (LOOK_AGAIN * 2_u32.saturating_pow(more - 1)).min(LOOK_AGAIN_AT_MOST),
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(10);
const LOOK_AGAIN_AT_MOST: Duration = Duration::from_secs(2);

/// A shim that has served so long was able to.
const SERVED_FOR: Duration = Duration::from_secs(10);

/// How long a living shim may be out of reach.
const DEAF_FOR: Duration = Duration::from_secs(2);

/// What a run that ended while no daemon lived means for the core, and for people.
pub(crate) fn ended(exited: &Exited) -> (lifecycle::Exit, wire::ExitView) {
    (exit_of(exited), exit_view(exited))
}
