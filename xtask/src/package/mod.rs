//! `cargo xtask package`: what people install. One release build serves all of it.

mod deb;
mod share;
mod size;
mod wheel;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::build;

const USAGE: &str = "\
usage: cargo xtask package <what…>

  share  manual pages and completions
  wheel  a wheel with the programs and all of share
  deb    a Debian package of the same
  size   how big they are, against what is allowed
  all    all of it
";

/// Makes what is named, in a useful order.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let known = ["share", "wheel", "deb", "size", "all"];
    if arguments.is_empty() || arguments.iter().any(|argument| !known.contains(&argument.as_str())) {
        eprint!("{USAGE}");
        return Ok(ExitCode::from(2));
    }
    let wants = |what: &str| arguments.iter().any(|argument| argument == what || argument == "all");
    let share = share::make()?;
    println!("share: {}", share.display());
    let mut made = Vec::new();
    if wants("wheel") {
        made.push(("wheel", wheel::make(&share)?));
    }
    if wants("deb") {
        made.push(("deb", deb::make()?));
    }
    for (what, file) in &made {
        println!("{what}: {}", file.display());
    }
    if wants("size") { size::check(&made) } else { Ok(ExitCode::SUCCESS) }
}

/// Where packages are put.
fn folder() -> PathBuf {
    build::target().join("package")
}

/// A folder, emptied.
fn fresh(folder: PathBuf) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The one file with this ending in a folder.
fn only(folder: &std::path::Path, ending: &str) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(file), true) => Ok(file),
        _ => bail!("one .{ending} file was expected in {}", folder.display()),
    }
}
