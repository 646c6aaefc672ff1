//! The real servers: their environments, and a Jupyter server as a browser sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::pipctl::{Finished, finish};
use crate::wait::LONG;
use crate::workspace::Workspace;

/// Which releases of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    /// Today's.
    Current,
    /// With ipykernel 6.29.5.
    OldKernel,
}

impl Stack {
    /// Its environment; `None` where `cargo xtask test` has not made it.
    pub fn venv(self) -> Option<PathBuf> {
        let variable = match self {
            Self::Current => "PIPD_TEST_VENV",
            Self::OldKernel => "PIPD_TEST_VENV_OLD",
        };
        std::env::var_os(variable).map(PathBuf::from).filter(|venv| venv.join("bin/python").exists())
    }
}

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A script of `tests/tools`.
pub fn tool(name: &str) -> PathBuf {
    repository().join("tests/tools").join(name)
}

impl Workspace<'_> {
    /// Gives it the `.venv` of the real servers.
    ///
    /// # Panics
    /// When it has one.
    pub fn link_venv(&self, venv: &Path) -> &Self {
        std::os::unix::fs::symlink(venv, self.path(".venv")).unwrap();
        self
    }

    /// The JupyterLab that runs as `service`, by the address a person would click.
    ///
    /// # Panics
    /// When it has no address with a token.
    #[track_caller]
    pub fn jupyter(&self, service: &str) -> Jupyter {
        let url = self.service(service).url.expect("an address");
        let (address, token) = url.split_once("token=").expect("a token in the address");
        let end = address.find("/lab").expect("/lab in the address");
        Jupyter {
            python: self.path(".venv/bin/python"),
            address: address[..end].to_owned(),
            token: token.to_owned(),
        }
    }
}

/// A running Jupyter server.
#[derive(Clone, Debug)]
pub struct Jupyter {
    python: PathBuf,
    /// `http://localhost:8888`.
    pub address: String,
    /// What logs in.
    pub token: String,
}

impl Jupyter {
    #[track_caller]
    fn call(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(&self.python);
        command.arg(tool("kernel.py")).args([&self.address, &self.token]).args(arguments);
        finish(command, 2 * LONG)
    }

    /// Starts a kernel and returns its id.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn start_kernel(&self) -> String {
        self.call(&["start"]).ok().stdout.trim().to_owned()
    }

    /// Opens a notebook, which need not be there, and returns the id of its kernel.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn open(&self, notebook: &str) -> String {
        self.call(&["open", notebook]).ok().stdout.trim().to_owned()
    }

    /// Interrupts what a kernel does.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn interrupt(&self, kernel: &str) {
        self.call(&["interrupt", kernel]).ok();
    }

    /// Runs code in a kernel and returns what it printed, its result last.
    ///
    /// # Panics
    /// When it fails, or the kernel is dead.
    #[track_caller]
    pub fn execute(&self, kernel: &str, code: &str) -> String {
        self.call(&["run", kernel, code]).ok().stdout.trim().to_owned()
    }

    /// Has a kernel begin with code and does not wait for the end.
    ///
    /// # Panics
    /// When the kernel is dead.
    #[track_caller]
    pub fn begin(&self, kernel: &str, code: &str) {
        self.call(&["send", kernel, code]).ok();
    }

    /// Opens a terminal, types a line, and returns its screen when `until` is seen on it.
    ///
    /// # Panics
    /// When it is not seen within a minute.
    #[track_caller]
    pub fn type_line(&self, line: &str, until: &str) -> String {
        self.call(&["type", line, until]).ok().stdout
    }

    /// What File → Shut Down in the browser does.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn shut_down(&self) {
        self.call(&["shutdown"]).ok();
    }
}
