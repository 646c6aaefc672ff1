//! `pipd` under the service manager of its user: what is written, what is called, what then survives.
//!
//! Both managers are here on every system: what they are told is made by pure functions and tested everywhere; which
//! one there is, is asked of the `os` crate. Nothing here decides that a service starts or ends.

#![forbid(unsafe_code)]

mod agent;
mod command;
mod ending;
mod error;
mod launchd;
mod place;
mod survival;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::Child;

pub use agent::Agent;
pub use command::Tools;
pub use ending::session_is_ending;
pub use error::ManagerError;
pub use launchd::{LABEL, LaunchAgent, Launchd};
pub use place::{NAME_NONE, kind_of_this_process};
pub use survival::{Advice, ENABLE, Facts, Place, Survival, lingers};
pub use systemd::{Systemd, UNIT, unit_file};

/// A service manager of one user, as far as pipd needs it. The only way to `systemctl` and `launchctl`.
pub trait ServiceManager: std::fmt::Debug {
    /// `systemd` or `launchd`.
    fn name(&self) -> &'static str;

    /// Where pipd's file for it is, or would be.
    fn file(&self) -> PathBuf;

    /// What pipd's file says now; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is not pipd's.
    fn installed(&self) -> Result<Option<Agent>, ManagerError>;

    /// Whether the manager starts pipd at login.
    ///
    /// # Errors
    /// When the manager cannot be asked.
    fn is_enabled(&self) -> Result<bool, ManagerError>;

    /// Has pipd started at login from now on, and now. Writing what is there already changes nothing.
    ///
    /// # Errors
    /// When the file cannot be written or the manager refuses.
    fn enable(&self, agent: &Agent) -> Result<(), ManagerError>;

    /// Takes back what [`Self::enable`] did; a daemon that runs goes on. Returns the files that were removed.
    ///
    /// # Errors
    /// When a file cannot be removed or the manager refuses.
    fn disable(&self) -> Result<Vec<PathBuf>, ManagerError>;

    /// Writes `agent` in the place of what is installed, if that differs, and has the manager read it. Returns
    /// whether it did.
    ///
    /// # Errors
    /// When the file cannot be written or the manager refuses.
    fn mend(&self, agent: &Agent) -> Result<bool, ManagerError>;

    /// Has `agent` started now, under the manager, without waiting. `None` when it is not to be had that way: the
    /// caller starts it itself. Ends with status 0 when the manager has taken it on.
    ///
    /// # Errors
    /// When a file cannot be written, or the manager's program cannot be run.
    fn start(&self, agent: &Agent) -> Result<Option<Child>, ManagerError>;
}

/// The service manager of this user, when one runs. `PIPD_MANAGER=none` says that there is none.
#[must_use]
pub fn of_this_user() -> Option<Box<dyn ServiceManager>> {
    if std::env::var_os("PIPD_MANAGER").is_some_and(|value| value == NAME_NONE) {
        return None;
    }
    let home = os::paths::home()?;
    match os::host::SERVICE_MANAGER {
        "systemd" => {
            let runtime = os::host::user_manager()?;
            Some(Box::new(Systemd::new(
                &config_home(&home),
                &runtime,
                Tools::of_this_process(Some(&runtime)),
            )))
        }
        _ => {
            Some(Box::new(Launchd::new(&home, nix::unistd::getuid().as_raw(), Tools::of_this_process(None))))
        }
    }
}

/// The words by which a shim, which knows nothing but the manager's name, has its daemon started.
#[must_use]
pub fn start_words(manager: &str) -> Option<Vec<String>> {
    match manager {
        "systemd" => Some(systemd::start_words()),
        "launchd" => Some(launchd::start_words(nix::unistd::getuid().as_raw())),
        _ => None,
    }
}

fn config_home(home: &Path) -> PathBuf {
    std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .unwrap_or_else(|| home.join(".config"))
}
