//! `cargo xtask soak`: the long cases, much longer than on every change, and a record of how that went.
//!
//! What a test tells of a long run (`LONG RUN | case | seconds | what | result`) is added to `tests/soaks.toml` when
//! no test of that case failed, and shown by `docs/reliability.md`. Nothing is written there by hand.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::reliability::{self, Outcome, Where};
use crate::{build, test};

/// How much longer; a variable that is set already stays.
const LENGTHS: [(&str, &str); 10] = [
    ("PIPD_SOAK_KILLS", "1000"),
    ("PIPD_SOAK_RESTARTS", "3600"),
    ("PIPD_SOAK_PACE", "1000"),
    ("PIPD_SOAK_STEPS", "1500"),
    ("PIPD_SOAK_PAIRS", "200"),
    ("PIPD_SOAK_DAMAGES", "1000"),
    ("PIPD_SOAK_FREEZE", "60"),
    ("PIPD_SOAK_SHORTAGE", "120"),
    ("PIPD_SOAK_POLL", "60"),
    ("PIPD_SOAK_FLOOD", "60"),
];

/// Runs the tests of these names, without names all that name a case, or takes what such a run printed.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let (code, output) = match arguments {
        [flag, files @ ..] if flag == "--from" => (ExitCode::SUCCESS, reliability::read_all(files)?),
        names => {
            let mut cargo = build::cargo();
            let filter = if names.is_empty() { "case_" } else { "" };
            cargo.args(["test", "-p", "pipd", "--test", "conformance", "--test", "logs", "--"]);
            cargo.args(["--nocapture", filter]).args(names);
            for (variable, value) in LENGTHS {
                if std::env::var_os(variable).is_none() {
                    cargo.env(variable, value);
                }
            }
            let (status, output) = test::collect(cargo)?;
            (build::exit_code(status), output)
        }
    };
    let runs = runs(&output);
    if runs.is_empty() {
        eprintln!("no long run ended well: nothing is recorded");
        return Ok(code);
    }
    let place = Where::here();
    let path = build::root().join("tests/soaks.toml");
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|_| HEAD.to_owned());
    for run in &runs {
        // As TOML writes them.
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let _ = write!(
            text,
            "\n[[soak]]\ndate = {}\nsystem = {}\ncase = {}\nseconds = {}\nwhat = {}\nresult = {}\n",
            quoted(&place.date),
            quoted(&place.system),
            run.case,
            run.seconds,
            quoted(&run.what),
            quoted(&run.result)
        );
    }
    std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    eprintln!("{} long runs recorded: {}", runs.len(), path.display());
    reliability::show_soaks()?;
    Ok(code)
}

const HEAD: &str = "# Long runs, newest last. Written by `cargo xtask soak`.\n";

#[derive(Debug, PartialEq, Eq)]
struct Run {
    case: u32,
    seconds: u64,
    what: String,
    result: String,
}

fn runs(output: &str) -> Vec<Run> {
    let failed: BTreeSet<u32> = reliability::outcomes(output)
        .into_iter()
        .filter(|(_, outcome)| *outcome == Outcome::Failed)
        .flat_map(|(name, _)| reliability::numbers(&name))
        .collect();
    output.lines().filter_map(run_of).filter(|run| !failed.contains(&run.case)).collect()
}

fn run_of(line: &str) -> Option<Run> {
    // With one thread the runner's own words stand before it.
    let (_, told) = line.split_once("LONG RUN | ")?;
    let mut parts = told.splitn(4, " | ");
    let mut part = || parts.next().map(str::trim);
    Some(Run {
        case: part()?.parse().ok()?,
        seconds: part()?.parse().ok()?,
        what: part()?.to_owned(),
        result: part()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_kept_when_its_case_did_not_fail() {
        let output = "LONG RUN | 35 | 3600 | 3600 restarts | flat\n\
            test a::case_35_restarts ... ok\n\
            test b::case_24_kills ... LONG RUN | 24 | 9 | kills, seed 3 | no line lost\n\
            test c::case_24_91_points ... FAILED\n\
            LONG RUN | nonsense\n";
        let found = runs(output);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].case, found[0].seconds), (35, 3_600));
        assert_eq!((found[0].what.as_str(), found[0].result.as_str()), ("3600 restarts", "flat"));
        let passed = output.replace("FAILED", "ok");
        assert_eq!(runs(&passed).len(), 2);
    }
}
