//! What shims report, and what follows from it.

use lifecycle::{Event, Exit, Phase, RunId};
use os::process::ProcessIdentity;
use run::protocol::{Order, Report};
use run::record::Exited;
use tracing::{debug, info, warn};
use wire::ExitCause;

use crate::daemon::Daemon;
use crate::input::{Input, Key};
use crate::port::Looked;
use crate::service::{LiveRun, Obstacle, exit_view};
use crate::shim_link;
use crate::spawn::Spawned;

/// Ended runs of a service whose folders are kept, for `why`.
const KEPT_RUNS: usize = 20;

impl Daemon {
    /// A run has a shim: listen to it.
    pub(crate) fn link(&mut self, key: &Key, run: RunId, spawned: Spawned) {
        let Spawned { dir, host_dir, marker, port, cwd, shim_pid, connection, pipes, adopted, token } =
            spawned;
        match shim_link::link(connection, key.clone(), run, self.inputs.clone(), None) {
            Ok((orders, reader)) => {
                if let Some(service) = self.service_mut(key) {
                    service.live = Some(LiveRun {
                        run,
                        dir,
                        marker,
                        port,
                        cwd,
                        host_dir,
                        shim: ProcessIdentity::of(shim_pid).ok().flatten(),
                        main: None,
                        started_ms: None,
                        other_release: None,
                        replaced_shim: adopted,
                        adopted,
                        token,
                        facts: Default::default(),
                        orders,
                        reader,
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
                        pipes: Some(pipes),
                    });
                    service.last_words.clear();
                }
            }
            Err(error) => {
                warn!(%key, %error, "the connection to a new shim could not be used");
                if let Some(service) = self.service_mut(key) {
                    service.live = Some(crate::adopt::placeholder(run, dir));
                }
                let _ = self.inputs.send(Input::ShimGone { key: key.clone(), run });
            }
        }
    }

    pub(crate) fn on_report(&mut self, key: &Key, run: RunId, report: Report) {
        let Some(live) = self.service_mut(key).and_then(|service| service.live.as_mut()) else {
            return debug!(%key, ?run, ?report, "report of a run that is over");
        };
        if live.run != run {
            return debug!(%key, ?run, ?report, "report of an older run");
        }
        match report {
            Report::Hello { shim_pid, replacement, release, pings, .. } => {
                live.hearing.answers = pings;
                // While a shim is connected its number is its own: asked once, when it was made.
                if live.shim.as_ref().is_none_or(|shim| shim.pid != shim_pid) {
                    live.shim = ProcessIdentity::of(shim_pid).ok().flatten();
                }
                live.other_release = (release != env!("CARGO_PKG_VERSION")).then(|| release.into_boxed_str());
                if replacement && !std::mem::replace(&mut live.replaced_shim, true) {
                    self.attend_anew(key);
                }
                self.order_liveness();
                self.touch();
            }
            Report::Started { pid, at_ms } => {
                // Its record was read and its process is gone: the number may be a stranger's, and the end is what its shim
                // says next. Till then it is no run that is there already.
                if live.main.is_none() && live.started_ms == Some(at_ms) {
                    return debug!(%key, ?run, pid, "what was started has ended");
                }
                // What is on record is proven; a number alone is not.
                let unknown = live.main.as_ref().is_none_or(|main| main.pid != pid);
                if unknown {
                    live.main = ProcessIdentity::of(pid).ok().flatten();
                }
                live.started_ms = Some(at_ms);
                // Now, when nobody waits for the next run: forget runs that ended long ago.
                if run.0 > KEPT_RUNS as u64 {
                    let dir = live.dir.clone();
                    self.on_disk(move || prune(&dir, run));
                }
                if unknown {
                    // A run whose record could not be read is asked about already, without knowing whose answer counts.
                    self.attend_anew(key);
                }
                self.step(key, Event::Spawned { run });
            }
            Report::Replaced { pid } => {
                info!(%key, pid, "the service replaced itself");
                live.main = ProcessIdentity::of(pid).ok().flatten();
                // Its members are others now.
                self.attend_anew(key);
                self.touch();
            }
            Report::Exited(exited) => self.on_exited(key, run, exited),
            Report::Stuck { pids } => {
                live.stuck = pids;
                self.touch();
            }
            Report::Refused { errno, message } => {
                debug!(%key, errno, message, "the machine refused a process");
                let dir = live.dir.clone();
                self.on_disk(move || {
                    crate::recover::bury(&dir, "the machine refused a process");
                    prune(&dir, run);
                });
                if let Some(service) = self.service_mut(key) {
                    service.live = None;
                    service.obstacle =
                        Some(crate::shortage::obstacle(message, Some(nix::errno::Errno::from_raw(errno))));
                }
                self.step(key, Event::Blocked { run, why: lifecycle::Block::Machine });
            }
            Report::Dropped { lines } => {
                live.dropped_lines = live.dropped_lines.saturating_add(lines);
                self.touch();
            }
            Report::Pong { number } => self.on_pong(key, run, number),
            Report::LogWaits { waits } => {
                live.log_waits = waits;
                self.touch();
            }
            Report::Unknown => debug!(%key, "a shim of a newer version says something unknown"),
        }
    }

