//! What the programs and packages weigh.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::build::{self, PROGRAMS};

/// All programs together, in bytes.
const ALLOWED: u64 = 6 << 20;

/// Prints the table of `docs/packaging.md`; fails when the programs are too big.
pub(crate) fn check(made: &[(&str, PathBuf)]) -> Result<ExitCode> {
    let release = build::target().join("release");
    let size = |path: &PathBuf| -> Result<u64> {
        Ok(std::fs::metadata(path).with_context(|| format!("failed to look at {}", path.display()))?.len())
    };
    println!("| what | bytes | MiB |\n|---|--:|--:|");
    let row = |what: &str, bytes: u64| println!("| {what} | {bytes} | {} |", mebibytes(bytes));
    let mut all = 0;
    for program in PROGRAMS {
        let bytes = size(&release.join(program))?;
        row(&format!("`{program}`"), bytes);
        all += bytes;
    }
    row("the programs together", all);
    for (what, file) in made {
        row(what, size(file)?);
    }
    if all > ALLOWED {
        eprintln!("the programs are {} MiB together, {} are allowed", mebibytes(all), mebibytes(ALLOWED));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Two digits, rounded up.
fn mebibytes(bytes: u64) -> String {
    let hundredths = (bytes * 100).div_ceil(1 << 20);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
