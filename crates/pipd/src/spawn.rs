//! Makes a run: is the port free, the folder, the lock, the FIFOs, the specification, the shim. In that order,
//! so that a death at any point leaves nothing that a later daemon could misread.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifecycle::{Block, RunId};
use os::lock::FileLock;
use os::process::ProcessIdentity;
use run::layout::{HostDir, RunDir, ServiceDir};
use run::protocol::{CONNECTION_FD, LOCK_FD};
use run::record::{self, Durability, RunSpec, Started};
use tracing::{debug, info};
use wire::{PortSpec, Text};

use crate::clock::wall_ms;
use crate::daemon::Daemon;
use crate::environment::{Filling, Recipe};
use crate::input::{Input, Key};
use crate::places::Place;
use crate::port::{self, External, Seeker};
use crate::service::Obstacle;

/// A run whose shim lives.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) dir: RunDir,
    pub(crate) host_dir: PathBuf,
    pub(crate) marker: String,
    pub(crate) port: Option<u16>,
    pub(crate) cwd: PathBuf,
    pub(crate) shim_pid: i32,
    pub(crate) connection: UnixStream,
    pub(crate) pipes: [OwnedFd; 2],
    pub(crate) adopted: bool,
    pub(crate) token: Option<String>,
}

/// Why there is no run.
#[derive(Debug)]
pub(crate) struct SpawnFailure {
    pub(crate) block: Block,
    pub(crate) obstacle: Box<Obstacle>,
}

/// All that is needed to make a run, off the loop.
pub(crate) struct Plan {
    hosts: Vec<HostDir>,
    shim: Arc<Path>,
    pub(crate) key: Key,
    run: RunId,
    port: Option<u16>,
    /// Looks at the port first.
    seeker: Option<Seeker>,
    jupyter: bool,
    argv: Vec<Text>,
    place: Place,
    cwd: Text,
    environment: Recipe,
    marker: String,
    stop: wire::StopSpec,
    log: wire::LogSpec,
    absent: Vec<wire::Absent>,
    nofile: Option<(u64, u64)>,
    /// The process is there already: somebody started it by hand.
    adopted: bool,
    /// The token that one was started with.
    token: Option<String>,
}

impl Daemon {
    pub(crate) fn spawn(&mut self, key: &Key, run: RunId) {
        if let Some(service) = self.service_mut(key) {
            service.spawned_at = std::time::SystemTime::now();
            service.port_left = None;
            service.spare_nobody = false;
        }
        match self.plan(key, run) {
            Ok(plan) => {
                let (inputs, key) = (self.inputs.clone(), key.clone());
                self.watch_the_disk();
                crate::tasks::blocking(move || {
                    let result = make_run(plan).map(Box::new);
                    let _ = inputs.send(Input::Spawned { key, run, result });
                });
            }
            // Through the inputs and not at once: the core must not be asked while it acts.
            Err(failure) => {
                let _ = self.inputs.send(Input::Spawned { key: key.clone(), run, result: Err(failure) });
            }
        }
    }

    pub(crate) fn plan(&self, key: &Key, run: RunId) -> Result<Plan, SpawnFailure> {
        let blocked = |block, detail: String, hint: Option<String>| SpawnFailure {
            block,
            obstacle: Box::new(Obstacle { detail, hint, ..Obstacle::default() }),
        };
        let (Some(workspace), Some(service)) = (self.workspaces.get(&key.workspace), self.service(key))
        else {
            return Err(blocked(Block::Refused, "the service is gone".into(), None));
        };
        let spec = &service.spec;
        if let Some(reason) = &spec.refused {
            return Err(blocked(Block::Refused, reason.clone(), None));
        }
        if let Some(missing) = self.missing_dependency(key) {
            let detail = format!("waits for `{missing}` to be ready");
            return Err(blocked(Block::After, detail, Some(format!("pipctl start {missing}"))));
        }
        let filling = Filling { port: service.port, root: &workspace.root };
        let marker = format!("{}.{}.{}.{:x}", key.workspace, key.service, run.0, wall_ms());
        let captured = service.environment.as_ref().and_then(|name| workspace.environments.get(name));
        let environment = Recipe {
            captured: captured.map(Arc::clone).unwrap_or_default(),
            spec: spec.clone(),
            root: workspace.root.clone(),
            port: service.port,
            token: workspace.token.clone(),
            marker: marker.clone(),
            state_dir: self.told_state_dir.clone(),
        };
        Ok(Plan {
            hosts: self.hosts.clone(),
            shim: Arc::clone(&self.shim_program),
            key: key.clone(),
            run,
            port: service.port,
            seeker: self.seeker(key),
            jupyter: spec.kind == wire::Kind::Jupyter,
            argv: spec.argv.iter().map(|argument| filling.fill(argument)).collect(),
            place: Place::of(workspace),
            cwd: spec.cwd.clone(),
            environment,
            marker,
            stop: spec.stop.clone(),
            log: spec.logs,
            absent: spec.absent.clone(),
            nofile: self.nofile,
            adopted: false,
            token: None,
        })
    }

