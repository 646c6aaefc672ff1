//! What the user wrote: `pipd.toml`, or `[tool.pipd]` in `pyproject.toml`, read the same way.

mod explain;
mod file;
mod model;
mod spanned;
mod units;
mod values;

use std::path::Path;

use serde::Deserialize;

use crate::diagnostic::Source;
use crate::{Caller, Error};

pub(crate) use model::{Config, Logs, Service};
pub(crate) use spanned::At;
pub(crate) use values::{
    Command, EnvValue, External, OneOrMany, Owner, Policy, Port, Ports, Ready, ReadyTable, ReadyWord,
    Restart, StopSignal,
};
#[cfg(feature = "schema")]
pub(crate) use values::{RestartTable, Size, Span};

/// The file made for us.
pub(crate) const PIPD_TOML: &str = "pipd.toml";
/// The file we may have a table in.
pub(crate) const PYPROJECT_TOML: &str = "pyproject.toml";

/// A configuration, and the text it came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) source: Source,
    /// How to speak of it: `pipd.toml`.
    pub(crate) name: &'static str,
}

/// `pyproject.toml`, as far as it is ours.
#[derive(Deserialize)]
struct PyProject {
    tool: Option<Tool>,
}

#[derive(Deserialize)]
struct Tool {
    pipd: Option<Config>,
}

/// Reads the configuration of a workspace, if it has one. `pipd.toml` goes before `pyproject.toml`.
pub(crate) fn read(root: &Path, caller: &Caller) -> Result<Option<Loaded>, Error> {
    let own = root.join(PIPD_TOML);
    if own.symlink_metadata().is_ok() {
        let source = file::read(&own, caller)?;
        return parse::<Config>(source, PIPD_TOML).map(Some);
    }
    let shared = root.join(PYPROJECT_TOML);
    if !mentions_pipd(&shared) {
        return Ok(None);
    }
    let source = file::read(&shared, caller)?;
    match toml::from_str::<PyProject>(&source.text) {
        Ok(PyProject { tool: Some(Tool { pipd: Some(config) }) }) => {
            Ok(Some(Loaded { config, source, name: PYPROJECT_TOML }))
        }
        Ok(_) => Ok(None),
        Err(error) => {
            let found = explain::explain(&error, &source.text);
            Err(source.fail(vec![found]).into())
        }
    }
}

/// The table for us of a `pyproject.toml`; places in it are those in the whole text.
pub(crate) fn of_pyproject(text: &str) -> Result<Config, String> {
    let whole = toml::from_str::<PyProject>(text).map_err(|error| error.message().to_owned())?;
    whole.tool.and_then(|tool| tool.pipd).ok_or_else(|| "it has no [tool.pipd]".to_owned())
}

fn parse<T>(source: Source, name: &'static str) -> Result<Loaded, Error>
where
    T: for<'de> Deserialize<'de> + Into<Config>,
{
    match toml::from_str::<T>(&source.text) {
        Ok(config) => Ok(Loaded { config: config.into(), source, name }),
        Err(error) => {
            let found = explain::explain(&error, &source.text);
            Err(source.fail(vec![found]).into())
        }
    }
}

/// Whether a `pyproject.toml` has a table for us. A file that is broken elsewhere is somebody else's business;
/// one that is broken and speaks of us is ours, so that the person gets to see what is wrong.
pub(crate) fn mentions_pipd(path: &Path) -> bool {
    let Ok(text) = file::text(path) else { return false };
    if !text.contains("pipd") {
        return false;
    }
    match text.parse::<toml::Table>() {
        Ok(table) => table.get("tool").and_then(|tool| tool.get("pipd")).is_some(),
        Err(_) => text.contains("[tool.pipd"),
    }
}
