//! `cargo xtask up`: from a clean clone to two servers that answer. Everything in it may be repeated.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{build, venv};

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let root = build::root();
    let built = build::release()?;
    let bin = root.join("bin");
    std::fs::create_dir_all(&bin)?;
    for program in build::PROGRAMS {
        install(&built.join(program), &bin.join(program))?;
    }
    let workspace = root.join("examples/workspace");
    venv::ensure(&workspace.join(".venv"), &workspace.join("requirements.txt"))?;
    let status = Command::new(bin.join("pipctl"))
        .arg("start")
        .args(arguments)
        .arg("-w")
        .arg(&workspace)
        .status()
        .context("failed to run bin/pipctl")?;
    if status.success() {
        println!("\nThe servers go on when this terminal closes. To go on yourself:");
        println!("  export PATH=\"{}:$PATH\"", bin.display());
        println!("  cd {}", workspace.display());
        println!("  pipctl status      # or: logs -f, why jupyter, stop");
    }
    Ok(build::exit_code(status))
}

/// Replaces by rename: the old program may be running.
fn install(from: &Path, to: &Path) -> Result<()> {
    if same(from, to) {
        return Ok(());
    }
    let new = to.with_extension("new");
    std::fs::copy(from, &new)
        .and_then(|_| std::fs::rename(&new, to))
        .with_context(|| format!("failed to copy {} to {}", from.display(), to.display()))
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((std::fs::read(one), std::fs::read(other)), (Ok(one), Ok(other)) if one == other)
}
