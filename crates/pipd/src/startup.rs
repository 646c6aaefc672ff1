//! From the first instruction to serving: a clean slate, the lock, the state, the socket. And the goodbye.

use std::cell::RefCell;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use interprocess::local_socket::tokio::Listener;
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName};
use nix::sys::signal::Signal;
use os::lock::FileLock;
use os::process::{Liveness, ProcessIdentity};
use run::asked;
use run::layout::HostDir;
use run::record::{self, DaemonGoal, DaemonRecord, Durability};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{error, info, warn};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use wire::DaemonInfo;

use crate::clock::wall_ms;
use crate::daemon::{self, Daemon};
use crate::managed::Managed;
use crate::session::{self, Session};
use crate::{disk, mend, own_log, reaper, socket};

/// No daemon lives so long.
const FOR_EVER: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 86_400);

/// Why the daemon cannot serve.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// No folder takes the lock.
    #[error("no place for pipd's state: {0}; make the folder writable, or set PIPD_STATE_DIR")]
    State(String),
    /// Another daemon serves.
    #[error("another pipd serves this user already (lock {0})")]
    Held(PathBuf),
    /// The system refused.
    #[error("{what}: {source}")]
    Io {
        /// At what.
        what: String,
        /// What it said.
        source: io::Error,
    },
}

