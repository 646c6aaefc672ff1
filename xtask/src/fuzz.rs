//! `cargo xtask fuzz`: the targets of `crates/fuzz` under libFuzzer, which sees what each input reaches.
//!
//! It needs no other toolchain than the one that builds pipd: coverage is a matter of compiler flags, and the sanitizers
//! that are not would find little in code without `unsafe`. A C++ compiler builds libFuzzer itself. On every change the same
//! targets run with an engine that needs neither (`crates/fuzz/tests`).

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::build;

/// The programs of `fuzz/`.
const TARGETS: [&str; 4] = ["wire", "config", "state", "log"];

/// What libFuzzer wants to know of the program: every branch, every comparison.
const COVERAGE: [&str; 6] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

const USAGE: &str = "usage: cargo xtask fuzz [wire] [config] [state] [log] [--for 60s]";

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (targets, time) = parse(arguments)?;
    let programs = build_all()?;
    let root = build::root().join("fuzz");
    let work = build::target().join("fuzz");
    for target in targets {
        let (found, broken) = (work.join("corpus").join(&target), work.join("artifacts").join(&target));
        for folder in [&found, &broken] {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("failed to make {}", folder.display()))?;
        }
        println!("{target}: {} s", time.as_secs());
        let status = Command::new(programs.join(&target))
            .arg(format!("-max_total_time={}", time.as_secs()))
            .arg(format!("-artifact_prefix={}/", broken.display()))
            .args([
                "-max_len=20000",
                "-timeout=20",
                "-rss_limit_mb=1024",
                "-print_final_stats=1",
                "-verbosity=0",
            ])
            // What is new goes to the first folder.
            .args([&found, &root.join("corpus").join(&target)])
            .status()
            .with_context(|| format!("failed to run {target}"))?;
        if !status.success() {
            bail!(
                "{target} is broken; the input lies in {}. Mend it, then keep the input: mv {}/crash-* {}",
                broken.display(),
                broken.display(),
                root.join("corpus").join(&target).display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(arguments: &[String]) -> Result<(Vec<String>, Duration)> {
    let (mut targets, mut time) = (Vec::new(), Duration::from_secs(60));
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--for" => time = arguments.next().and_then(|text| duration(text)).context(USAGE)?,
            name if TARGETS.contains(&name) => targets.push(name.to_owned()),
            other => bail!("`{other}` is no target\n{USAGE}"),
        }
    }
    if targets.is_empty() {
        targets = TARGETS.map(str::to_owned).into();
    }
    Ok((targets, time))
}

/// `90`, `90s`, `5m`, `2h`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text.find(|letter: char| !letter.is_ascii_digit()) {
        Some(end) => text.split_at(end),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
        .filter(|time| !time.is_zero())
}

/// Builds the programs and returns their folder.
fn build_all() -> Result<std::path::PathBuf> {
    let folder = build::target().join("fuzz/build");
    // Named, so that what only helps to build is built without coverage.
    let host = host()?;
    let status = build::cargo()
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(build::root().join("fuzz/Cargo.toml"))
        .args(["--target", &host, "--target-dir"])
        .arg(&folder)
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
        .status()
        .context("failed to run cargo")?;
    if !status.success() {
        bail!("the build failed; libFuzzer needs a C++ compiler, on Debian: sudo apt install g++");
    }
    Ok(Path::new(&folder).join(host).join("release"))
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("failed to run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what it builds for")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_times_are_read() {
        let parsed = |words: &[&str]| parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).ok();
        assert_eq!(parsed(&["log", "--for", "2m"]), Some((vec!["log".into()], Duration::from_secs(120))));
        assert_eq!(parsed(&[]).unwrap().0.len(), TARGETS.len());
        for refused in [&["--for"][..], &["--for", "0"], &["--for", "1d"], &["nothing"]] {
            assert_eq!(parsed(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let manifest = std::fs::read_to_string(build::root().join("fuzz/Cargo.toml")).unwrap_or_default();
        let source =
            std::fs::read_to_string(build::root().join("crates/fuzz/src/lib.rs")).unwrap_or_default();
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
        assert_eq!(source.matches("Target { name: \"").count(), TARGETS.len());
        for target in TARGETS {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
            assert!(source.contains(&format!("Target {{ name: \"{target}\"")), "{target}");
            assert!(build::root().join(format!("fuzz/corpus/{target}")).is_dir(), "{target}");
        }
    }
}