    /// A service that must be ready first and is not.
    fn missing_dependency(&self, key: &Key) -> Option<&str> {
        let workspace = self.workspaces.get(&key.workspace)?;
        let after = &workspace.service(&key.service)?.spec.after;
        let ready = |name: &str| {
            workspace.service(name).is_some_and(|other| {
                matches!(other.core.phase(), lifecycle::Phase::Ready { .. } | lifecycle::Phase::External)
            })
        };
        after.iter().map(String::as_str).find(|name| !ready(name))
    }

    /// Gives the service its port: the configured one, or the one it had, or the next free one.
    pub(crate) fn assign_port(&mut self, key: &Key) {
        let Some(service) = self.service(key) else { return };
        let port = match (service.wanted_port(), service.port) {
            (None, _) => None,
            (Some(PortSpec::Fixed(port)), _) => Some(port),
            (Some(PortSpec::Auto(_)), Some(port)) => Some(port),
            (Some(PortSpec::Auto(first)), None) => port::next_free(first, &self.ports_given()),
        };
        if let Some(service) = self.service_mut(key) {
            service.port = port;
        }
    }

    /// Somebody else has the port of a service that takes any: it gets the next free one, and keeps that. Whether it
    /// has been asked for anew.
    fn moves_on(&mut self, key: &Key, run: RunId) -> bool {
        let Some(service) = self.service(key) else { return false };
        let (Some(PortSpec::Auto(first)), Some(taken)) = (service.wanted_port(), service.port) else {
            return false;
        };
        let Some(port) = port::next_free(first, &self.ports_given()) else { return false };
        info!(%key, taken, port, "its port is somebody else's now; it gets another one");
        if let Some(service) = self.service_mut(key) {
            service.port = Some(port);
        }
        self.after_record(&key.workspace, Vec::new());
        self.spawn(key, run);
        true
    }

    /// Every port that a service of any workspace has been given.
    fn ports_given(&self) -> Vec<u16> {
        let services = self.workspaces.values().flat_map(|workspace| &workspace.services);
        services.filter_map(|(_, service)| service.port).collect()
    }

    /// The answer to a spawn has come.
    pub(crate) fn on_spawned(&mut self, key: &Key, run: RunId, result: Result<Box<Spawned>, SpawnFailure>) {
        match result {
            Ok(spawned) => self.link(key, run, *spawned),
            Err(failure) => {
                debug!(%key, ?run, detail = failure.obstacle.detail, "blocked");
                let mut obstacle = *failure.obstacle;
                let adopting = self.service(key).and_then(|service| service.adopting.clone());
                if let Some(external) = adopting.filter(|one| one.main.liveness().is_ok_and(|l| l.is_alive()))
                {
                    // It goes on by itself, as before.
                    obstacle.watch = vec![external.main.clone()];
                    obstacle.holders = vec![external.view.clone()];
                    obstacle.external = Some(external);
                }
                let (block, by_hand) = (failure.block, obstacle.external.is_some());
                if block == Block::Port && !by_hand && self.moves_on(key, run) {
                    return;
                }
                if obstacle.folder_is_gone {
                    self.look_for_folders();
                }
                self.name_holders(key, &mut obstacle);
                if let Some(service) = self.service_mut(key) {
                    service.obstacle = Some(obstacle);
                }
                if by_hand {
                    self.step(key, lifecycle::Event::External { present: true });
                }
                self.step(key, lifecycle::Event::Blocked { run, why: block });
                // What it waits for may have become ready since it was looked at, and will not again.
                if block == Block::After && self.missing_dependency(key).is_none() {
                    let _ = self.inputs.send(Input::Relief { key: key.clone() });
                }
                self.answer_for_stalled(key);
            }
        }
    }
}

