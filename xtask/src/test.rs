//! `cargo xtask test`: the environments of the real servers, then every test of the workspace.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context as _, Result};

use crate::{build, venv};

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let status = prepared(arguments)?.status().context("failed to run cargo")?;
    Ok(build::exit_code(status))
}

/// The same; what is said is shown and returned.
pub(crate) fn run_collecting(arguments: &[String]) -> Result<(ExitStatus, String)> {
    collect(prepared(arguments)?)
}

/// Runs a command; what it says is shown and returned.
pub(crate) fn collect(mut command: std::process::Command) -> Result<(ExitStatus, String)> {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("failed to run cargo")?;
    let (sender, lines) = channel();
    pass_on(child.stdout.take(), std::io::stdout(), sender.clone());
    pass_on(child.stderr.take(), std::io::stderr(), sender);
    let output = lines.into_iter().fold(String::new(), |text, line: String| text + &line + "\n");
    Ok((child.wait().context("failed to wait for cargo")?, output))
}

fn pass_on(
    from: Option<impl Read + Send + 'static>,
    mut to: impl Write + Send + 'static,
    lines: Sender<String>,
) {
    let Some(from) = from else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            // Nobody who looks is no reason to stop.
            let _ = writeln!(to, "{line}");
            if lines.send(line).is_err() {
                return;
            }
        }
    });
}

fn prepared(arguments: &[String]) -> Result<std::process::Command> {
    let venvs = build::target().join("test-venvs");
    let mut cargo = build::cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    for (name, variable) in [("current", "PIPD_TEST_VENV"), ("ipykernel6", "PIPD_TEST_VENV_OLD")] {
        let venv = venvs.join(name);
        venv::ensure(&venv, &build::root().join(format!("tests/requirements-{name}.txt")))?;
        cargo.env(variable, venv);
    }
    cargo.args(arguments);
    Ok(cargo)
}