    /// A run is over. Why it never became ready is looked up before the core hears of it; where that does not
    /// matter nothing stands between an end and the next beginning.
    pub(crate) fn on_exited(&mut self, key: &Key, run: RunId, mut exited: Exited) {
        let Some(service) = self.service_mut(key) else { return };
        let Some(live) = service.live.take_if(|live| live.run == run) else { return };
        if exited.cause == ExitCause::Unknown
            && let Some(cause) = &live.reaped
        {
            exited.cause = cause.clone();
            // Its shim was not the parent and recorded what it knew. It ends after this report, and writes no more.
            let (record, known) = (live.dir.exited(), exited.clone());
            crate::disk::run(move || {
                if let Err(error) = run::record::write(&record, &known, run::record::Durability::Rename) {
                    tracing::warn!(path = %record.display(), %error, "the cause of an end could not be recorded");
                }
            });
        }
        let never_ready = matches!(
            service.core.phase(),
            Phase::Spawning { .. } | Phase::Starting { .. } | Phase::Unhealthy { was_ready: false, .. }
        );
        let (dir, port) = (live.dir.clone(), live.port);
        drop(live);
        if never_ready {
            let (inputs, key) = (self.inputs.clone(), key.clone());
            crate::tasks::blocking(move || {
                let last_words = last_words(&dir, run);
                let collision = port.is_some() && speaks_of_a_taken_port(&exited.cause, &last_words);
                let _ = inputs.send(Input::Examined { key, run, exited, last_words, collision });
            });
        } else {
            self.on_examined(key, run, &exited, Vec::new(), false);
        }
    }

    pub(crate) fn on_examined(
        &mut self,
        key: &Key,
        run: RunId,
        exited: &Exited,
        last_words: Vec<String>,
        collision: bool,
    ) {
        let Some(service) = self.service_mut(key) else { return };
        info!(%key, run = run.0, cause = %exited.cause, asked = exited.asked, "run ended");
        service.last_exit = Some(exit_view(exited));
        service.last_words = last_words;
        let mut exit = exit_of(exited);
        exit.collision = collision;
        if exited.asked
            && let Some(seeker) = self.seeker(key)
        {
            let (inputs, key) = (self.inputs.clone(), key.clone());
            crate::tasks::blocking(move || {
                if let Ok(Some(obstacle)) = seeker.look() {
                    let _ = inputs.send(Input::PortStillTaken { key, run, obstacle });
                }
            });
        }
        let Some(service) = self.service_mut(key) else { return };
        if let ExitCause::ExecFailed { message, .. } = &exited.cause {
            service.obstacle = Some(Obstacle { detail: message.clone(), ..Obstacle::default() });
        } else if collision {
            let detail = match service.port {
                Some(port) => format!("port {port} was taken while the service started"),
                None => "its port was taken while the service started".to_owned(),
            };
            service.obstacle = Some(Obstacle { detail, ..Obstacle::default() });
        }
        self.step(key, Event::Exited { run, exit });
    }

    /// After a stop the port is to be free. If it is not, that is said, with the name of whoever has it.
    pub(crate) fn on_port_still_taken(&mut self, key: &Key, run: RunId, obstacle: Obstacle) {
        // A run that came after may have it by right.
        if self.service(key).is_some_and(|service| service.core.last_run() == run) {
            info!(%key, detail = obstacle.detail, "stopped, and its port is still taken");
            self.on_looked(key, Looked::Held(Box::new(obstacle)));
        }
    }

    /// A shim that comes back is told again what it was asked.
    pub(crate) fn repeat_orders(&self, key: &Key) {
        let Some(service) = self.service(key) else { return };
        if let (Phase::Stopping { .. }, Some(live)) = (service.core.phase(), &service.live) {
            let _ = live.orders.send(Order::Stop { all_processes: service.spare_nobody });
        }
    }
}

/// An exit as the core sees it.
pub(crate) fn exit_of(exited: &Exited) -> Exit {
    let machine = matches!(&exited.cause, ExitCause::ExecFailed { errno, .. } if is_machine_fault(*errno));
    Exit {
        clean: exited.cause == ExitCause::Code(0),
        collision: false,
        exec_failed: matches!(exited.cause, ExitCause::ExecFailed { .. }) && !machine,
        machine,
        session_end: false,
    }
}

fn is_machine_fault(errno: i32) -> bool {
    use nix::errno::Errno;
    matches!(
        Errno::from_raw(errno),
        Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE | Errno::ENOSPC | Errno::EIO
    )
}

pub(crate) fn last_words(dir: &run::layout::RunDir, run: RunId) -> Vec<String> {
    let logs = dir.path().ancestors().nth(2).map(|service| service.join("log"));
    logs.map(|logs| run::log::last_words(&logs, run.0)).unwrap_or_default()
}

/// JupyterLab ends with 1, uvicorn with 3, and both say why.
fn speaks_of_a_taken_port(cause: &ExitCause, last_words: &[String]) -> bool {
    matches!(cause, ExitCause::Code(1 | 3))
        && last_words.iter().any(|line| {
            let line = line.to_ascii_lowercase();
            line.contains("address already in use")
                || (line.contains("port") && line.contains("already in use"))
        })
}

/// Forgets the folders of runs long before `run`. At most one run lives, so they have ended, whether their end was
/// recorded or the machine had refused them.
fn prune(dir: &run::layout::RunDir, run: RunId) {
    let Some(service) = dir.path().ancestors().nth(2) else { return };
    let folder = |number: u64| run::layout::RunDir::at(service.join("runs").join(format!("{number:010}")));
    let Ok(entries) = std::fs::read_dir(service.join("runs")) else { return };
    let mut before: Vec<u64> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&number| number < run.0)
        .collect();
    before.sort_unstable();
    let surplus = before.len().saturating_sub(KEPT_RUNS);
    for number in before.into_iter().take(surplus) {
        let run = folder(number);
        // Never one whose shim may still hold the lock.
        if matches!(os::lock::is_held(&run.lock()), Ok(false)) {
            let _ = os::failpoint!("run.prune");
            let _ = std::fs::remove_dir_all(run.path());
        }
    }
}