fn make_run(plan: Plan) -> Result<Spawned, SpawnFailure> {
    let _room = crate::shortage::room_for_a_run()
        .map_err(|error| machine(&error, "there is no room for another run"))?;
    if let Some(obstacle) = plan.place.obstacle() {
        return Err(SpawnFailure { block: Block::Exec, obstacle: Box::new(obstacle) });
    }
    if let Some(absent) = plan.absent.iter().find(|absent| !is_there(absent)) {
        let (detail, hint) = (absent.detail.clone(), absent.hint.clone());
        let obstacle = Obstacle { detail, hint, ..Obstacle::default() };
        return Err(SpawnFailure { block: Block::Exec, obstacle: Box::new(obstacle) });
    }
    make_run_with(plan, None)
}

/// `started` is the record of a process that is there already.
fn make_run_with(plan: Plan, started: Option<&Started>) -> Result<Spawned, SpawnFailure> {
    let env = plan.environment.assemble().map_err(|detail| SpawnFailure {
        block: Block::Exec,
        obstacle: Box::new(Obstacle { detail, ..Obstacle::default() }),
    })?;
    if let Some(obstacle) = crate::privacy::obstacle(plan.cwd.as_path()) {
        return Err(SpawnFailure { block: Block::Refused, obstacle: Box::new(obstacle) });
    }
    if let Some(seeker) = &plan.seeker {
        match seeker.look() {
            Ok(None) => {}
            Ok(Some(obstacle)) => {
                return Err(SpawnFailure { block: Block::Port, obstacle: Box::new(obstacle) });
            }
            Err(error) => return Err(machine(&error, "the port could not be checked")),
        }
    }
    let mut last = None;
    let plan = Arc::new(plan);
    let env = Arc::new(env);
    for host in &plan.hosts {
        let (wanted, plan_of, env_of) = (host.clone(), Arc::clone(&plan), Arc::clone(&env));
        let make = move || make_folder(&wanted, &plan_of, &env_of);
        // The last of them is not on a disk, or there is nowhere else to go.
        let made = match plan.hosts.last() {
            Some(last) if last != host => crate::disk::attempt(make, |(dir, _lock, _pipes)| {
                // The run has another folder by now.
                let _ = std::fs::remove_dir_all(dir.path());
            }),
            _ => make(),
        };
        match made {
            Ok((dir, lock, pipes)) => {
                if let Some(started) = started {
                    record::write(&dir.started(), started, Durability::Rename)
                        .map_err(|error| machine(&io::Error::other(error), "its start cannot be recorded"))?;
                }
                return make_shim(&plan, host, dir, &lock, pipes);
            }
            // The number is taken, in whichever root: the next attempt has the next one.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(machine(&error, &format!("run {} of {} is there already", plan.run.0, plan.key)));
            }
            Err(error) => last = Some((host.path().to_owned(), error)),
        }
    }
    Err(match last {
        Some((path, error)) => machine(&error, &format!("no place for a run below {}", path.display())),
        None => machine(&io::Error::from(io::ErrorKind::NotFound), "no place for a run"),
    })
}

/// Whether what was missing when the configuration was read has come since.
fn is_there(absent: &wire::Absent) -> bool {
    std::fs::metadata(absent.path.as_path()).is_ok_and(|found| match absent.wanted {
        wire::Place::File => found.is_file(),
        wire::Place::Folder => found.is_dir(),
        wire::Place::Program => found.is_file() && found.permissions().mode() & 0o111 != 0,
    })
}

/// A run for a process that is there already. Its record of the start comes before the shim, which then takes over
/// as it would from one that has died.
pub(crate) fn make_adopted(mut plan: Plan, external: &External) -> Result<Spawned, SpawnFailure> {
    let pid = external.main.pid;
    plan.adopted = true;
    plan.token.clone_from(&external.token);
    plan.seeker = None;
    if let Some(words) = os::process::command(pid) {
        plan.argv = words.into_iter().map(Text::from).collect();
    }
    if let Ok(cwd) = os::process::cwd(pid) {
        plan.cwd = cwd.as_path().into();
    }
    let shim = ProcessIdentity::current().map_err(|error| machine(&error, "own identity"))?;
    let started =
        Started { main: external.main.clone(), shim, at_ms: external.started_ms.unwrap_or_else(wall_ms) };
    make_run_with(plan, Some(&started))
}

fn machine(error: &io::Error, what: &str) -> SpawnFailure {
    SpawnFailure { block: Block::Machine, obstacle: Box::new(crate::shortage::of(what, error)) }
}

