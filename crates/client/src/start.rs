//! Having a daemon started, and connecting to whichever one wins.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use interprocess::local_socket::Stream;
use os::process::{Liveness, ProcessIdentity};
use os::spawn::Detach;
use run::asked;
use run::layout::HostDir;

use crate::connect::{self, Found, Pause};
use crate::{ANSWER_TIMEOUT, CallError, Client, ConnectError, Locations, StartError, ancestry};

/// Longest time from the first look to a daemon that serves.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// After this time without a daemon, a service manager that was asked for one is not waited for any longer.
const MANAGER_TIMEOUT: Duration = Duration::from_millis(1_500);

/// After this time without a daemon, a shim that was asked for one is not waited for any longer.
const SHIM_TIMEOUT: Duration = Duration::from_secs(4);

/// Daemons that may die one after the other before they answer.
const MOST_DEATHS: u32 = 3;

/// Size at which the daemon's own log is set aside, in bytes.
const MAX_LOG_BYTES: u64 = 5 << 20;

/// Lines of the daemon's log shown when it did not come up.
const SHOWN_LINES: usize = 12;

/// What the daemon keeps of the caller's environment. What services get travels over the wire.
const KEPT: [&str; 8] =
    ["HOME", "PATH", "LANG", "TZ", "USER", "LOGNAME", "DBUS_SESSION_BUS_ADDRESS", "RUST_BACKTRACE"];
const KEPT_PREFIXES: [&str; 2] = ["LC_", "XDG_"];
const KEPT_OWN: [&str; 2] = ["PIPD_STATE_DIR", "PIPD_LOG"];

/// How a daemon is started when there is none.
pub struct StartDaemon<'a> {
    /// The program; see [`find_daemon`].
    pub exe: PathBuf,
    /// Called once, when a daemon is being started, with the time waited so far: for a line to the person.
    pub on_wait: &'a mut dyn FnMut(Duration),
}

impl std::fmt::Debug for StartDaemon<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartDaemon").field("exe", &self.exe).finish_non_exhaustive()
    }
}

