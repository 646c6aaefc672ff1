//! Where things lie, and how cargo is called.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result, bail};

/// The programs of the product.
pub(crate) const PROGRAMS: [&str; 3] = ["pipctl", "pipd", "pipd-shim"];

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new(".")).to_owned()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Cargo, called in the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the release programs and returns their folder.
pub(crate) fn release() -> Result<PathBuf> {
    let status = cargo()
        .args(["build", "--release", "--locked", "-p", "pipd"])
        .status()
        .context("failed to run cargo")?;
    if !status.success() {
        bail!("the build failed: cargo build --release --locked -p pipd");
    }
    Ok(target().join("release"))
}

/// Hands on how a program ended.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
