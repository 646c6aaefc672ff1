//! What can go wrong between a client and the daemon. Every message ends in the command to type.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wire::ErrorObject;

/// The folders of this user on this host cannot be named.
#[derive(Debug, thiserror::Error)]
#[error("cannot tell {what}: {source}; set PIPD_STATE_DIR to an absolute path")]
pub struct LocateError {
    /// What could not be found.
    pub what: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// No connection to the daemon.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No daemon lives: its lock is free.
    #[error("pipd is not running; start it: pipctl daemon start")]
    NotRunning,
    /// A daemon holds its lock and says nothing.
    #[error("{}", frozen_text(*.pid, *.stopped, *.waited))]
    Frozen {
        /// Its process, when known.
        pid: Option<i32>,
        /// It was stopped by a signal (Ctrl-Z, SIGSTOP).
        stopped: bool,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A daemon holds its lock, its socket cannot be used.
    #[error("{}", unreachable_text(.socket, *.pid, .source))]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The daemon's process, when known.
        pid: Option<i32>,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could have put a socket into this folder.
    #[error("{path}: {why}; nothing was sent. Look at it: ls -ld {path}")]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The process at the other end is another user's.
    #[error("{socket}: user {uid} answers there, not you; nothing was sent. Look at it: ls -l {socket}")]
    ForeignPeer {
        /// The socket.
        socket: PathBuf,
        /// Whose process it is.
        uid: u32,
    },
    /// No protocol version in common.
    #[error(
        "this client and the running pipd do not understand each other ({0}); try: pipctl daemon restart"
    )]
    Version(String),
    /// The daemon answered `hello` with something else.
    #[error("{socket}: {source}")]
    Hello {
        /// The socket.
        socket: PathBuf,
        /// What went wrong.
        source: CallError,
    },
}

fn unreachable_text(socket: &Path, pid: Option<i32>, source: &io::Error) -> String {
    let socket = socket.display();
    match pid {
        Some(pid) => format!(
            "{socket}: pipd (pid {pid}) lives and does not listen there: {source}; end it, services stay: \
             kill -9 {pid}"
        ),
        None => format!("{socket}: cannot reach pipd: {source}; look at it: ls -l {socket}"),
    }
}

fn frozen_text(pid: Option<i32>, stopped: bool, waited: Duration) -> String {
    let seconds = waited.as_secs_f32();
    match (pid, stopped) {
        (Some(pid), true) => {
            format!("pipd (pid {pid}) is stopped and does not answer; let it go on: kill -CONT {pid}")
        }
        (Some(pid), false) => format!(
            "pipd (pid {pid}) does not answer (frozen?), waited {seconds:.1} s; end it, services stay: \
             kill -9 {pid}"
        ),
        (None, _) => format!(
            "pipd does not answer (frozen?), waited {seconds:.1} s; find it, services stay when it ends: \
             pgrep -u \"$USER\" -x pipd"
        ),
    }
}

/// A request got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The daemon said no, and why.
    #[error("{}", .0.message)]
    Refused(ErrorObject),
    /// No answer in time; the daemon may be frozen.
    #[error("pipd does not answer (frozen?), waited {:.1} s; try: pipctl daemon status", .0.as_secs_f32())]
    Timeout(Duration),
    /// The connection ended before the answer: the daemon stopped, restarted or died.
    #[error("pipd went away before it answered; services stay. Try again, or: pipctl daemon status")]
    Gone,
    /// What came back is not an answer of this protocol.
    #[error("unreadable answer from pipd: {0}; compare versions: pipctl version")]
    Garbage(String),
    /// The request is longer than the protocol allows (4 MiB).
    #[error(
        "the request is {0} bytes long, more than pipd accepts; is the environment that large? See: env | wc -c"
    )]
    TooLong(usize),
    /// The socket failed.
    #[error("connection to pipd: {0}; try: pipctl daemon status")]
    Io(io::Error),
}

/// No daemon could be had.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A daemon lives and cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The program `pipd` is neither beside this one nor on the PATH.
    #[error("no program `pipd` in {} nor on PATH; install pipd, pipd-shim and pipctl into one folder: cargo install --path crates/pipd", .beside.display())]
    NoProgram {
        /// Where it should have been.
        beside: PathBuf,
    },
    /// It could not be executed.
    #[error("{exe}: cannot start pipd: {source}; look at it: ls -l {exe}")]
    Spawn {
        /// The program.
        exe: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it served.
    #[error("pipd ended before it served{}; see: tail {log}", said(.last_lines))]
    Died {
        /// Its log.
        log: PathBuf,
        /// The last lines of its log.
        last_lines: Vec<String>,
    },
    /// It lives and does not serve.
    #[error("pipd did not serve within {:.0} s{}; see: tail {log}", .waited.as_secs_f32(), said(.last_lines))]
    TooSlow {
        /// Its log.
        log: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// The last lines of its log.
        last_lines: Vec<String>,
    },
}

fn said(lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!(", its last words:\n  {}\n", lines.join("\n  ")) }
}