/// The program `pipd`: beside the one that runs, else on the PATH.
///
/// # Errors
/// [`StartError::NoProgram`] when it is in neither place.
pub fn find_daemon() -> Result<PathBuf, StartError> {
    let own = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
    let beside = own.parent().unwrap_or(Path::new("/"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(beside.to_owned())
        .chain(std::env::split_paths(&path).filter(|folder| folder.is_absolute()))
        .map(|folder| folder.join("pipd"))
        .find(|exe| is_program(exe))
        .ok_or_else(|| StartError::NoProgram { beside: beside.to_owned() })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// A daemon that was asked for.
struct Asked {
    at: Instant,
    log: PathBuf,
    by: By,
}

enum By {
    /// The user's service manager, which is being told.
    Manager(Child),
    /// The shim of the run this process is in; the connection stays open meanwhile.
    Shim { _stream: Stream },
    /// This process. Its identity, where it could be told.
    Us(Option<ProcessIdentity>),
}

pub(crate) fn connect_or_start(locations: &Locations, daemon: StartDaemon<'_>) -> Result<Client, StartError> {
    let begun = Instant::now();
    let mut asked: Option<Asked> = None;
    let mut deaths = 0;
    let mut pause = Pause::new();
    loop {
        let held = match connect::look_everywhere(locations)? {
            (Found::Stream(stream), Some(host)) => match Client::greet(stream, host.clone(), None) {
                Ok(client) => {
                    if let Some(Asked { by: By::Manager(mut telling), .. }) = asked {
                        let _ = telling.wait();
                    }
                    return Ok(client);
                }
                // It was about to go away: the next one is waited for, or started.
                Err(ConnectError::Hello { source: CallError::Gone, .. }) => Some(host),
                Err(error) => return Err(error.into()),
            },
            (Found::Held(error), Some(host)) => {
                let full = error.kind() == io::ErrorKind::WouldBlock;
                if full && begun.elapsed() > ANSWER_TIMEOUT {
                    return Err(connect::explain_silence(host, Some(error), begun.elapsed()).into());
                }
                Some(host)
            }
            _ => None,
        };
        if begun.elapsed() > START_TIMEOUT {
            return Err(match (held, asked) {
                (Some(host), None) => connect::explain_silence(host, None, begun.elapsed()).into(),
                (_, asked) => too_slow(asked, begun.elapsed()),
            });
        }
        match &mut asked {
            None if held.is_none() => {
                let after = last_daemon(locations);
                // Somebody may have come since the look above; what was just read is then his.
                if !matches!(connect::look_everywhere(locations)?, (Found::Nobody, _)) {
                    continue;
                }
                (daemon.on_wait)(begun.elapsed());
                asked = Some(ask(locations, &daemon.exe, Ways::All, after)?);
                pause = Pause::new();
            }
            Some(Asked { at, by: By::Manager(telling), log: _ }) if held.is_none() => {
                let refused = matches!(telling.try_wait(), Ok(Some(status)) if !status.success());
                if refused || at.elapsed() > MANAGER_TIMEOUT {
                    // It comes when it can; a daemon that is there by then makes way for it.
                    asked = Some(ask(locations, &daemon.exe, Ways::WithoutManager, None)?);
                }
            }
            Some(Asked { at, by: By::Shim { .. }, .. }) if held.is_none() && at.elapsed() > SHIM_TIMEOUT => {
                asked = Some(ask(locations, &daemon.exe, Ways::Ourselves, None)?);
            }
            Some(Asked { log, by: By::Us(Some(identity)), .. }) if held.is_none() && ended(identity) => {
                // A daemon that lost the race ends at once, and the winner holds the lock.
                if matches!(connect::look_everywhere(locations)?, (Found::Nobody, _)) {
                    deaths += 1;
                    // One may have been killed. One that cannot serve dies every time.
                    if deaths == MOST_DEATHS {
                        return Err(StartError::Died { log: log.clone(), last_lines: last_lines(log) });
                    }
                    asked = Some(ask(locations, &daemon.exe, Ways::WithoutManager, None)?);
                    pause = Pause::new();
                }
            }
            _ => {}
        }
        pause.wait();
    }
}

/// The daemon before the one to be asked for, of the folder in which that one will look first.
fn last_daemon(locations: &Locations) -> Option<OsString> {
    locations.hosts().first().map(asked::after)
}

fn too_slow(asked: Option<Asked>, waited: Duration) -> StartError {
    match asked {
        Some(Asked { log, .. }) => {
            let last_lines = last_lines(&log);
            StartError::TooSlow { log, waited, last_lines }
        }
        None => ConnectError::NotRunning.into(),
    }
}

fn ended(identity: &ProcessIdentity) -> bool {
    matches!(identity.liveness(), Ok(Liveness::Gone | Liveness::Zombie))
}

/// Who may be asked for a daemon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ways {
    Ourselves,
    WithoutManager,
    All,
}

/// `after` is said when it is asked for the first time: one that leaves for that reason is not to be the last word.
fn ask(locations: &Locations, exe: &Path, ways: Ways, after: Option<OsString>) -> Result<Asked, StartError> {
    let (host, output) = open_log(locations, exe)?;
    let log = host.daemon_log();
    if ways >= Ways::All
        && let Some(telling) = tell_manager(locations, exe)
    {
        return Ok(Asked { at: Instant::now(), log, by: By::Manager(telling) });
    }
    if ways >= Ways::WithoutManager {
        for socket in ancestry::shims_above(locations) {
            if let Some(stream) = ancestry::ask(&socket, exe) {
                return Ok(Asked { at: Instant::now(), log, by: By::Shim { _stream: stream } });
            }
        }
    }
    let mut environment = environment();
    environment.extend(after.map(|after| (asked::AFTER.into(), after)));
    let pid = os::spawn::detached(exe, &[], &environment, output.as_fd(), &[], Detach::Orphan)
        .map_err(|source| StartError::Spawn { exe: exe.to_owned(), source })?;
    let identity = ProcessIdentity::of(pid).ok().flatten();
    Ok(Asked { at: Instant::now(), log, by: By::Us(identity) })
}

/// Has the user's service manager start it: then it belongs to no session, and outlives the one of this process. `None`
/// where there is no manager, or it could not be told, or it would look after another state than ours.
fn tell_manager(locations: &Locations, exe: &Path) -> Option<Child> {
    if *locations != Locations::discover().ok()? {
        return None;
    }
    manager::of_this_user()?.start(&manager::Agent::for_program(exe)).ok().flatten()
}

/// The daemon's log, in the first host folder that takes it.
fn open_log(locations: &Locations, exe: &Path) -> Result<(HostDir, File), StartError> {
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    for host in locations.hosts() {
        let opened = os::paths::private_dir(host.path()).and_then(|()| {
            let log = host.daemon_log();
            if std::fs::metadata(&log).is_ok_and(|data| data.len() > MAX_LOG_BYTES) {
                std::fs::rename(&log, log.with_extension("log.1"))?;
            }
            OpenOptions::new().append(true).create(true).mode(0o600).open(&log)
        });
        match opened {
            Ok(file) => return Ok((host.clone(), file)),
            Err(error) => refused = error,
        }
    }
    Err(StartError::Spawn { exe: exe.to_owned(), source: refused })
}

fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| is_kept(name)).collect()
}

fn is_kept(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        KEPT.contains(&name)
            || KEPT_OWN.contains(&name)
            || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || os::failpoint::is_kept(name)
    })
}

/// The end of the daemon's log; nothing when it cannot be read.
fn last_lines(log: &Path) -> Vec<String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(8 << 10)))?;
        let mut bytes = Vec::new();
        file.take(8 << 10).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}
