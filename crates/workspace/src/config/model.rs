//! The keys of `pipd.toml`. The comments here are the descriptions in the JSON Schema, so they speak to users.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::spanned::At;
use super::values::{Command, EnvValue, External, OneOrMany, Port, Ports, Ready, Restart, Size, StopTable};

/// `pipd.toml`, or the table `[tool.pipd]` of `pyproject.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What holds for every service of the workspace.
    #[serde(default)]
    pub(crate) workspace: Workspace,
    /// The services by name. `jupyter` and `server` change what is found without asking; any other name adds one.
    #[serde(default)]
    pub(crate) services: BTreeMap<At<String>, At<Service>>,
    /// What the services use when it is there and pipd does not run, by name: shown in `pipctl status`, never waited for.
    #[serde(default)]
    pub(crate) depends: BTreeMap<At<String>, At<Depend>>,
    /// What `pipctl doctor` looks at besides.
    #[serde(default)]
    pub(crate) doctor: Doctor,
}

/// Something that pipd does not run.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Depend {
    /// Where it answers: `http://host:port/path`.
    pub(crate) url: At<String>,
}

/// What `pipctl doctor` looks at besides.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Doctor {
    /// Modules that must be importable in a service's environment. Default: `numpy`, where it is installed or required.
    pub(crate) imports: Option<Vec<At<String>>>,
}

/// What holds for every service of the workspace.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Workspace {
    /// The interpreter, or a virtual environment, relative to the workspace. Without it: `.venv`, `venv`,
    /// `$VIRTUAL_ENV`, `$CONDA_PREFIX`, `python3` on the PATH.
    pub(crate) python: Option<At<String>>,
    /// Variables for every service, on top of the captured environment. `false` removes one.
    #[serde(default)]
    pub(crate) env: BTreeMap<At<String>, At<EnvValue>>,
    /// Files of `NAME=value` lines for every service, read at every start, relative to the workspace.
    pub(crate) env_file: Option<OneOrMany>,
    /// `"fixed"`: `jupyter` on 8888 and `server` on 5001, or not at all. `"auto"`: the next free port from there,
    /// remembered for the workspace.
    pub(crate) ports: Option<At<Ports>>,
}

/// One service. Every key has a default; a service that is not found without asking needs a `command`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// Program and arguments, a list. `{port}` and `{root}` are replaced. A program with a slash is relative to the
    /// workspace, one without is looked up on the PATH.
    pub(crate) command: Option<At<Command>>,
    /// `command` is one line for `/bin/sh` instead of a list.
    pub(crate) shell: Option<At<bool>>,
    /// Only `server`: the Python file that serves.
    pub(crate) script: Option<At<String>>,
    /// Only `jupyter` and `server`: arguments added to the command that was found.
    pub(crate) args: Option<At<Vec<At<String>>>>,
    /// The port it listens on, or `"auto"` for the next free one.
    pub(crate) port: Option<At<Port>>,
    /// Folder to run in, relative to the workspace. Default: the workspace.
    pub(crate) cwd: Option<At<String>>,
    /// Variables on top of the captured environment and the env files. `{port}` and `{root}` are replaced; `false`
    /// removes a variable.
    #[serde(default)]
    pub(crate) env: BTreeMap<At<String>, At<EnvValue>>,
    /// Files of `NAME=value` lines, read at every start, relative to the workspace.
    pub(crate) env_file: Option<OneOrMany>,
    /// When it counts as ready. Default: any HTTP answer of its own listener when it has a port, else at once.
    pub(crate) ready: Option<At<Ready>>,
    /// How it is asked to end.
    pub(crate) stop: Option<At<StopTable>>,
    /// When it is started again. Default: `"on-failure"`.
    pub(crate) restart: Option<At<Restart>>,
    /// What follows the end of a server that somebody started by hand in the place of this service. `"takeover"`, the
    /// default: pipd starts its own when the port was quiet for ten seconds. `"leave"`: nothing, until somebody asks.
    pub(crate) external: Option<At<External>>,
    /// Services that must be ready first.
    #[serde(default)]
    pub(crate) after: Vec<At<String>>,
    /// How much of its output is kept.
    pub(crate) logs: Option<Logs>,
    /// Path part of the URL shown. Default: `/`, for `jupyter` `/lab`.
    pub(crate) url_path: Option<At<String>>,
    /// More files whose change lets a failing service try again at once, relative to the workspace.
    #[serde(default)]
    pub(crate) watch: Vec<At<String>>,
    /// `false`: as if the service were not there.
    pub(crate) enabled: Option<At<bool>>,
    /// Only `jupyter`: whether JupyterLab may run as root. Default: yes, with a warning.
    pub(crate) allow_root: Option<At<bool>>,
}

/// How much output is kept.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Logs {
    /// Size at which a file is followed by the next. Default: `"10MiB"`.
    pub(crate) file_size: Option<At<Size>>,
    /// Files kept, the current one included. Default: 5.
    pub(crate) files: Option<At<u32>>,
}
