//! Folders that look like workspaces.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]
#![allow(dead_code, reason = "every test file uses its own part")]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wire::{ServiceSpec, WorkspaceSpec};
use workspace::{Caller, Error, Root};

/// A FastHTML application.
pub(crate) const FASTHTML: &str = "from fasthtml.common import *\napp, rt = fast_app()\nserve()\n";

/// A temporary folder, its path canonical, that stands for everything between the root of the file system and home.
pub(crate) struct World {
    _dir: TempDir,
    pub(crate) path: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        Self { _dir: dir, path }
    }

    /// A world whose only folder is a complete workspace: `.venv` with JupyterLab, `server.py`.
    pub(crate) fn complete() -> Self {
        let world = Self::new();
        world.venv(".venv", "python-without-jupyterlab").jupyterlab(".venv").file("server.py", FASTHTML)
    }

    pub(crate) fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        fs::create_dir_all(self.path.join(name)).unwrap();
        self
    }

    pub(crate) fn link(self, name: &str, target: impl AsRef<Path>) -> Self {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    /// A virtual environment whose Python is one of `tests/fixtures`.
    pub(crate) fn venv(self, name: &str, python: &str) -> Self {
        self.file(
            &format!("{name}/pyvenv.cfg"),
            "home = /\ninclude-system-site-packages = false\nversion = 3.11.7\n",
        )
        .folder(&format!("{name}/lib/python3.11/site-packages"))
        .link(&format!("{name}/bin/python"), fixture(python))
    }

    pub(crate) fn jupyterlab(self, venv: &str) -> Self {
        let package = format!("{venv}/lib/python3.11/site-packages/jupyterlab");
        self.file(&format!("{package}/__init__.py"), "")
            .file(&format!("{package}/_version.py"), "# made\n__version__ = \"4.6.6\"\nversion_info = 1\n")
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { cwd: self.path.clone(), ..Caller::default() }
    }

    pub(crate) fn root(&self) -> Root {
        Root { path: self.path.clone(), why: "test".to_owned(), notes: Vec::new() }
    }

    pub(crate) fn load(&self) -> Result<WorkspaceSpec, Error> {
        workspace::load(&self.root(), &self.caller())
    }

    pub(crate) fn load_as(&self, caller: &Caller) -> Result<WorkspaceSpec, Error> {
        workspace::load(&self.root(), caller)
    }

    /// A text with this world's path replaced, so that it can be compared.
    pub(crate) fn anonymous(&self, text: &str) -> String {
        text.replace(self.path.to_str().unwrap(), "/ws")
    }
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// A service by name.
pub(crate) fn service<'a>(spec: &'a WorkspaceSpec, name: &str) -> &'a ServiceSpec {
    let found = spec.services.iter().find(|service| service.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", names(spec)))
}

pub(crate) fn names(spec: &WorkspaceSpec) -> Vec<&str> {
    spec.services.iter().map(|service| service.name.as_str()).collect()
}

pub(crate) fn argv(service: &ServiceSpec) -> Vec<String> {
    service.argv.iter().map(wire::Text::to_string_lossy).collect()
}

/// The value a service sets for a variable; panics when it does not mention it.
pub(crate) fn variable(service: &ServiceSpec, name: &str) -> Option<String> {
    let value = service.env.get(name).unwrap_or_else(|| panic!("{name} is not in {:?}", service.env));
    value.as_ref().map(wire::Text::to_string_lossy)
}
