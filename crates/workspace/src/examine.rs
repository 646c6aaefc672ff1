//! What is known of a workspace although something in it is broken: for those who explain and mend.

use std::path::{Path, PathBuf};

use wire::DependSpec;

use crate::config::{self, Config};
use crate::python::{self, Interpreter};
use crate::services;
use crate::{Caller, Root};

/// What could be found out without an error keeping anything else from being found out.
#[derive(Clone, Debug, Default)]
pub struct Examined {
    /// The file that configures it, if there is one.
    pub config: Option<PathBuf>,
    /// Its interpreter, also a broken one; none when there is none at all, or the configured one is missing.
    pub python: Option<Python>,
    /// `imports` of `[doctor]`; `None` when it says nothing.
    pub imports: Option<Vec<String>>,
    /// What its services use and pipd does not run.
    pub depends: Vec<DependSpec>,
    /// Which packages it wants, if it says so anywhere.
    pub wants: Option<Wants>,
}

/// Which packages a workspace wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The file `requirements.txt`.
    Requirements(PathBuf),
    /// `[project]` of `pyproject.toml`.
    Project {
        /// The file.
        path: PathBuf,
        /// `dependencies`.
        dependencies: Vec<String>,
        /// It has a `[build-system]`, so that the project itself can be installed.
        builds: bool,
    },
}

impl Wants {
    /// The file that says it.
    pub fn path(&self) -> &Path {
        match self {
            Self::Requirements(path) | Self::Project { path, .. } => path,
        }
    }

    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requirements(_) => REQUIREMENTS_TXT,
            Self::Project { .. } => config::PYPROJECT_TOML,
        }
    }

    /// `requirements.txt`, else a `pyproject.toml` with `[project]`.
    fn of(root: &Path) -> Option<Self> {
        let path = root.join(REQUIREMENTS_TXT);
        if path.is_file() {
            return Some(Self::Requirements(path));
        }
        let path = root.join(config::PYPROJECT_TOML);
        let table: toml::Table = std::fs::read_to_string(&path).ok()?.parse().ok()?;
        let project = table.get("project")?.as_table()?;
        let listed = project.get("dependencies").and_then(toml::Value::as_array);
        let dependencies =
            listed.into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect();
        Some(Self::Project { path, dependencies, builds: table.contains_key("build-system") })
    }
}

const REQUIREMENTS_TXT: &str = "requirements.txt";

/// The Python of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// Absolute and not resolved: Python finds its environment by the path it is started with.
    pub path: PathBuf,
    /// For people: `.venv/bin/python`, or where it comes from.
    pub label: String,
    /// The folder of the environment it belongs to.
    pub prefix: Option<PathBuf>,
    /// That folder is a virtual environment.
    pub is_venv: bool,
    /// It was made by uv and may have no pip.
    pub by_uv: bool,
    /// Why it cannot run.
    pub fault: Option<String>,
}

impl Python {
    fn of(found: &Interpreter) -> Self {
        Self {
            path: found.path.clone(),
            label: found.label.clone(),
            prefix: found.prefix.clone(),
            is_venv: found.is_venv,
            by_uv: found.by_uv,
            fault: found.fault().map(str::to_owned),
        }
    }
}

/// Looks at a workspace; runs nothing. A configuration that cannot be read counts as none here.
pub fn examine(root: &Root, caller: &Caller) -> Examined {
    let loaded = config::read(&root.path, caller).ok().flatten();
    let empty = Config::default();
    let config = loaded.as_ref().map_or(&empty, |loaded| &loaded.config);
    let configured = config.workspace.python.as_ref().map(|python| python.value.as_str());
    let python = python::choose(&root.path, caller, configured, &mut Vec::new()).ok().flatten();
    let imports = config.doctor.imports.as_ref();
    Examined {
        config: loaded.as_ref().map(|loaded| loaded.source.path.clone()),
        python: python.as_ref().map(Python::of),
        imports: imports.map(|modules| modules.iter().map(|module| module.value.clone()).collect()),
        depends: services::depends(config),
        wants: Wants::of(&root.path),
    }
}
