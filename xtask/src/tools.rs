//! Programs that make and check packages: taken from the PATH, or installed once below `target/tools`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{build, venv};

/// A subcommand of cargo at a version that is known to do. Built without optimisation: it is used seldom.
pub(crate) fn cargo_tool(name: &str, version: &str) -> Result<PathBuf> {
    if let Some(found) = on_path(name) {
        return Ok(found);
    }
    let root = build::target().join("tools");
    let (program, stamp) = (root.join("bin").join(name), root.join(format!("{name}.version")));
    if program.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|found| found == version) {
        return Ok(program);
    }
    println!("installing {name} {version} below {} …", root.display());
    let status = build::cargo()
        .args(["install", "--quiet", "--locked", "--debug", "--force", "--version", version, "--root"])
        .arg(&root)
        .arg(name)
        .env("CARGO_TARGET_DIR", root.join("build"))
        .status()
        .context("failed to run cargo")?;
    if !status.success() {
        bail!("{name} {version} cannot be installed: cargo install --locked --version {version} {name}");
    }
    let _ = std::fs::remove_dir_all(root.join("build"));
    std::fs::write(&stamp, version)?;
    Ok(program)
}

/// What builds wheels.
pub(crate) fn maturin() -> Result<PathBuf> {
    if let Some(found) = on_path("maturin") {
        return Ok(found);
    }
    let venv = build::target().join("tools/maturin");
    venv::ensure(&venv, &build::root().join("packaging/requirements-maturin.txt"))?;
    Ok(venv.join("bin/maturin"))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_file(file))
}

fn is_file(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|data| data.is_file())
}
