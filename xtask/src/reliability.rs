//! `cargo xtask reliability`: runs every test that names a fault case and writes `docs/reliability.md` from what came of it.
//!
//! What is required of a case is kept by hand in `tests/cases.toml`; that it is met is never said by hand.

mod cases;
mod page;
mod results;

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
    // With a filter the others are as they were. Behind `--`: cargo builds no examples for a test that it knows by name.
    let (filter, mut results) = if arguments.is_empty() {
        (vec!["--".to_owned(), "case_".to_owned()], BTreeMap::new())
    } else {
        let filter = std::iter::once("--".to_owned()).chain(arguments.iter().cloned()).collect();
        (filter, page::known(&std::fs::read_to_string(page()).unwrap_or_default()))
    };
    let (status, output) = test::run_collecting(&filter)?;
    results.extend(results::parse(&output));
    let soaks = cases::soaks(&build::root())?;
    let text = page::write(&cases, &tests, &results, &soaks, &page::Where::here());
    std::fs::write(page(), text).with_context(|| format!("failed to write {}", page().display()))?;
    eprintln!("written: {}", page().display());
    Ok(build::exit_code(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_cases_and_tests_that_there_are() {
        let cases = cases::read(&build::root()).unwrap_or_else(|error| panic!("{error:#}"));
        let tests = cases::tests(&build::root()).unwrap_or_else(|error| panic!("{error:#}"));
        let text = std::fs::read_to_string(page()).unwrap_or_default();
        let differences = page::differences(&text, &cases, &tests);
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
