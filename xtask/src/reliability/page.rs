//! The page: one table per family, a row per case.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use super::cases::{Case, Soak, Test};
use super::results::Outcome;

const INTRODUCTION: &str = "\
# What pipd survives

<!-- Written by `cargo xtask reliability`; what is required is kept in tests/cases.toml. Do not edit. -->

Each row is a fault, what must come of it, and the tests that cause the fault and look. A case is *met* when all its tests passed in the
run named below (✓; ✗ failed; – did not run); nothing here is said by hand but what is required, and why a case is not met. The numbers are stable and stand in the
tests' names: `cargo xtask test case_23` runs one.
";

const FAMILIES: [(&str, &str); 8] = [
    ("child", "The service"),
    ("supervisor", "Daemon and shims"),
    ("system", "The machine"),
    ("client", "Clients and protocol"),
    ("config", "Configuration"),
    ("port", "Ports"),
    ("log", "Logs"),
    ("upgrade", "Upgrades"),
];

/// Where and when a run was made.
pub(crate) struct Where {
    pub(crate) date: String,
    pub(crate) system: String,
}

impl Where {
    pub(crate) fn here() -> Self {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().ok()?;
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        Self {
            date: said("date", &["-u", "+%Y-%m-%d"]).unwrap_or_default(),
            system: said("uname", &["-srm"]).unwrap_or_default(),
        }
    }
}

pub(crate) fn write(
    cases: &[Case],
    tests: &[Test],
    results: &BTreeMap<String, Outcome>,
    soaks: &[Soak],
    place: &Where,
) -> String {
    let mut page = INTRODUCTION.to_owned();
    let judged: Vec<_> = cases.iter().map(|case| (case, judge(case, &of(case, tests), results))).collect();
    let met = judged.iter().filter(|(_, verdict)| verdict.starts_with("met")).count();
    let ran = tests.iter().filter(|test| results.contains_key(&test.name)).count();
    let _ = write!(
        page,
        "\nLast run: {}, {}, {} tests. {met} of {} cases are met.\n",
        place.date,
        place.system,
        ran,
        cases.len()
    );
    for (family, title) in FAMILIES {
        let _ = write!(
            page,
            "\n## {title}\n\n| case | fault | required | outcome | tests |\n|---|---|---|---|---|\n"
        );
        for (case, verdict) in judged.iter().filter(|(case, _)| case.family == family) {
            let names: Vec<String> = of(case, tests)
                .iter()
                .map(|test| format!("{} {}", mark(results.get(&test.name)), shown(test)))
                .collect();
            let _ = writeln!(
                page,
                "| {} | {} | {} | {verdict} | {} |",
                case.number,
                case.fault,
                case.required,
                names.join("<br>")
            );
        }
    }
    with_soaks(&page, soaks)
}

const LONG_RUNS: &str = "
## Long runs

The same tests, much longer, when somebody lets them: `cargo xtask soak`. Each row is one run that passed, as long as it says; the
programs were those that tests build, and shared the machine with other work.

| date | case | length | what | result |
|---|---|---|---|---|
";

/// The page with these long runs in place of those that are there.
pub(crate) fn with_soaks(page: &str, soaks: &[Soak]) -> String {
    let mut page = page.split("\n## Long runs\n").next().unwrap_or_default().to_owned();
    if !soaks.is_empty() {
        page.push_str(LONG_RUNS);
    }
    for soak in soaks {
        let length = match soak.seconds {
            seconds @ ..120 => format!("{seconds} s"),
            seconds => format!("{} min", seconds / 60),
        };
        let Soak { date, system, case, what, result, .. } = soak;
        let _ = writeln!(page, "| {date}, {system} | {case} | {length} | {what} | {result} |");
    }
    page
}

fn of<'a>(case: &Case, tests: &'a [Test]) -> Vec<&'a Test> {
    tests.iter().filter(|test| test.cases.contains(&case.number)).collect()
}

/// A link to the file, named by the test.
fn shown(test: &Test) -> String {
    format!("[`{}`](../{})", test.name, test.file)
}

fn mark(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Passed) => "✓",
        Some(Outcome::Failed) => "✗",
        Some(Outcome::Skipped) | None => "–",
    }
}

/// What an earlier run is on the page with, for the tests that do not run this time.
pub(crate) fn known(page: &str) -> BTreeMap<String, Outcome> {
    let tests = page.split(['|', '>', '\n']).filter_map(|cell| {
        let (mark, rest) = cell.trim().split_once(" [`")?;
        let outcome = match mark {
            "✓" => Outcome::Passed,
            "✗" => Outcome::Failed,
            _ => return None,
        };
        Some((rest.split_once('`')?.0.to_owned(), outcome))
    });
    tests.collect()
}

