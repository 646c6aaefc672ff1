//! Running the manager's programs: found on the PATH, with a time limit.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ManagerError;

/// Longest time a program may take.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How programs are found and with which environment they run.
#[derive(Clone, Debug)]
pub struct Tools {
    environment: Vec<(OsString, OsString)>,
}

/// What a program said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Its exit status; `None` for a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn is_well(&self) -> bool {
        self.code == Some(0)
    }
}

impl Tools {
    /// With this environment and nothing else.
    #[must_use]
    pub fn with(environment: Vec<(OsString, OsString)>) -> Self {
        Self { environment }
    }

    /// With the environment of this process. `runtime` is where the user's systemd listens: a call from cron or after
    /// `su` does not have it in its environment.
    #[must_use]
    pub fn of_this_process(runtime: Option<&Path>) -> Self {
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| name != "XDG_RUNTIME_DIR" || runtime.is_none())
            .filter(|(name, _)| name != "SYSTEMD_PAGER" && name != "SYSTEMD_COLORS")
            .collect();
        environment.extend(runtime.map(|folder| ("XDG_RUNTIME_DIR".into(), folder.into())));
        Self { environment }
    }

    fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Command, ManagerError> {
        let Some((name, arguments)) = words.split_first() else {
            return Err(refused(words, "nothing to run".into()));
        };
        let path = self.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str());
        let program = os::spawn::resolve(name.as_ref(), path, Path::new("/"))
            .map_err(|error| refused(words, error.to_string()))?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// Begins, with output to nowhere.
    pub(crate) fn begin<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Child, ManagerError> {
        let mut command = self.command(words)?;
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map_err(|error| refused(words, error.to_string()))
    }

    /// Runs to the end, however that is. What it says must be short.
    pub(crate) fn ask<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Said, ManagerError> {
        let mut command = self.command(words)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| refused(words, error.to_string()))?;
        let begun = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(LOOK_AGAIN),
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(refused(words, format!("no answer in {} s", PATIENCE.as_secs())));
                }
                Err(error) => return Err(refused(words, error.to_string())),
            }
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        if let Some(stream) = &mut child.stdout {
            let _ = stream.read_to_end(&mut out);
        }
        if let Some(stream) = &mut child.stderr {
            let _ = stream.read_to_end(&mut err);
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        Ok(Said { code: status.code(), out: text(out), err: text(err) })
    }

    /// Runs to the end, which must be a good one; returns what it printed.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<String, ManagerError> {
        let said = self.ask(words)?;
        if said.is_well() { Ok(said.out) } else { Err(no(words, &said)) }
    }
}

/// The error for a program that said no.
pub(crate) fn no<S: AsRef<OsStr>>(words: &[S], said: &Said) -> ManagerError {
    let status = said.code.map_or_else(|| "killed".into(), |code| format!("exit code {code}"));
    let text = if said.err.is_empty() { &said.out } else { &said.err };
    let text = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    refused(words, if text.is_empty() { status } else { format!("{status}: {}", text.trim_end_matches('.')) })
}

fn refused<S: AsRef<OsStr>>(words: &[S], said: String) -> ManagerError {
    let words: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
    ManagerError::Refused { words: words.join(" "), said }
}
