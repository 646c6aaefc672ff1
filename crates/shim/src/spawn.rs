//! The first shim of a run makes the service's process: record first, then let it execute.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use os::process::ProcessIdentity;
use os::spawn::Program;
use run::log::Stamp;
use run::protocol::Report;
use run::record::{self, Durability, Exited, RunSpec, Started};
use wire::ExitCause;

use crate::begin::Beginning;
use crate::error::BeginError;
use crate::main_process::{MainProcess, Tie};
use crate::memory::Kills;
use crate::note::Note;
use crate::output::{Output, Pipes};
use crate::serve::Shim;

/// For a run whose caller did not tell: ours hides everything from others, which is not for a service's files.
const USUAL_UMASK: u32 = 0o022;

/// Why there is no process.
enum Failure {
    /// The service's own: a wrong path, a missing interpreter.
    Exec { errno: i32, message: String },
    /// The machine's: no process, no memory, no descriptor, no room for the record.
    Machine { errno: i32, message: String },
}

pub(crate) fn first(mut beginning: Beginning) -> Result<Option<Shim>, BeginError> {
    let at = beginning.dir.path().display().to_string();
    let pipes = Pipes::open(&beginning.dir).map_err(BeginError::at(at))?;
    match spawn(&beginning, &pipes) {
        Ok(main) => {
            let started = Report::Started { pid: main.identity.pid, at_ms: main.started_ms };
            beginning.clients.tell(&started);
            beginning.clients.set_news(vec![started]);
            let exit_record = beginning.dir.exited();
            let kills = Kills::now();
            let mut output = Output::new(pipes, &beginning.dir, &beginning.spec);
            output.set_note(Note { kills_before: kills.before(), asked: false }.pack());
            output.started(beginning.spec.run, main.identity.pid);
            output.give(Box::new(move |_| record::prepare(&exit_record)));
            Ok(Some(Shim::new(beginning, main, output, kills, Instant::now(), false)))
        }
        Err(Failure::Exec { errno, message }) => {
            let mut output = Output::new(pipes, &beginning.dir, &beginning.spec);
            let logged = output.ended(beginning.spec.run, message.clone());
            output.is_done(logged, crate::output::PATIENCE);
            let exited = Exited {
                cause: ExitCause::ExecFailed { message, errno },
                at_ms: Stamp::now().as_ms(),
                uptime_ms: 0,
                asked: false,
                out_of_memory: Some(false),
                usage: None,
                swept: Vec::new(),
                left_running: Vec::new(),
                unkillable: Vec::new(),
            };
            let written = record::write(&beginning.dir.exited(), &exited, Durability::Rename);
            beginning.clients.tell(&Report::Exited(exited));
            beginning.clients.close();
            written?;
            Ok(None)
        }
        Err(Failure::Machine { errno, message }) => {
            beginning.clients.tell(&Report::Refused { errno, message });
            beginning.clients.close();
            Ok(None)
        }
    }
}

fn spawn(beginning: &Beginning, pipes: &Pipes) -> Result<MainProcess, Failure> {
    let spec = &beginning.spec;
    let path = program(spec)?;
    let argv: Vec<OsString> = spec.argv.iter().map(|one| one.as_os_str().to_owned()).collect();
    let env: Vec<(OsString, OsString)> =
        spec.env.iter().map(|(name, value)| (name.into(), value.as_os_str().to_owned())).collect();
    let pending = os::spawn::fork_waiting(Program {
        path: &path,
        argv: &argv,
        env: &env,
        cwd: spec.cwd.as_path(),
        stdout: pipes.write_out.as_fd(),
        stderr: pipes.write_err.as_fd(),
        // The service holds read ends itself: its pipes have a reader as long as it lives, whoever dies.
        keep: &[pipes.out.as_fd(), pipes.err.as_fd()],
        rlimit_nofile: spec.nofile,
        umask: Some(spec.umask.unwrap_or(USUAL_UMASK)),
    })
    .map_err(|error| failed(&error, "fork", spec, &path))?;
    let machine = |error: io::Error| failed_on_machine(&error, "the process cannot be recorded");
    let identity = ProcessIdentity::of(pending.pid())
        .and_then(|found| found.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(machine)?;
    let at_ms = Stamp::now().as_ms();
    let started = Started { main: identity.clone(), shim: beginning.me.clone(), at_ms };
    record::write(&beginning.dir.started(), &started, Durability::Rename).map_err(|error| match error {
        record::RecordError::Io { source, .. } => machine(source),
        other => machine(io::Error::other(other)),
    })?;
    pending
        .go()
        .map_err(|error| failed(&io::Error::from_raw_os_error(error.errno), error.step, spec, &path))?;
    let group = identity.pid;
    Ok(MainProcess { identity, group, tie: Tie::Child, started_ms: at_ms })
}

/// The file to execute.
fn program(spec: &RunSpec) -> Result<PathBuf, Failure> {
    let nothing = || Failure::Exec { errno: Errno::EINVAL as i32, message: "the command is empty".into() };
    let name = spec.argv.first().ok_or_else(nothing)?.as_os_str();
    let search = spec.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
    os::spawn::resolve(name, search, spec.cwd.as_path())
        .map_err(|error| failed(&error, "find", spec, name.as_ref()))
}

fn failed(error: &io::Error, step: &str, spec: &RunSpec, path: &Path) -> Failure {
    let errno = error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::NotFound => Errno::ENOENT as i32,
        io::ErrorKind::PermissionDenied => Errno::EACCES as i32,
        _ => 0,
    });
    let why = run::log::error_text(error);
    if matches!(
        Errno::from_raw(errno),
        Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE | Errno::ENOSPC | Errno::EIO
    ) {
        return Failure::Machine { errno, message: format!("{}: {why}", path.display()) };
    }
    let message = match step {
        "working folder" => format!("cannot enter {}: {why}", spec.cwd.as_path().display()),
        "exec" | "find" => format!("cannot execute {}: {why}{}", path.display(), hint(errno, path)),
        step => format!("cannot start {}: {step}: {why}", path.display()),
    };
    Failure::Exec { errno, message }
}

fn failed_on_machine(error: &io::Error, what: &str) -> Failure {
    let errno = error.raw_os_error().unwrap_or(Errno::EIO as i32);
    Failure::Machine { errno, message: format!("{what}: {}", run::log::error_text(error)) }
}

/// "No such file" of a file that is there names its interpreter: a script of a folder that was moved, or a
/// link into a Python that is gone.
fn hint(errno: i32, path: &Path) -> String {
    if errno != Errno::ENOENT as i32 {
        return String::new();
    }
    if let Ok(target) = std::fs::read_link(path)
        && !path.exists()
    {
        return format!(" (it is a link to {}, which is gone)", target.display());
    }
    interpreter(path).map_or_else(String::new, |interpreter| {
        format!(" (its interpreter {} is gone)", Path::new(&interpreter).display())
    })
}

fn interpreter(path: &Path) -> Option<OsString> {
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    let mut head = Vec::new();
    std::fs::File::open(path).ok()?.take(256).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let name = line.trim_ascii().split(|&byte| byte == b' ').next()?;
    let interpreter = OsStr::from_bytes(name);
    (!Path::new(interpreter).exists()).then(|| interpreter.to_owned())
}
