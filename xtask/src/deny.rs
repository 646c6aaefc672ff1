//! `cargo xtask deny`: what may come in through dependencies, as `deny.toml` has it.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{build, tools};

const VERSION: &str = "0.20.2";

/// Licences, bans and sources always; advisories too with `--advisories`, which needs their database.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let deny = tools::cargo_tool("cargo-deny", VERSION)?;
    let mut checks = vec!["licenses", "bans", "sources"];
    if arguments.iter().any(|argument| argument == "--advisories") {
        checks.push("advisories");
    } else {
        println!(
            "not checked: advisories, whose database lies elsewhere; with it: cargo xtask deny --advisories"
        );
    }
    let status = Command::new(deny)
        .current_dir(build::root())
        .args(["--all-features", "--locked", "check"])
        .args(checks)
        .status()
        .context("failed to run cargo-deny")?;
    Ok(build::exit_code(status))
}
