//! `cargo xtask test`: the environments of the real servers, then every test of the workspace.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{build, venv};

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let venvs = build::target().join("test-venvs");
    let mut cargo = build::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    for (name, variable) in [("current", "PIPD_TEST_VENV"), ("ipykernel6", "PIPD_TEST_VENV_OLD")] {
        let venv = venvs.join(name);
        venv::ensure(&venv, &build::root().join(format!("tests/requirements-{name}.txt")))?;
        cargo.env(variable, venv);
    }
    let status = cargo.args(arguments).status().context("failed to run cargo")?;
    Ok(build::exit_code(status))
}
