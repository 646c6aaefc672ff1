//! The services of a workspace: what was found and what was configured, put together.

mod absent;
mod custom;
mod depends;
mod jupyter;
mod overlay;
mod places;
mod relations;
mod server;
mod timing;
mod watch;

use std::path::{Path, PathBuf};

use wire::{ServiceSpec, Text};

use crate::config::{At, Config, Service};
use crate::diagnostic::{Diagnostic, Source};
use crate::python::{Interpreter, setup_with};
use crate::{Caller, Error};
use absent::Absence;

/// The service JupyterLab becomes.
pub(crate) const JUPYTER: &str = "jupyter";
/// The service the workspace's own server becomes.
pub(crate) const SERVER: &str = "server";

/// What the services of one workspace are made from, and what is said on the way.
pub(crate) struct Context<'a> {
    pub(crate) root: &'a Path,
    pub(crate) caller: &'a Caller,
    pub(crate) config: &'a Config,
    /// The file the configuration came from, if there is one.
    pub(crate) config_file: Option<&'a Path>,
    /// How to speak of it.
    pub(crate) config_name: &'static str,
    pub(crate) python: Option<&'a Interpreter>,
    pub(crate) notes: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// What is wrong in the configuration.
    pub(crate) faults: Vec<Diagnostic>,
    /// The configuration's text.
    pub(crate) source: Option<&'a Source>,
    /// What is not there, of the service that is being planned.
    pub(crate) absent: Vec<Absence>,
    /// The same of all services.
    pub(crate) absences: Vec<Absence>,
    /// What was looked for in vain.
    pub(crate) looked: Vec<String>,
}

impl<'a> Context<'a> {
    /// The configuration of a service, unless it is disabled.
    fn configured(&self, name: &str) -> Option<&'a At<Service>> {
        self.config.services.get(name).filter(|service| is_enabled(&service.value))
    }

    fn is_disabled(&self, name: &str) -> bool {
        self.config.services.get(name).is_some_and(|service| !is_enabled(&service.value))
    }

    /// The interpreter, for a service that cannot do without.
    fn need_python(&self) -> Result<&'a Interpreter, Error> {
        match self.python {
            Some(python) => python.usable(self.root, self.caller),
            None => Err(Error::Python {
                what: format!(
                    "no Python for {}: no .venv, no venv, no $VIRTUAL_ENV, no $CONDA_PREFIX, no python3 on the PATH",
                    self.root.display()
                ),
                command: "pipctl start, in a shell where python3 is found".to_owned(),
            }),
        }
    }

    /// A path of the configuration, which is relative to the workspace.
    fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative).components().collect()
    }

    /// A service has been planned: what it misses is its own.
    fn settle(&mut self, service: Option<&mut ServiceSpec>, shared: &[Absence]) {
        let own = std::mem::take(&mut self.absent);
        if let (Some(service), Some(source)) = (service, self.source) {
            absent::add(service, shared, source);
            absent::add(service, &own, source);
        }
        self.absences.extend(own);
    }

    fn fault(&mut self, fault: Diagnostic) {
        self.faults.push(fault);
    }
}

fn is_enabled(service: &Service) -> bool {
    service.enabled.as_ref().is_none_or(|enabled| enabled.value)
}

/// All services: those found first, then those configured, in the order of the file.
pub(crate) fn plan(context: &mut Context<'_>) -> Result<Vec<ServiceSpec>, Error> {
    overlay::check_workspace(context);
    // What all services share keeps each of them down.
    let shared = std::mem::take(&mut context.absent);
    let mut services = Vec::new();
    services.extend(jupyter::plan(context)?);
    context.settle(services.last_mut().filter(|found| found.name == JUPYTER), &shared);
    services.extend(server::plan(context)?);
    context.settle(services.last_mut().filter(|found| found.name == SERVER), &shared);
    let config = context.config;
    let mut rest: Vec<_> =
        config.services.iter().filter(|(name, _)| ![JUPYTER, SERVER].contains(&&*name.value)).collect();
    rest.sort_by_key(|(name, _)| name.span.start);
    for (name, service) in rest {
        let mut planned = custom::plan(context, name, service);
        context.settle(planned.as_mut(), &shared);
        services.extend(planned);
    }
    context.absences.extend(shared);
    // A found service that the file speaks of has its place there.
    services.sort_by_key(|service| place(config, &service.name));
    for service in &mut services {
        watch::add(context, service);
    }
    relations::check(context, &services);
    depends::check(context);
    Ok(services)
}

fn place(config: &Config, name: &str) -> usize {
    config.services.get_key_value(name).map_or(0, |(key, _)| key.span.start)
}

pub(crate) use depends::plan as depends;

/// The error for a workspace without services, with the command that gives it one.
pub(crate) fn nothing_to_run(
    root: &Path,
    caller: &Caller,
    python: Option<&Interpreter>,
    looked: Vec<String>,
) -> Error {
    let requirements = std::fs::read_to_string(root.join("requirements.txt")).unwrap_or_default();
    let wanted = if requirements.contains("jupyterlab") { "-r requirements.txt" } else { "jupyterlab" };
    let install = match python {
        Some(python) => python.install(root, wanted),
        None => setup_with(root, wanted),
    };
    let command = caller.command_in(root, &format!("{install} && pipctl start"));
    Error::NothingToRun { root: root.to_path_buf(), looked, command }
}

/// A program and its arguments as they travel.
fn argv<'t>(words: impl IntoIterator<Item = &'t str>) -> Vec<Text> {
    words.into_iter().map(Text::from).collect()
}
