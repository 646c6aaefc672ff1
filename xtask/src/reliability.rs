//! `cargo xtask reliability`: runs every test that names a fault case and writes `docs/reliability.md` from what came of it.
//!
//! With `--from FILE…` it takes what a test run printed there instead of running them.
//!
//! What is required of a case is kept by hand in `tests/cases.toml`; that it is met is never said by hand.

mod cases;
mod page;
mod results;

pub(crate) use cases::numbers;
pub(crate) use page::Where;
pub(crate) use results::{Outcome, parse as outcomes};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{build, test};

fn page() -> PathBuf {
    build::root().join("docs/reliability.md")
}

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let cases = cases::read(&build::root())?;
    let tests = cases::tests(&build::root())?;
    let known = || page::known(&std::fs::read_to_string(page()).unwrap_or_default());
    let (code, output, mut results) = match arguments {
        // Behind `--`: cargo builds no examples for a test that it knows by name.
        [] => {
            let (status, output) = test::run_collecting(&["--".to_owned(), "case_".to_owned()])?;
            (build::exit_code(status), output, BTreeMap::new())
        }
        // What is not in there is as it was.
        [flag, files @ ..] if flag == "--from" => (ExitCode::SUCCESS, read_all(files)?, known()),
        names => {
            let filter: Vec<String> = std::iter::once("--".to_owned()).chain(names.iter().cloned()).collect();
            let (status, output) = test::run_collecting(&filter)?;
            (build::exit_code(status), output, known())
        }
    };
    results.extend(results::parse(&output));
    let soaks = cases::soaks(&build::root())?;
    let text = page::write(&cases, &tests, &results, &soaks, &Where::here());
    std::fs::write(page(), text).with_context(|| format!("failed to write {}", page().display()))?;
    eprintln!("written: {}", page().display());
    Ok(code)
}

/// What was printed into these files, one after the other.
pub(crate) fn read_all(files: &[String]) -> Result<String> {
    let read = |file: &String| {
        // A service's own bytes may be in there.
        let bytes = std::fs::read(file).with_context(|| format!("failed to read {file}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned() + "\n")
    };
    files.iter().map(read).collect()
}

/// Shows the long runs of `tests/soaks.toml` on the page; the rest of it stays what it is.
pub(crate) fn show_soaks() -> Result<()> {
    let soaks = cases::soaks(&build::root())?;
    let before = std::fs::read_to_string(page()).context("failed to read docs/reliability.md")?;
    std::fs::write(page(), page::with_soaks(&before, &soaks)).context("failed to write docs/reliability.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_cases_and_tests_that_there_are() {
        let cases = cases::read(&build::root()).unwrap_or_else(|error| panic!("{error:#}"));
        let tests = cases::tests(&build::root()).unwrap_or_else(|error| panic!("{error:#}"));
        let text = std::fs::read_to_string(page()).unwrap_or_default();
        let soaks = cases::soaks(&build::root()).unwrap_or_else(|error| panic!("{error:#}"));
        let mut differences = page::differences(&text, &cases, &tests);
        if page::with_soaks(&text, &soaks) != text {
            differences.push("the long runs are not those of tests/soaks.toml".into());
        }
        assert!(
            differences.is_empty(),
            "docs/reliability.md is not that of this tree; type: cargo xtask reliability\n{}",
            differences.join("\n")
        );
    }

    #[test]
    fn every_test_names_a_case_that_there_is() {
        let cases = cases::read(&build::root()).unwrap_or_else(|error| panic!("{error:#}"));
        let tests = cases::tests(&build::root()).unwrap_or_else(|error| panic!("{error:#}"));
        for test in &tests {
            for number in &test.cases {
                assert!(
                    cases.iter().any(|case| case.number == *number),
                    "{} in {} names case {number}, which tests/cases.toml does not know",
                    test.name,
                    test.file
                );
            }
        }
    }
}
