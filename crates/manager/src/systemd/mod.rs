//! systemd: a unit of the user's manager.
//!
//! The unit is in the user's configuration when pipd is to start at login. When it is not, the same unit lies in the
//! runtime folder while this login lasts: then too the daemon belongs to the manager and not to the session that
//! happened to start it.

mod unit;

use std::io;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::command::no;
use crate::{Agent, ManagerError, ServiceManager, Tools};

pub use unit::unit_file;

/// The name of the unit.
pub const UNIT: &str = "pipd.service";

/// `~/.config/systemd/user/default.target.wants` and what is above it, up to the user's configuration.
const FOLDERS_MADE: usize = 4;

pub(crate) fn start_words() -> Vec<String> {
    ["systemctl", "--user", "--no-block", "start", UNIT].map(Into::into).into()
}

/// The user's systemd.
#[derive(Debug)]
pub struct Systemd {
    units: PathBuf,
    runtime_units: PathBuf,
    tools: Tools,
}

impl Systemd {
    /// With the user's configuration (`~/.config`) and the runtime folder of the manager.
    #[must_use]
    pub fn new(config: &Path, runtime: &Path, tools: Tools) -> Self {
        Self { units: config.join("systemd/user"), runtime_units: runtime.join("systemd/user"), tools }
    }

    /// Where the unit lies while nothing is enabled.
    #[must_use]
    pub fn runtime_file(&self) -> PathBuf {
        self.runtime_units.join(UNIT)
    }

    fn systemctl(&self, words: &[&str]) -> Result<String, ManagerError> {
        self.tools.run(&[&["systemctl", "--user"], words].concat())
    }

    fn reload(&self) -> Result<(), ManagerError> {
        self.systemctl(&["daemon-reload"]).map(drop)
    }

    /// Whether the unit is running, or on its way up or down.
    fn is_active(&self) -> bool {
        let words = ["systemctl", "--user", "is-active", UNIT];
        self.tools.ask(&words).is_ok_and(|said| !matches!(&*said.out, "inactive" | "failed" | "unknown" | ""))
    }

    /// Makes the file say `text`; `None` when it did already, else whether there was one.
    fn write(&self, path: &Path, text: &str) -> Result<Option<bool>, ManagerError> {
        let old = read_ours(path)?;
        if old.as_deref() == Some(text) {
            return Ok(None);
        }
        write_whole(path, text).map_err(ManagerError::file(path))?;
        Ok(Some(old.is_some()))
    }
}

impl ServiceManager for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn file(&self) -> PathBuf {
        self.units.join(UNIT)
    }

    fn installed(&self) -> Result<Option<Agent>, ManagerError> {
        Ok(read_ours(&self.file())?.as_deref().and_then(unit::read))
    }

    fn is_enabled(&self) -> Result<bool, ManagerError> {
        let words = ["systemctl", "--user", "is-enabled", UNIT];
        let said = self.tools.ask(&words)?;
        match &*said.out {
            "enabled" => Ok(true),
            // Anything else is a word about a unit that is not, or there is none at all.
            _ if said.code == Some(1) || !said.out.is_empty() || said.err.contains("No such file") => {
                Ok(false)
            }
            _ => Err(no(&words, &said)),
        }
    }

    fn enable(&self, agent: &Agent) -> Result<(), ManagerError> {
        let file = self.file();
        self.write(&file, &unit_file(agent)?)?;
        self.reload()?;
        self.systemctl(&["enable", "--quiet", UNIT])?;
        let read = self.systemctl(&["show", "--property=FragmentPath", "--value", UNIT])?;
        if Path::new(&read) != file {
            let read = if read.is_empty() { "no such unit".to_owned() } else { read };
            return Err(ManagerError::Elsewhere { written: file, read });
        }
        remove(&self.runtime_file())?;
        // One that runs already goes on; one that runs outside makes way for this one.
        self.systemctl(&["start", UNIT]).map(drop)
    }

    fn disable(&self) -> Result<Vec<PathBuf>, ManagerError> {
        let file = self.file();
        let mut removed = Vec::new();
        let Some(text) = read_ours(&file)? else {
            // Enabled from a folder of the system: what is ours is the link.
            if self.is_enabled()? {
                self.systemctl(&["disable", "--quiet", UNIT])?;
                removed.push(self.units.join("default.target.wants").join(UNIT));
            }
            return Ok(removed);
        };
        self.systemctl(&["disable", "--quiet", UNIT])?;
        let runtime = self.runtime_file();
        if self.is_active() {
            // What runs stays the manager's while this login lasts.
            write_whole(&runtime, &text).map_err(ManagerError::file(&runtime))?;
        } else {
            remove(&runtime)?;
        }
        remove(&file)?;
        removed.push(file);
        let wants = self.units.join("default.target.wants");
        remove(&wants.join(UNIT))?;
        // Folders that were made for it go with it, when nothing else is in them.
        for folder in wants.ancestors().take(FOLDERS_MADE) {
            let _ = std::fs::remove_dir(folder);
        }
        self.reload()?;
        Ok(removed)
    }

    fn mend(&self, agent: &Agent) -> Result<bool, ManagerError> {
        let Some(installed) = self.installed()? else { return Ok(false) };
        let text = unit_file(&agent.named_as(&installed))?;
        if self.write(&self.file(), &text)?.is_none() {
            return Ok(false);
        }
        self.reload()?;
        Ok(true)
    }

    fn start(&self, agent: &Agent) -> Result<Option<Child>, ManagerError> {
        let text = unit_file(agent)?;
        if let Some(installed) = self.installed()? {
            if !installed.same_state(agent) {
                return Ok(None);
            }
            // It has moved. One that is still there may be another on purpose.
            if !installed.is_there() {
                self.mend(agent)?;
            }
        } else {
            // Who names a state folder of their own wants a daemon beside the one of this user.
            if agent.names_state() {
                return Ok(None);
            }
            let file = self.runtime_file();
            let there = read_ours(&file)?;
            if there.as_deref().and_then(unit::read).is_some_and(|other| !other.same_state(agent))
                && self.is_active()
            {
                return Ok(None);
            }
            // A manager that has read the old one must read it again; a new one it finds by itself.
            if self.write(&file, &text)? == Some(true) {
                self.reload()?;
            }
        }
        self.tools.begin(&start_words()).map(Some)
    }
}

/// The file when it is there and ours.
fn read_ours(path: &Path) -> Result<Option<String>, ManagerError> {
    match std::fs::read_to_string(path) {
        Ok(text) if unit::read(&text).is_some() => Ok(Some(text)),
        Ok(_) => Err(ManagerError::NotOurs { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ManagerError::file(path)(error)),
    }
}

/// Replaces a file as a whole, synced.
pub(crate) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    })();
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

pub(crate) fn remove(path: &Path) -> Result<(), ManagerError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ManagerError::file(path)(error)),
        _ => Ok(()),
    }
}
