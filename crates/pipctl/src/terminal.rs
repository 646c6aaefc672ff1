//! Where a verb runs: what it may read, where it writes, and whether a person is there.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, Write};
use std::path::PathBuf;

use client::Locations;

use crate::exit::{Exit, Failure};

/// What surrounds a verb. The only place a verb gets its environment from, so that tests can give one.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The current folder.
    pub cwd: PathBuf,
    /// The environment.
    pub env: Vec<(OsString, OsString)>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
    /// Runs as root.
    pub is_root: bool,
    /// The permissions that files made here do not get.
    pub umask: Option<u32>,
    /// Where daemons are looked for; found out on first use when absent.
    pub locations: Option<Locations>,
    /// A person reads standard error and can answer on standard input.
    pub interactive: bool,
    /// Ctrl-C is caught while a verb waits. Off in tests: it concerns the whole process.
    pub catch_interrupts: bool,
}

/// The umask of this process. It can only be read by setting it: before there is a second thread.
#[allow(clippy::useless_conversion, reason = "the number is smaller on macOS")]
fn umask() -> u32 {
    use nix::sys::stat::{Mode, umask};
    let mask = umask(Mode::from_bits_truncate(0o077));
    umask(mask);
    mask.bits().into()
}

impl Surroundings {
    /// Of this process.
    ///
    /// # Errors
    /// When the current folder is gone.
    pub fn of_this_process() -> Result<Self, Failure> {
        use std::io::IsTerminal;
        // In a folder that was deleted a shell still knows what it was called.
        let called =
            || std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute() && !path.exists());
        let cwd = std::env::current_dir().or_else(|error| called().ok_or(error)).map_err(|error| {
            Failure::new(
                Exit::Usage,
                format!("the current folder cannot be named: {error}; cd to another one"),
            )
        })?;
        Ok(Self {
            cwd,
            env: std::env::vars_os().collect(),
            home: os::paths::home(),
            is_root: nix::unistd::Uid::effective().is_root(),
            umask: Some(umask()),
            locations: None,
            interactive: std::io::stderr().is_terminal() && std::io::stdin().is_terminal(),
            catch_interrupts: true,
        })
    }

    /// A variable, when it is set to anything.
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        let (_, value) = self.env.iter().find(|(key, _)| key == name)?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// Where daemons are looked for.
    ///
    /// # Errors
    /// When the user's or host's folders cannot be named.
    pub fn locations(&self) -> Result<Locations, Failure> {
        match &self.locations {
            Some(locations) => Ok(locations.clone()),
            None => Locations::discover().map_err(|error| Failure::new(Exit::Unreachable, error.to_string())),
        }
    }
}

/// The three streams. Text is written with styles; whoever makes the streams strips them where needed.
pub struct Terminal<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Everything else.
    pub err: &'a mut dyn Write,
    /// Answers of a person.
    pub input: &'a mut dyn BufRead,
}

impl std::fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

impl Terminal<'_> {
    /// Writes to standard output.
    ///
    /// # Errors
    /// When it cannot be written to.
    pub fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(|error| Failure::new(Exit::Failed, format!("cannot write to standard output: {error}")))
    }

    /// Writes a value as one indented JSON document.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn print_json<T: serde::Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        self.print(&text)
    }

    /// Writes to standard error. A standard error that is closed is no reason to fail.
    pub fn tell(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }

    /// Asks a person; anything but yes is no.
    pub fn confirm(&mut self, question: &str) -> bool {
        self.tell(&format!("{question} [y/N] "));
        let mut answer = String::new();
        matches!(self.input.read_line(&mut answer), Ok(n) if n > 0)
            && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}
