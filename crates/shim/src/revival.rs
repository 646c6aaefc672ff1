//! Bringing a daemon back that died without goodbye.
//!
//! Every shim of the host notices the death at once; the one that gets the starter lock acts, and holds the
//! lock until a daemon serves, also while it waits before trying again. The others look now and then whether
//! that has happened. `daemon.json` is the goodbye: it is read before every start.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use os::lock::FileLock;
use os::process::{Liveness, ProcessIdentity};
use os::spawn::Detach;
use run::asked;
use run::layout::HostDir;
use run::record::{self, DaemonGoal, DaemonRecord, MARKER};
use wire::Text;

/// An orderly successor gets this long to appear before anybody acts.
const PATIENCE: Duration = Duration::from_millis(100);
/// The shims of a host act one after the other within this time.
const JITTER_MS: u64 = 150;
/// An announced successor gets longer.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(10);
/// How often a shim that waits for another one's work looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How often the starter looks.
const WATCH_PAUSE: Duration = Duration::from_millis(20);
/// How long a service manager may take before the daemon is started without it.
const MANAGER_PATIENCE: Duration = Duration::from_millis(1_200);
/// How long a daemon may take until it serves.
const SERVES_WITHIN: Duration = Duration::from_secs(5);
/// How soon a machine that had no room for a daemon is asked again.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

enum State {
    /// A daemon lives, or none is to live.
    Quiet,
    /// Look and perhaps act at this time.
    Due { at: Instant, handover_told: bool, starter: Option<FileLock> },
    /// We started one and hold the starter lock.
    Watching { since: Instant, next: Instant, starter: FileLock, by: By },
}

/// How the daemon that is waited for was started.
enum By {
    Manager(PathBuf),
    Ourselves(Option<ProcessIdentity>),
}

/// See the module.
pub(crate) struct Revival {
    host: HostDir,
    state: State,
    failures: u32,
    /// A client asked for a daemon, with its program: then the goodbye does not count.
    wanted: Option<PathBuf>,
}

impl Revival {
    pub(crate) fn new(host: HostDir) -> Self {
        Self { host, state: State::Quiet, failures: 0, wanted: None }
    }

    /// A connection has ended; perhaps the daemon has.
    pub(crate) fn daemon_left(&mut self, now: Instant) {
        if matches!(self.state, State::Quiet) {
            let jitter = u64::from(std::process::id()).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            self.state = due(now + PATIENCE + Duration::from_millis(jitter % JITTER_MS));
        }
    }

