//! From an exec to a shim that serves: a clean slate, the run's lock, its records, its service.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use os::lock::FileLock;
use os::process::ProcessIdentity;
use run::layout::RunDir;
use run::protocol::{CONNECTION_FD, LOCK_FD, Report};
use run::record::{self, Exited, RunSpec, Started};

use crate::clients::Clients;
use crate::error::BeginError;
use crate::serve::Shim;
use crate::{spawn, successor};

/// What every shim has, the first as well as a successor.
pub(crate) struct Beginning {
    pub(crate) dir: RunDir,
    pub(crate) lock: FileLock,
    pub(crate) spec: RunSpec,
    pub(crate) me: ProcessIdentity,
    pub(crate) subreaper: bool,
    pub(crate) children: OwnedFd,
    pub(crate) clients: Clients,
}

/// `None` when there is nothing to serve.
pub(crate) fn begin() -> Result<Option<Shim>, BeginError> {
    // First of all, while the numbers still are what they were at exec.
    let connection = os::spawn::inherited(CONNECTION_FD).map(UnixStream::from);
    let lock = os::spawn::inherited(LOCK_FD);
    let dir = folder()?;
    let to_refuse = connection.as_ref().and_then(|stream| stream.try_clone().ok());
    begin_at(dir.clone(), connection, lock).inspect_err(|error| {
        // With a process on record there is a service, and only its shim has failed: its end is the report.
        if !dir.started().exists() {
            refuse(to_refuse, error);
        }
    })
}

fn begin_at(
    dir: RunDir,
    connection: Option<UnixStream>,
    inherited: Option<OwnedFd>,
) -> Result<Option<Shim>, BeginError> {
    os::failpoint!("shim.begin").map_err(BeginError::at("begin"))?;
    os::signals::clean_slate().map_err(BeginError::at("signals"))?;
    os::memory::share_one_heap();
    ignore_signals();
    let Some(lock) = take_lock(&dir, inherited).map_err(BeginError::at(dir.lock().display().to_string()))?
    else {
        return Ok(None); // late: somebody serves this run
    };
    // In its own session it does not matter which terminal the daemon was started from. An error means that
    // it leads one already.
    let _ = nix::unistd::setsid();
    let subreaper = os::process::become_subreaper(true).unwrap_or(false);
    let me = ProcessIdentity::current().map_err(BeginError::at("own process"))?;
    lock.write_owner(&me).map_err(BeginError::at(dir.lock().display().to_string()))?;
    if record::read::<Exited>(&dir.exited())?.is_some() {
        return Ok(None); // a tombstone: the daemon has counted this run out
    }
    let spec: RunSpec = record::read(&dir.spec())?.ok_or_else(|| BeginError::NoSpec(dir.spec()))?;
    let started: Option<Started> = record::read(&dir.started())?;
    // A shim keeps no folder busy: somebody may want to unmount it.
    std::env::set_current_dir("/").map_err(BeginError::at("/"))?;
    let children = os::signals::child_pipe().map_err(BeginError::at("a pipe for SIGCHLD"))?;
    let clients = Clients::new(spec.run, started.is_some(), connection);
    let beginning = Beginning { dir, lock, spec, me, subreaper, children, clients };
    match started {
        None => spawn::first(beginning),
        Some(started) => successor::adopt(beginning, started).map(Some),
    }
}

/// The machine did not let us begin: nothing that counts against the service.
fn refuse(connection: Option<UnixStream>, error: &BeginError) {
    let report = Report::Refused { errno: error.errno(), message: error.to_string() };
    if let (Some(mut connection), Ok(mut line)) = (connection, serde_json::to_vec(&report)) {
        line.push(b'\n');
        let _ = connection.write_all(&line);
    }
}

/// The run's folder: the last argument.
fn folder() -> Result<RunDir, BeginError> {
    let argument = std::env::args_os().skip(1).last().map(PathBuf::from).ok_or(BeginError::Usage)?;
    let path = std::path::absolute(&argument).map_err(BeginError::at(argument.display().to_string()))?;
    Ok(RunDir::at(path))
}

/// The lock of the run: inherited, or taken. `None` when somebody else has it.
fn take_lock(dir: &RunDir, inherited: Option<OwnedFd>) -> std::io::Result<Option<FileLock>> {
    if let Some(descriptor) = inherited {
        let file = std::fs::File::from(descriptor);
        let (ours, there) = (file.metadata()?, std::fs::metadata(dir.lock())?);
        if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) {
            return Ok(Some(FileLock::from_fd(file.into())));
        }
    }
    FileLock::try_acquire(&dir.lock())
}

/// A shim ends when its run has ended, by nothing else that can be avoided. What announces a fault of its own
/// stays deadly.
fn ignore_signals() {
    use Signal::{SIGABRT, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP};
    let deadly = [SIGABRT, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP];
    for signal in Signal::iterator().filter(|signal| !deadly.contains(signal)) {
        let _ = os::signals::ignore(&[signal]);
    }
}
