//! Manual pages and completions, made by the programs themselves, laid out as below `/usr/share`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::fresh;
use crate::build;

/// Shell, and where its completions of a program are looked for.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/pipctl"),
    ("zsh", "zsh/site-functions/_pipctl"),
    ("fish", "fish/vendor_completions.d/pipctl.fish"),
];

/// Builds the programs, then the files. They lie beside the programs, where every packager finds them.
pub(crate) fn make() -> Result<PathBuf> {
    let programs = build::release()?;
    let share = fresh(programs.join("share"))?;
    let pages = share.join("man/man1");
    let status = build::cargo()
        .args(["run", "--quiet", "--locked", "-p", "pipctl", "--example", "man", "--"])
        .arg(&pages)
        .status()
        .context("failed to run cargo")?;
    if !status.success() {
        bail!("the manual pages cannot be made: cargo run -p pipctl --example man -- {}", pages.display());
    }
    for (shell, file) in COMPLETIONS {
        completions(&programs, shell, &share.join(file))?;
    }
    Ok(share)
}

fn completions(programs: &Path, shell: &str, file: &Path) -> Result<()> {
    let output = Command::new(programs.join("pipctl"))
        .args(["completions", shell])
        .output()
        .context("failed to run pipctl")?;
    if !output.status.success() || output.stdout.is_empty() {
        bail!("no completions: pipctl completions {shell} ended with {}", output.status);
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, output.stdout).with_context(|| format!("failed to write {}", file.display()))
}