/// The program `pipd`.
pub fn main() -> ExitCode {
    let argument = std::env::args_os().nth(1);
    match argument.as_ref().map(|argument| argument.to_string_lossy()) {
        None => {}
        Some(text) if text == "--version" => {
            println!("pipd {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some(text) if text == "--check" => return check(),
        Some(text) => {
            eprintln!(
                "pipd: unexpected argument `{text}`; pipd takes --version or --check, and is started by: pipctl start"
            );
            return ExitCode::from(2);
        }
    }
    match prepare() {
        Ok(code) => code,
        // Losing a race for the lock is what many parallel starts look like; the winner serves.
        Err(StartError::Held(_)) => ExitCode::SUCCESS,
        Err(error) => {
            error!(%error, "pipd cannot serve");
            eprintln!("pipd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether this program could serve here: its shim is there, and the state is readable.
fn check() -> ExitCode {
    let problem = match (shim_program(), os::paths::state_root(), os::host::host_key()) {
        (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => error.to_string(),
        (Ok(_), Ok(root), Ok(host)) => match readable(&HostDir::new(&root, &host)) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error.to_string(),
        },
    };
    eprintln!("pipd: {problem}");
    ExitCode::FAILURE
}

/// Whether what is kept was written by no newer pipd. What makes no sense is no obstacle: it is set aside when it is read.
fn readable(host: &HostDir) -> Result<(), record::RecordError> {
    let folders = std::fs::read_dir(host.workspaces()).into_iter().flatten().flatten();
    let records = folders.filter_map(|entry| Some(host.workspace(entry.file_name().to_str()?).record()));
    for path in std::iter::once(host.daemon_record()).chain(records) {
        if let Err(error @ record::RecordError::Newer { .. }) = record::read::<serde_json::Value>(&path) {
            return Err(error);
        }
    }
    Ok(())
}

fn prepare() -> Result<ExitCode, StartError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| StartError::Io { what, source }
    };
    os::signals::clean_slate().map_err(failed("signals"))?;
    // A terminal that goes away and a peer that hangs up are no reason to end; SIGTERM and SIGINT are.
    os::signals::ignore(&[
        Signal::SIGHUP,
        Signal::SIGPIPE,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
    ])
    .map_err(failed("signals"))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    os::memory::share_one_heap();
    begin_log();
    end_whole_on_panic();
    let nofile = os::limits::raise_nofile().ok();
    if let Err(source) = os::process::become_subreaper(true) {
        warn!(%source, "orphans will not come to this daemon; their exit codes may stay unknown");
    }
    let managed = Rc::new(Managed::of_this_process());
    let _ = os::failpoint!("daemon.begin");
    let (hosts, lock, mut warnings) = take_place(&managed)?;
    let Some(host) = hosts.first().cloned() else { return Err(StartError::State("no folder".into())) };
    managed.keep_log(&host);
    own_log::bound(host.daemon_log());
    if std::env::var_os(asked::AFTER).is_some_and(|after| asked::is_over(&host, &after)) {
        info!("another pipd came and was told to go since this one was asked for");
        managed.not_needed();
        return Err(StartError::Held(host.daemon_lock()));
    }
    displace(&host);
    let shim = shim_program().map_err(failed("pipd-shim"))?;
    let exe = std::env::current_exe().map_err(failed("own program"))?;
    let identity = ProcessIdentity::current().map_err(failed("own identity"))?;
    if let Err(error) = lock.write_owner(&identity) {
        warn!(%error, "the lock does not name its owner");
    }
    let session = Session::find(&host, &mut warnings);
    keep_goodbye(&host, &mut warnings);
    let goodbye = |goal, session_ended| DaemonRecord {
        goal,
        exe: exe.as_path().into(),
        manager: managed.kind.into(),
        process: Some(identity.clone()),
        session_ended,
        session_began_ms: session.began_ms(),
    };
    let hello = goodbye(DaemonGoal::Up, false);
    if let Err(error) = record::write(&host.daemon_record(), &hello, Durability::Rename) {
        warn!(%error, "no record of this daemon; should it be killed, no shim brings it back");
    }
    let info = DaemonInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: identity.pid,
        exe: Some(exe.as_path().into()),
        started_ms: wall_ms(),
        state_dir: Some(host.path().into()),
        manager: managed.kind.into(),
    };
    let (inputs, mut queue) = mpsc::unbounded_channel();
    let disk_threads = disk::begin(
        host.path(),
        inputs.clone(),
        tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(4)
            .thread_keep_alive(FOR_EVER)
            .thread_stack_size(256 << 10),
    )
    .map_err(failed("threads"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        // They stay: where no thread can be started any more, one that is there takes the work, and without one the
        // daemon would end.
        .thread_keep_alive(FOR_EVER)
        .thread_stack_size(256 << 10)
        .on_thread_park(crate::rest::before_sleep)
        .build()
        .map_err(failed("runtime"))?;
    let local = tokio::task::LocalSet::new();
    let (goal, session_ended) = local.block_on(&runtime, async {
        let hosts_swept = hosts.clone();
        let mut daemon = Daemon::new(info, hosts, Arc::from(shim.as_path()), inputs.clone());
        daemon.nofile = nofile;
        daemon.warnings = warnings;
        daemon.adopt(&session);
        let shared = Rc::new(RefCell::new(daemon));
        shared.borrow_mut().own = Rc::downgrade(&shared);
        // The first of the helpers, while there may be one.
        drop(crate::tasks::blocking(|| ()));
        let _ = os::failpoint!("daemon.adopted");
        crate::adopt::hear_of_ends(&shared, &mut queue).await;
        let listener = listen(&host.socket()).map_err(failed("socket"))?;
        reaper::begin(inputs.clone()).map_err(failed("signals"))?;
        session::end_on_signals(inputs, managed.kind).map_err(failed("signals"))?;
        info!(pid = identity.pid, version = env!("CARGO_PKG_VERSION"), "serving");
        let clients = crate::tasks::spawn(serve_for_life(listener, host.socket(), Rc::clone(&shared)));
        managed.ready();
        shared.borrow().look_for_folders();
        drop(crate::tasks::blocking(move || hosts_swept.iter().for_each(crate::forget::sweep)));
        daemon::run(&shared, queue).await;
        managed.stopping();
        clients.abort();
        // Whoever still waits is told to ask again; answers that were given are on their way to their clients.
        shared.borrow_mut().answers = Default::default();
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let daemon = shared.borrow();
        Ok((daemon.ending.unwrap_or(DaemonGoal::Down), daemon.session_ends_by.is_some()))
    })?;
    // A run that is being made is made to its end, or the next daemon would find it half-made.
    drop(local);
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    own_log::say_at_once();
    disk_threads.shutdown_timeout(std::time::Duration::from_secs(2));
    // The goodbye comes before the lock is let go: no shim brings back what left on purpose.
    if let Err(error) =
        record::write(&host.daemon_record(), &goodbye(goal, session_ended), Durability::Rename)
    {
        warn!(%error, "the goodbye could not be written; a shim will bring this daemon back");
    }
    let _ = os::failpoint!("daemon.goodbye");
    let _ = std::fs::remove_file(host.socket());
    info!(?goal, session_ended, "gone");
    drop(lock);
    Ok(ExitCode::SUCCESS)
}

/// The best folder that takes the lock, and all folders in which runs may be.
fn take_place(managed: &Managed) -> Result<(Vec<HostDir>, FileLock, Vec<String>), StartError> {
    let key = os::host::host_key().map_err(|source| StartError::Io { what: "host".into(), source })?;
    let mut roots = Vec::new();
    let mut problems = Vec::new();
    match os::paths::state_root() {
        Ok(root) => roots.push(root),
        Err(error) => problems.push(error.to_string()),
    }
    roots.push(os::paths::runtime_root());
    let hosts: Vec<HostDir> = roots.iter().map(|root| HostDir::new(root, &key)).collect();
    for (index, host) in hosts.iter().enumerate() {
        // The root, too: whoever owned a folder above ours could put another in its place.
        let root = host.path().ancestors().nth(2).unwrap_or(host.path());
        let locked = os::paths::private_dir(root)
            .and_then(|()| os::paths::private_dir(host.path()))
            .and_then(|()| acquire(&host.daemon_lock(), || managed.takes_over(host)));
        match locked {
            Ok(Some(lock)) => {
                let warnings =
                    problems.iter().map(|problem| format!("state is not persistent: {problem}")).collect();
                // The folder that works comes first; the other is still read.
                let mut ordered = hosts.clone();
                ordered.rotate_left(index);
                return Ok((ordered, lock, warnings));
            }
            Ok(None) => {
                managed.not_needed();
                return Err(StartError::Held(host.daemon_lock()));
            }
            Err(error) => problems.push(format!("{}: {error}", host.path().display())),
        }
    }
    Err(StartError::State(problems.join("; ")))
}

/// Takes the daemon's lock, if no daemon has it or the one that has it makes way. Whoever only looks whether it is held has it for an instant, so
/// one refusal proves nothing.
fn acquire(path: &Path, takes_over: impl FnOnce() -> bool) -> io::Result<Option<FileLock>> {
    let lock = acquire_free(path)?;
    if lock.is_none() && takes_over() { acquire_free(path) } else { Ok(lock) }
}

fn acquire_free(path: &Path) -> io::Result<Option<FileLock>> {
    for _ in 0..LOOKS_AT_LOCK {
        if let Some(lock) = FileLock::try_acquire(path)? {
            return Ok(Some(lock));
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    Ok(None)
}

/// How often a held lock is tried, 2 ms apart.
const LOOKS_AT_LOCK: u32 = 25;

/// The shim lies beside this program.
fn shim_program() -> io::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let shim = exe.with_file_name("pipd-shim");
    if shim.is_file() {
        return Ok(shim);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("{} is missing; install pipd, pipctl and pipd-shim in one folder", shim.display()),
    ))
}

/// Binds under the lock, so what lies at the path is a leftover. Only a socket is ever removed.
fn listen(path: &Path) -> io::Result<Listener> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} is not a socket; move it away", path.display()),
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    os::failpoint!("daemon.listen")?;
    let name = path.to_fs_name::<GenericFilePath>()?;
    let listener = ListenerOptions::new().name(name).reclaim_name(false).create_tokio()?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves, and serves anew when a client that finds no socket says so by SIGUSR1: whatever cleans folders up may
/// have taken it.
async fn serve_for_life(listener: Listener, path: PathBuf, daemon: daemon::Shared) {
    let asked = signal(SignalKind::user_defined1());
    let mut serving = crate::tasks::spawn(socket::serve(listener, Rc::clone(&daemon)));
    let Ok(mut asked) = asked else {
        warn!("a socket that vanishes will not be made anew: no signal can be listened for");
        let _ = serving.await;
        return;
    };
    while asked.recv().await.is_some() {
        if path.exists() {
            continue;
        }
        match listen(&path) {
            Ok(listener) => {
                info!(path = %path.display(), "the socket was gone and is there again");
                serving.abort();
                serving = crate::tasks::spawn(socket::serve(listener, Rc::clone(&daemon)));
            }
            Err(error) => warn!(path = %path.display(), %error, "the socket is gone and cannot be made anew"),
        }
    }
}

/// A daemon whose lock was deleted under it does not know that it is no longer the one. It is told to go, before
/// this one begins; services do not notice.
fn displace(host: &HostDir) {
    let Ok(Some(record)) = record::read::<DaemonRecord>(&host.daemon_record()) else { return };
    let Some(other) = record.process.filter(|_| record.goal == DaemonGoal::Up) else { return };
    if i32::try_from(std::process::id()) == Ok(other.pid) {
        return;
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // A zombie lives no more; whoever is its parent reaps it.
        if !matches!(other.liveness(), Ok(Liveness::Running | Liveness::Stopped)) {
            return;
        }
        warn!(pid = other.pid, ?signal, "another daemon lives without its lock; it is told to go");
        let _ = other.signal(signal);
        for _ in 0..300 {
            if !matches!(other.liveness(), Ok(Liveness::Running | Liveness::Stopped)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// A goodbye that cannot be read, or that a newer pipd wrote, is about to be replaced by this daemon's: it is put aside.
fn keep_goodbye(host: &HostDir, warnings: &mut Vec<String>) {
    let path = host.daemon_record();
    if let Err(error) = record::read::<DaemonRecord>(&path)
        && mend::makes_no_sense(&error)
    {
        match record::set_aside(&path) {
            Ok(aside) => warnings.push(format!("{error}; set aside as {}", aside.display())),
            Err(rename) => warn!(%error, %rename, "the goodbye of the daemon before is lost"),
        }
    }
}

/// A daemon of which one task is gone would answer and do nothing. In every build the whole of it goes: what it knew is
/// on disk, and a shim brings the next one.
fn end_whole_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        // No ERROR through the log's layers: they may be what panicked.
        eprintln!("pipd: {panic}; the daemon ends and the next one goes on");
        std::process::abort();
    }));
}

/// To stderr; whoever started the daemon keeps it.
fn begin_log() {
    let level =
        std::env::var("PIPD_LOG").ok().and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::INFO);
    let layer =
        tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(|| own_log::Lines);
    // A second subscriber cannot be there; if it is, its lines are as good.
    let _ = tracing_subscriber::registry().with(layer).with(Targets::new().with_default(level)).try_init();
}
