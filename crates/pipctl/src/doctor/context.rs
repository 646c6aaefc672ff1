//! What the checks look at. Each fact is found out once, by the first check that asks, and none before it is asked for.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use client::{Client, ConnectError};
use run::record::RecordError;
use run::workspace::{WorkspaceRecord, id_of};
use serde::Deserialize;
use wire::{DaemonInfo, ServiceSpec, Snapshot, Text, WorkspaceSpec};
use workspace::{Examined, Python, Root};

use crate::commands::find;
use crate::process::{Ran, run_until};
use crate::terminal::Surroundings;

/// Left to those who still have to say something after a program was killed.
const TO_SAY_SO: Duration = Duration::from_millis(150);

/// What Python says of itself and its packages.
const FACTS: &str = include_str!("facts.py");

/// The daemon, as found.
#[derive(Clone, Debug)]
pub(crate) enum Daemon {
    /// It answers.
    Runs(Box<(DaemonInfo, Snapshot)>),
    /// There is none.
    None,
    /// There is one, or should be, and it cannot be asked; why.
    Mute(String),
}

/// What the interpreter said of itself.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Facts {
    /// `3.11.7`.
    pub(crate) version: String,
    /// Folders it takes packages from that belong to its environment.
    #[serde(default)]
    pub(crate) packages: Option<Packages>,
}

/// What is wanted, and what is there.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Packages {
    /// Packages that are wanted, those that the wanted ones want included.
    pub(crate) total: usize,
    /// Wanted and not there.
    pub(crate) missing: Vec<String>,
    /// There in another version: `numpy 1.26.4, wanted numpy>=2`.
    pub(crate) wrong: Vec<String>,
    /// Lines that only an installer understands.
    pub(crate) unread: Vec<String>,
    /// What keeps the file from being read.
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// What the checks look at.
pub(crate) struct Context {
    surroundings: Surroundings,
    root: Option<Root>,
    until: Instant,
    examined: OnceLock<Examined>,
    spec: OnceLock<Result<WorkspaceSpec, (String, String)>>,
    daemon: OnceLock<Daemon>,
    record: OnceLock<Option<WorkspaceRecord>>,
    facts: OnceLock<Option<Result<Facts, String>>>,
}