/// The run's folder, its lock and its FIFOs, and the specification last.
fn make_folder(
    host: &HostDir,
    plan: &Plan,
    env: &[(String, Text)],
) -> io::Result<(RunDir, FileLock, [OwnedFd; 2])> {
    let service = host.workspace(&plan.key.workspace).service(&plan.key.service);
    let dir = service.run(plan.run.0);
    // The folders above were made and checked for an earlier run, or they are now.
    os::failpoint!("run.make")?;
    let mut maker = std::fs::DirBuilder::new();
    match maker.mode(0o700).create(dir.path()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            os::paths::private_dir(&service.logs())?;
            os::paths::private_dir(&host.shim_sockets())?;
            os::paths::private_dir(dir.path())?;
        }
        Err(error) => return Err(error),
    }
    furnish(host, &service, &dir, plan, env).map(|(lock, pipes)| (dir.clone(), lock, pipes)).inspect_err(
        |_| {
            // Made by us and nobody was ever in it; on a full disk there would soon be thousands.
            let _ = std::fs::remove_dir_all(dir.path());
        },
    )
}

/// What belongs into a new folder.
fn furnish(
    host: &HostDir,
    service: &ServiceDir,
    dir: &RunDir,
    plan: &Plan,
    env: &[(String, Text)],
) -> io::Result<(FileLock, [OwnedFd; 2])> {
    let lock = FileLock::try_acquire(&dir.lock())?
        .ok_or_else(|| io::Error::new(io::ErrorKind::WouldBlock, "the run's lock is held"))?;
    os::fifo::make(&dir.out())?;
    os::fifo::make(&dir.err())?;
    let pipes = [os::fifo::open_read(&dir.out())?, os::fifo::open_read(&dir.err())?];
    let spec = RunSpec {
        run: plan.run.0,
        workspace: plan.key.workspace.to_string(),
        service: plan.key.service.to_string(),
        marker: plan.marker.clone(),
        argv: plan.argv.clone(),
        cwd: plan.cwd.clone(),
        env: env.to_vec(),
        stop: plan.stop.clone(),
        log: plan.log,
        log_dir: service.logs().as_path().into(),
        socket: host.shim_socket(&plan.marker).as_path().into(),
        host_dir: host.path().into(),
        port: plan.port,
        spare_terminals: plan.jupyter,
        nofile: plan.nofile,
        umask: plan.environment.umask(),
        adopted: plan.adopted,
        token: plan.token.clone(),
        at_ms: wall_ms(),
    };
    record::write(&dir.spec(), &spec, Durability::Rename).map_err(io::Error::other)?;
    Ok((lock, pipes))
}

fn make_shim(
    plan: &Plan,
    host: &HostDir,
    dir: RunDir,
    lock: &FileLock,
    pipes: [OwnedFd; 2],
) -> Result<Spawned, SpawnFailure> {
    let failed = |error: io::Error| {
        // Nobody will ever live in this run: say so, that no later daemon looks for somebody. The lock is ours.
        crate::recover::bury_locked(&dir, "its shim could not be started");
        machine(&error, "the shim could not be started")
    };
    let (ours, theirs) = os::failpoint!("run.connect").and_then(|()| UnixStream::pair()).map_err(failed)?;
    let shim_pid = start_shim(&plan.shim, &dir, Some(&theirs), lock).map_err(failed)?;
    let _ = os::failpoint!("run.made");
    Ok(Spawned {
        dir,
        host_dir: host.path().to_owned(),
        marker: plan.marker.clone(),
        port: plan.port,
        cwd: plan.cwd.as_path().to_owned(),
        shim_pid,
        connection: ours,
        pipes,
        adopted: plan.adopted,
        token: plan.token.clone(),
    })
}

/// What a shim must not have: it is neither a member of our run nor the process that our manager started.
fn concerns_us(name: &OsStr) -> bool {
    name == record::MARKER
        || name == run::asked::AFTER
        || os::notify::OF_ONE_PROCESS.iter().any(|other| name == *other)
}

/// Starts a shim for the run in `dir`, with its end of a connection and the run's lock.
pub(crate) fn start_shim(
    program: &Path,
    dir: &RunDir,
    connection: Option<&UnixStream>,
    lock: &FileLock,
) -> io::Result<i32> {
    let arguments = [dir.path().as_os_str().to_owned()];
    // What a shim needs to bring a daemon back; the service's own environment is in its specification.
    let environment: Vec<(OsString, OsString)> =
        std::env::vars_os().filter(|(name, _)| !concerns_us(name)).collect();
    let mut descriptors = vec![(lock.as_fd(), LOCK_FD)];
    if let Some(connection) = connection {
        descriptors.push((connection.as_fd(), CONNECTION_FD));
    }
    os::spawn::child(program, &arguments, &environment, &descriptors, io::stderr().as_fd())
}
