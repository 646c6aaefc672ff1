//! A wheel: the three programs as its scripts, manual pages and completions as its data.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{folder, fresh, only};
use crate::{build, tools};

/// Builds it with the `pyproject.toml` of the repository, to which the data is added here: whoever builds from
/// source without this program gets a wheel without it.
pub(crate) fn make(share: &Path) -> Result<PathBuf> {
    let maturin = tools::maturin()?;
    let (root, project) = (build::root(), fresh(folder().join("wheel"))?);
    let data = project.join("data/data/share");
    copy(share, &data)?;
    for name in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        std::fs::copy(root.join(name), project.join(name))
            .with_context(|| format!("failed to copy {name}"))?;
    }
    let text =
        std::fs::read_to_string(root.join("pyproject.toml")).context("failed to read pyproject.toml")?;
    let (own, path) = ("manifest-path = \"crates/", root.join("crates"));
    if !text.contains(own) {
        bail!("pyproject.toml: no `{own}…` to be replaced");
    }
    let text = text.replace(own, &format!("data = \"data\"\nmanifest-path = \"{}/", path.display()));
    std::fs::write(project.join("pyproject.toml"), text)?;
    let out = fresh(folder().join("dist"))?;
    let status = Command::new(maturin)
        .current_dir(&project)
        .args(["build", "--release", "--locked", "--out"])
        .arg(&out)
        .env("CARGO_TARGET_DIR", build::target())
        .status()
        .context("failed to run maturin")?;
    if !status.success() {
        bail!("maturin ended with {status} in {}", project.display());
    }
    only(&out, "whl")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
