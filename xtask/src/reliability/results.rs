//! What the test runner said.

use std::collections::BTreeMap;

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// It said that something it needs is not there.
    Skipped,
    Failed,
}

/// Outcomes by the test's own name, without its modules.
pub(crate) fn parse(output: &str) -> BTreeMap<String, Outcome> {
    let mut results = BTreeMap::new();
    for line in output.lines() {
        let Some((path, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
        else {
            continue;
        };
        let outcome = match outcome.split([',', ' ']).next() {
            Some("ok") => Outcome::Passed,
            Some("ignored") => Outcome::Skipped,
            Some("FAILED") => Outcome::Failed,
            // What the test itself said, where nothing is captured; how it ended comes later.
            _ => continue,
        };
        results.insert(own_name(path).to_owned(), outcome);
    }
    for line in output.lines() {
        let skipped = line.split_once("SKIPPED: ").and_then(|(_, rest)| rest.split(": ").next());
        if let Some(found) = skipped.and_then(|path| results.get_mut(own_name(path))) {
            *found = Outcome::Skipped;
        }
    }
    results
}

fn own_name(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_read_from_what_the_runner_says() {
        let output = "running 4 tests\n\
            test child::case_01_killed ... ok\n\
            SKIPPED: system::case_42_fork: needs root\n\
            test system::case_42_fork ... ok\n\
            test case_07_x ... FAILED\n\
            test case_08_y ... ignored, not today\n\
            test result: FAILED. 1 passed\n";
        let results = parse(output);
        assert_eq!(results.get("case_01_killed"), Some(&Outcome::Passed));
        assert_eq!(results.get("case_42_fork"), Some(&Outcome::Skipped));
        assert_eq!(results.get("case_07_x"), Some(&Outcome::Failed));
        assert_eq!(results.get("case_08_y"), Some(&Outcome::Skipped));
        assert_eq!(results.len(), 4);
    }
}