impl Context {
    /// Of a workspace, or of the machine alone; answers that come after `until` are not waited for.
    pub(crate) fn new(surroundings: Surroundings, root: Option<Root>, until: Instant) -> Self {
        Self {
            surroundings,
            root,
            until,
            examined: OnceLock::new(),
            spec: OnceLock::new(),
            daemon: OnceLock::new(),
            record: OnceLock::new(),
            facts: OnceLock::new(),
        }
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// When a program that a check runs must be done, so that its silence can still be told.
    pub(super) fn patience(&self) -> Instant {
        self.until.checked_sub(TO_SAY_SO).unwrap_or(self.until)
    }

    pub(super) fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// The workspace, if there is one here.
    pub(super) fn root(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    /// What is known of it although it may be broken.
    pub(super) fn examined(&self) -> &Examined {
        self.examined.get_or_init(|| match &self.root {
            Some(root) => workspace::examine(root, &find::caller(&self.surroundings)),
            None => Examined::default(),
        })
    }

    /// Its interpreter.
    pub(super) fn python(&self) -> Option<&Python> {
        self.examined().python.as_ref()
    }

    /// What `start` would make of it; `None` without a workspace. An error is what is wrong and the command for it.
    pub(super) fn spec(&self) -> Option<&Result<WorkspaceSpec, (String, String)>> {
        let root = self.root.as_ref()?;
        Some(self.spec.get_or_init(|| {
            workspace::load(root, &find::caller(&self.surroundings)).map_err(|error| {
                let text = error.to_string();
                let text = text.rsplit_once("; type: ").map_or(text.as_str(), |(text, _)| text).to_owned();
                (text, error.command().to_owned())
            })
        }))
    }

    /// The services that are, or would be, started.
    pub(super) fn services(&self) -> Vec<&ServiceSpec> {
        match self.spec() {
            Some(Ok(spec)) => spec.services.iter().collect(),
            Some(Err(_)) | None => Vec::new(),
        }
    }

    /// The daemon and everything it publishes.
    pub(super) fn daemon(&self) -> &Daemon {
        self.daemon.get_or_init(|| {
            let locations = match self.surroundings.locations() {
                Ok(locations) => locations,
                Err(failure) => return Daemon::Mute(failure.message),
            };
            match Client::connect_for_status(&locations, None) {
                Ok((client, Ok(snapshot))) => Daemon::Runs(Box::new((client.daemon().clone(), snapshot))),
                Ok((_, Err(error))) => Daemon::Mute(error.to_string()),
                Err(ConnectError::NotRunning) => Daemon::None,
                Err(error) => Daemon::Mute(error.to_string()),
            }
        })
    }

    /// What the daemon publishes.
    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        match self.daemon() {
            Daemon::Runs(both) => Some(&both.1),
            Daemon::None | Daemon::Mute(_) => None,
        }
    }

    /// This workspace in it.
    pub(super) fn view(&self) -> Option<&wire::WorkspaceView> {
        find::view_of(self.snapshot()?, &self.root.as_ref()?.path)
    }

    /// What is recorded of this workspace; `None` also where it cannot be read, which is a check of its own.
    pub(super) fn record(&self) -> Option<&WorkspaceRecord> {
        self.record.get_or_init(|| record(&self.surroundings, self.root.as_ref()?).ok().flatten()).as_ref()
    }

    /// The whole environment a service gets: what was captured for it, else what would be, and what comes on top.
    pub(super) fn environment(&self, service: &ServiceSpec) -> BTreeMap<String, Text> {
        let captured = self.record().and_then(|record| record.environment(&service.name));
        let mut env = match captured {
            Some(captured) => BTreeMap::clone(captured),
            None => workspace::captured_env(&find::caller(&self.surroundings)),
        };
        for file in &service.env_files {
            // One that cannot be read is told by the configuration; a pipe is for the service alone.
            if file.as_path().is_file() {
                env.extend(run::environment::read_env_file(file.as_path()).unwrap_or_default());
            }
        }
        for (name, value) in &service.env {
            match value {
                Some(value) => env.insert(name.clone(), value.clone()),
                None => env.remove(name),
            };
        }
        env
    }

    /// What the interpreter says of itself; `None` when there is none that can run.
    pub(super) fn facts(&self) -> Option<&Result<Facts, String>> {
        let find_out = || {
            let python = self.python().filter(|python| python.fault.is_none())?;
            let wants = match &self.examined().wants {
                Some(workspace::Wants::Requirements(path)) => {
                    serde_json::json!({ "file": path.to_string_lossy() })
                }
                Some(workspace::Wants::Project { dependencies, .. }) => {
                    serde_json::json!({ "lines": dependencies })
                }
                None => serde_json::json!({}),
            };
            let answer = self.ask(python, self.services().first().copied(), FACTS, &[wants.to_string()]);
            Some(answer.and_then(|out| {
                serde_json::from_slice(out.as_bytes())
                    .map_err(|_| format!("{} does not tell about itself", python.label))
            }))
        };
        self.facts.get_or_init(find_out).as_ref()
    }

    /// Runs a script with the interpreter, as a service of the workspace would, and returns what it printed.
    pub(super) fn ask(
        &self,
        python: &Python,
        service: Option<&ServiceSpec>,
        script: &str,
        arguments: &[String],
    ) -> Result<String, String> {
        let env = match service {
            Some(service) => self.environment(service),
            None => workspace::captured_env(&find::caller(&self.surroundings)),
        };
        let mut command = Command::new(&python.path);
        command.args(["-c", script]).args(arguments).env_clear();
        command.envs(env.iter().map(|(name, value)| (name, value.as_os_str())));
        if let Some(root) = &self.root {
            command.current_dir(&root.path);
        }
        match run_until(&mut command, self.patience()) {
            Ran::Ended(ended) if ended.status.success() => Ok(ended.out),
            // What it printed before it died says how far it came.
            Ran::Ended(ended) if !ended.out.is_empty() => Ok(ended.out),
            Ran::Ended(ended) => Err(format!("{} fails: {}", python.label, ended.last_complaint())),
            Ran::TooSlow => Err(format!("{} does not answer", python.label)),
            Ran::NotStarted(error) => Err(format!("{} cannot be run: {error}", python.label)),
        }
    }
}

/// What is recorded of a workspace, with or without a daemon.
pub(crate) fn record(
    surroundings: &Surroundings,
    root: &Root,
) -> Result<Option<WorkspaceRecord>, RecordError> {
    let Ok(locations) = surroundings.locations() else { return Ok(None) };
    let id = id_of(locations.hosts(), &root.path);
    for host in locations.hosts() {
        let path = host.workspace(&id).record();
        if let Some(record) = run::record::read(&path)? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