fn judge(case: &Case, tests: &[&Test], results: &BTreeMap<String, Outcome>) -> String {
    let outcome = |test: &&&Test| results.get(&test.name).copied();
    if let Some(reason) = &case.not_met {
        return format!("not met: {reason}");
    }
    if tests.is_empty() {
        return "not met: no test shows it".into();
    }
    if tests.iter().any(|test| outcome(&test) == Some(Outcome::Failed)) {
        return "**failed**".into();
    }
    if tests.iter().any(|test| outcome(&test) != Some(Outcome::Passed)) {
        return "not shown: a test did not run there".into();
    }
    match &case.except {
        Some(except) => format!("met, except: {except}"),
        None => "met".into(),
    }
}

#[cfg(test)]
/// In what the page's cases and tests are not those of the tree. What came of them and when is left aside.
pub(crate) fn differences(page: &str, cases: &[Case], tests: &[Test]) -> Vec<String> {
    let rows: BTreeMap<u32, &str> = page
        .lines()
        .filter_map(|line| Some((line.strip_prefix("| ")?.split_once(" | ")?.0.parse().ok()?, line)))
        .collect();
    let mut differences = Vec::new();
    for case in cases {
        let Some(row) = rows.get(&case.number) else {
            differences.push(format!("case {} has no row", case.number));
            continue;
        };
        let wanted: Vec<String> = of(case, tests).iter().map(|test| shown(test)).collect();
        let there: Vec<&str> = row
            .rsplit(" | ")
            .next()
            .unwrap_or_default()
            .trim_end_matches('|')
            .trim()
            .split("<br>")
            .filter_map(|name| Some(name.split_once(' ')?.1))
            .collect();
        if wanted != there {
            differences.push(format!("case {}: {wanted:?} expected, {there:?} found", case.number));
        }
        if !row.contains(&format!("| {} | {} |", case.fault, case.required)) {
            differences.push(format!("case {} is described otherwise in tests/cases.toml", case.number));
        }
    }
    for number in rows.keys().filter(|number| !cases.iter().any(|case| case.number == **number)) {
        differences.push(format!("case {number} is not in tests/cases.toml"));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(number: u32) -> Case {
        Case {
            number,
            family: "child".into(),
            fault: "killed".into(),
            required: "back".into(),
            except: None,
            not_met: None,
        }
    }

    fn test(name: &str, number: u32) -> Test {
        Test { name: name.into(), file: "tests/x.rs".into(), cases: vec![number] }
    }

    fn place() -> Where {
        Where { date: "2026-01-01".into(), system: "Linux".into() }
    }

    #[test]
    fn a_page_agrees_with_what_it_was_written_from_and_with_nothing_else() {
        let cases = [case(1), case(2)];
        let tests = [test("case_01_one", 1), test("case_01_more", 1)];
        let page = write(&cases, &tests, &BTreeMap::new(), &[], &place());
        assert_eq!(differences(&page, &cases, &tests), Vec::<String>::new());
        assert_eq!(differences(&page, &cases, &tests[..1]).len(), 1);
        assert_eq!(differences(&page, &cases[..1], &tests).len(), 1);
        assert_eq!(differences(&page, &[case(1), case(2), case(3)], &tests).len(), 1);
    }

    #[test]
    fn long_runs_are_replaced_and_the_rest_stays() {
        let soak = |result: &str| Soak {
            date: "2026-01-01".into(),
            system: "Linux".into(),
            case: 1,
            seconds: 3_600,
            what: "kills".into(),
            result: result.into(),
        };
        let page = write(&[case(1)], &[], &BTreeMap::new(), &[], &place());
        let with = with_soaks(&page, &[soak("none lost")]);
        assert!(with.starts_with(&page) && with.ends_with("| 1 | 60 min | kills | none lost |\n"), "{with}");
        assert_eq!(with_soaks(&with, &[soak("none lost")]), with);
        assert_eq!(with_soaks(&with, &[]), page);
    }

    #[test]
    fn only_what_ran_and_passed_is_met() {
        let tests = [test("case_01_one", 1), test("case_01_more", 1)];
        let both = [&tests[0], &tests[1]];
        let mut results = BTreeMap::from([("case_01_one".to_owned(), Outcome::Passed)]);
        assert!(judge(&case(1), &both, &results).starts_with("not shown"));
        results.insert("case_01_more".into(), Outcome::Passed);
        assert_eq!(judge(&case(1), &both, &results), "met");
        results.insert("case_01_more".into(), Outcome::Failed);
        assert_eq!(judge(&case(1), &both, &results), "**failed**");
        assert!(judge(&case(1), &[], &results).starts_with("not met"));
        let page = write(&[case(1)], &tests, &results, &[], &place());
        assert_eq!(known(&page), results);
    }
}
