//! A machine with a real systemd, that the tool `systemd-box` boots in namespaces of this one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};

use super::lab::Programs;
use crate::build;

/// Gone, with all that was done in it, when it is dropped.
pub(super) struct Machine {
    tool: PathBuf,
}

impl Machine {
    /// With the programs in its /usr/local/bin, and the user `dev`.
    pub(super) fn boot(programs: &Programs) -> Result<Self> {
        let folder = std::env::var_os("PIPD_TOOLS")
            .map_or_else(|| build::root().join("../shared/tools"), PathBuf::from);
        let tool = folder.join("systemd-box");
        if !tool.is_file() {
            bail!("no {}", tool.display());
        }
        let machine = Self { tool };
        machine.call(&["up"])?;
        for program in build::PROGRAMS.iter().chain(&["service"]) {
            machine.copy(&programs.path(program), &format!("/usr/local/bin/{program}"), "root")?;
        }
        Ok(machine)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        // The same base system as for the tests.
        command
            .args(arguments)
            .env("SYSTEMD_BOX", "bench")
            .env("SYSTEMD_BOX_PACKAGES", "python3,python3-venv");
        command
    }

    pub(super) fn call(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.command(arguments).output().context("failed to run systemd-box")?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output)
    }

    pub(super) fn copy(&self, from: &Path, to: &str, owner: &str) -> Result<()> {
        self.call(&["copy-in", &from.to_string_lossy(), to, owner]).map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.command(&["reset"]).output();
    }
}