    /// A client that must not be the daemon's ancestor wants one.
    pub(crate) fn asked(&mut self, exe: Text, now: Instant) {
        self.wanted = Some(exe.as_path().to_owned());
        self.failures = 0;
        if !matches!(self.state, State::Watching { .. }) {
            self.state = due(now);
        }
        self.step(now);
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Quiet => None,
            State::Due { at, .. } => Some(*at),
            State::Watching { next, .. } => Some(*next),
        }
    }

    pub(crate) fn step(&mut self, now: Instant) {
        self.state = match std::mem::replace(&mut self.state, State::Quiet) {
            State::Due { at, handover_told, starter } if at <= now => self.look(handover_told, starter, now),
            State::Watching { since, next, starter, by } if next <= now => {
                self.watch(since, starter, by, now)
            }
            other => other,
        };
    }

    fn look(&mut self, handover_told: bool, starter: Option<FileLock>, now: Instant) -> State {
        let after = asked::after(&self.host);
        if self.daemon_lives() {
            return self.quiet();
        }
        let recorded = match record::read::<DaemonRecord>(&self.host.daemon_record()) {
            Ok(Some(recorded)) => Some(recorded),
            // A shim lives, so a daemon did, and a record that is lost or makes no sense is no goodbye. Where the
            // whole folder is gone there is nothing to serve.
            Ok(None) => self.host.path().is_dir().then(beside).flatten(),
            Err(error) => {
                crate::say(&error);
                beside()
            }
        };
        let (exe, manager) = match (&self.wanted, recorded) {
            (Some(exe), recorded) => {
                (exe.clone(), recorded.map_or_else(String::new, |recorded| recorded.manager))
            }
            (None, None) => return self.quiet(),
            (None, Some(recorded)) => match recorded.goal {
                DaemonGoal::Down => return self.quiet(),
                DaemonGoal::Handover if !handover_told => {
                    return State::Due { at: now + HANDOVER_PATIENCE, handover_told: true, starter };
                }
                DaemonGoal::Up | DaemonGoal::Handover => {
                    (recorded.exe.as_path().to_owned(), recorded.manager)
                }
            },
        };
        let taken = match starter {
            Some(starter) => Some(starter),
            None => FileLock::try_acquire(&self.host.path().join("starter.lock")).ok().flatten(),
        };
        let Some(starter) = taken else {
            return State::Due { at: now + LOOK_AGAIN, handover_told, starter: None };
        };
        // Whoever had the lock before us may have just succeeded.
        if self.daemon_lives() {
            return self.quiet();
        }
        let by = match start_by_manager(&manager) {
            true => By::Manager(exe),
            false => match self.start(&exe, Some(after)) {
                Ok(process) => By::Ourselves(process),
                Err(error) => {
                    if lacks_means(&error) {
                        // No daemon failed: the machine has no room, and may have it in a moment.
                        return State::Due {
                            at: now + NO_ROOM_PAUSE,
                            handover_told: true,
                            starter: Some(starter),
                        };
                    }
                    crate::say(&format_args!("{} cannot be started: {error}", exe.display()));
                    return self.failed(starter, now);
                }
            },
        };
        State::Watching { since: now, next: now + WATCH_PAUSE, starter, by }
    }

    fn watch(&mut self, since: Instant, starter: FileLock, by: By, now: Instant) -> State {
        let lives = self.daemon_lives();
        if lives && UnixStream::connect(self.host.socket()).is_ok() {
            return self.quiet();
        }
        let waited = now.saturating_duration_since(since);
        if waited >= SERVES_WITHIN {
            return self.failed(starter, now);
        }
        match by {
            By::Manager(exe) if !lives && waited >= MANAGER_PATIENCE => match self.start(&exe, None) {
                Ok(process) => State::Watching {
                    since: now,
                    next: now + WATCH_PAUSE,
                    starter,
                    by: By::Ourselves(process),
                },
                Err(_) => self.failed(starter, now),
            },
            By::Ourselves(Some(process))
                if !lives && matches!(process.liveness(), Ok(Liveness::Gone | Liveness::Zombie)) =>
            {
                self.failed(starter, now)
            }
            by => State::Watching { since, next: now + WATCH_PAUSE, starter, by },
        }
    }

    /// It died before it served: wait, longer every time.
    fn failed(&mut self, starter: FileLock, now: Instant) -> State {
        let backoff = Duration::from_secs(1 << self.failures.min(6)).min(LONGEST_BACKOFF);
        self.failures += 1;
        State::Due { at: now + backoff, handover_told: true, starter: Some(starter) }
    }

    fn quiet(&mut self) -> State {
        self.failures = 0;
        self.wanted = None;
        State::Quiet
    }

    fn daemon_lives(&self) -> bool {
        os::lock::is_held(&self.host.daemon_lock()).unwrap_or(false)
    }

    /// Not below this run: an orphan that we, a subreaper, step aside for.
    fn start(&self, exe: &Path, after: Option<OsString>) -> io::Result<Option<ProcessIdentity>> {
        let mut log = OpenOptions::new();
        log.append(true).mode(0o600);
        // Opened first as it is: on a disk that stands still even the offer to make it would wait.
        let path = self.host.daemon_log();
        let log = log.open(&path).or_else(|_| log.create(true).open(&path))?;
        let mut environment = environment();
        environment.extend(after.map(|after| (asked::AFTER.into(), after)));
        let pid = os::spawn::detached(exe, &[], &environment, log.as_fd(), &[], Detach::BeyondMe)?;
        ProcessIdentity::of(pid)
    }
}

/// Whether it was the machine that refused: no process, no descriptor, no memory.
fn lacks_means(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE))
}

fn due(at: Instant) -> State {
    State::Due { at, handover_told: false, starter: None }
}

/// Ours is the daemon's that made us.
fn environment() -> Vec<(OsString, OsString)> {
    let concerns_us = |name: &OsString| {
        name == OsStr::new(MARKER)
            || name == OsStr::new(asked::AFTER)
            || os::notify::OF_ONE_PROCESS.iter().any(|other| name == OsStr::new(other))
    };
    std::env::vars_os().filter(|(name, _)| !concerns_us(name)).collect()
}

/// Asks the service manager that had the daemon; `false` when there is none or it cannot be asked.
fn start_by_manager(manager: &str) -> bool {
    let Some(words) = manager::start_words(manager) else { return false };
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let path = std::env::var_os("PATH");
    let Ok(program) = os::spawn::resolve(&words[0], path.as_deref(), Path::new("/")) else { return false };
    let Ok(nowhere) = OpenOptions::new().write(true).open("/dev/null") else { return false };
    os::spawn::detached(&program, &words[1..], &environment(), nowhere.as_fd(), &[], Detach::BeyondMe).is_ok()
}

/// What would be on record of a daemon that lies where this shim does.
fn beside() -> Option<DaemonRecord> {
    let exe = std::env::current_exe().ok()?.with_file_name("pipd");
    let exe = exe.is_file().then_some(exe)?;
    Some(DaemonRecord {
        goal: DaemonGoal::Up,
        exe: exe.as_path().into(),
        manager: String::new(),
        process: None,
        session_ended: false,
        session_began_ms: 0,
    })
}
