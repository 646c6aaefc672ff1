//! A Debian package, as the manifest of `crates/pipd` describes it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{folder, fresh, only};
use crate::{build, tools};

const VERSION: &str = "3.8.0";

/// Packs what is built already.
pub(crate) fn make() -> Result<PathBuf> {
    let cargo_deb = tools::cargo_tool("cargo-deb", VERSION)?;
    let out = fresh(folder().join("deb"))?;
    let status = Command::new(cargo_deb)
        .current_dir(build::root())
        .args(["-p", "pipd", "--no-build", "--no-strip", "--locked", "-o"])
        .arg(&out)
        .env("CARGO_TARGET_DIR", build::target())
        .status()
        .context("failed to run cargo-deb")?;
    if !status.success() {
        bail!("cargo-deb ended with {status}");
    }
    only(&out, "deb")
}
