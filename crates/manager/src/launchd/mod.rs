//! launchd: an agent of the user's graphical login.
//!
//! Written from the manual pages of `launchctl(1)` and `launchd.plist(5)` and never run on a Mac.

mod plist;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use crate::command::no;
use crate::systemd::{remove, write_whole};
use crate::{Agent, ManagerError, ServiceManager, Tools};

pub use plist::LaunchAgent;

/// The name of the agent.
pub const LABEL: &str = "dev.pipd.pipd";

/// What `launchctl bootstrap` ends with while it still clears up after a `bootout`.
const STILL_LEAVING: i32 = 5;
/// How often it is asked again then, and how far apart.
const ATTEMPTS: u32 = 20;
const APART: Duration = Duration::from_millis(250);

pub(crate) fn start_words(user: u32) -> Vec<String> {
    vec!["launchctl".into(), "kickstart".into(), format!("gui/{user}/{LABEL}")]
}

/// The user's launchd.
#[derive(Debug)]
pub struct Launchd {
    home: PathBuf,
    user: u32,
    tools: Tools,
    apart: Duration,
}

impl Launchd {
    /// For the user with this home and number.
    #[must_use]
    pub fn new(home: &Path, user: u32, tools: Tools) -> Self {
        Self { home: home.to_owned(), user, tools, apart: APART }
    }

    /// The same, asking again after this time.
    #[must_use]
    pub fn with_pause(self, apart: Duration) -> Self {
        Self { apart, ..self }
    }

    fn domain(&self) -> String {
        format!("gui/{}", self.user)
    }

    fn target(&self) -> String {
        format!("gui/{}/{LABEL}", self.user)
    }

    fn text(&self, agent: &Agent) -> Result<String, ManagerError> {
        LaunchAgent { agent: agent.clone(), complaints: self.home.join("Library/Logs/dev.pipd.pipd.log") }
            .plist()
    }

    fn read(&self) -> Result<Option<String>, ManagerError> {
        let file = self.file();
        match std::fs::read_to_string(&file) {
            Ok(text) if plist::read(&text).is_some() => Ok(Some(text)),
            Ok(_) => Err(ManagerError::NotOurs { path: file }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ManagerError::file(&file)(error)),
        }
    }

    fn is_loaded(&self) -> Result<bool, ManagerError> {
        let status = self.tools.begin(&["launchctl", "print", &self.target()])?.wait();
        Ok(status.is_ok_and(|status| status.success()))
    }

    /// Out with the old, in with the new. The services of a daemon that runs go on.
    fn load(&self) -> Result<(), ManagerError> {
        let (file, domain) = (self.file(), self.domain());
        if self.is_loaded()? {
            self.tools.ask(&["launchctl", "bootout", &self.target()])?;
        }
        // An agent that its user has switched off in the past would be refused.
        self.tools.ask(&["launchctl", "enable", &self.target()])?;
        let words = ["launchctl", "bootstrap", &domain, &file.to_string_lossy()];
        for attempt in 1.. {
            let said = self.tools.ask(&words)?;
            if said.is_well() {
                break;
            }
            if said.code != Some(STILL_LEAVING) || attempt == ATTEMPTS {
                return Err(no(&words, &said));
            }
            std::thread::sleep(self.apart);
        }
        Ok(())
    }
}

impl ServiceManager for Launchd {
    fn name(&self) -> &'static str {
        "launchd"
    }

    fn file(&self) -> PathBuf {
        self.home.join("Library/LaunchAgents").join(format!("{LABEL}.plist"))
    }

    fn installed(&self) -> Result<Option<Agent>, ManagerError> {
        Ok(self.read()?.as_deref().and_then(plist::read))
    }

    fn is_enabled(&self) -> Result<bool, ManagerError> {
        Ok(self.read()?.is_some())
    }

    fn enable(&self, agent: &Agent) -> Result<(), ManagerError> {
        let (file, text) = (self.file(), self.text(agent)?);
        let same = self.read()?.as_deref() == Some(&*text);
        if same && self.is_loaded()? {
            return Ok(());
        }
        let logs = self.home.join("Library/Logs");
        std::fs::create_dir_all(&logs).map_err(ManagerError::file(&logs))?;
        write_whole(&file, &text).map_err(ManagerError::file(&file))?;
        self.load()
    }

    fn disable(&self) -> Result<Vec<PathBuf>, ManagerError> {
        let file = self.file();
        if self.read()?.is_none() {
            return Ok(Vec::new());
        }
        if self.is_loaded()? {
            self.tools.ask(&["launchctl", "bootout", &self.target()])?;
        }
        remove(&file)?;
        remove(&self.home.join("Library/Logs/dev.pipd.pipd.log"))?;
        Ok(vec![file])
    }

    fn mend(&self, agent: &Agent) -> Result<bool, ManagerError> {
        let Some(installed) = self.installed()? else { return Ok(false) };
        let (file, text) = (self.file(), self.text(&agent.named_as(&installed))?);
        if self.read()?.as_deref() == Some(&*text) {
            return Ok(false);
        }
        write_whole(&file, &text).map_err(ManagerError::file(&file))?;
        self.load()?;
        Ok(true)
    }

    fn start(&self, agent: &Agent) -> Result<Option<Child>, ManagerError> {
        // Without a file the daemon detaches by itself: here that outlives terminals and sessions.
        let Some(installed) = self.installed()?.filter(|installed| installed.same_state(agent)) else {
            return Ok(None);
        };
        let mended = !installed.is_there() && self.mend(agent)?;
        if !mended && !self.is_loaded()? {
            self.load()?;
        }
        self.tools.begin(&start_words(self.user)).map(Some)
    }
}
