//! The cases, as kept by hand, and the tests that name them, as found in the sources.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// One fault.
pub(crate) struct Case {
    pub(crate) number: u32,
    pub(crate) family: String,
    pub(crate) fault: String,
    pub(crate) required: String,
    /// What a green test leaves open.
    pub(crate) except: Option<String>,
    /// Why it is not met, or not shown.
    pub(crate) not_met: Option<String>,
}

/// One test.
pub(crate) struct Test {
    pub(crate) name: String,
    /// From the root of the repository.
    pub(crate) file: String,
    pub(crate) cases: Vec<u32>,
}

/// A long run, as it was recorded.
pub(crate) struct Soak {
    pub(crate) date: String,
    pub(crate) system: String,
    pub(crate) case: i64,
    pub(crate) seconds: i64,
    pub(crate) what: String,
    pub(crate) result: String,
}

fn table(path: &Path) -> Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    text.parse().with_context(|| format!("{} makes no sense", path.display()))
}

fn text(entry: &toml::Table, key: &str) -> Option<String> {
    entry.get(key)?.as_str().map(str::to_owned)
}

/// The cases, in the order of the file.
pub(crate) fn read(root: &Path) -> Result<Vec<Case>> {
    let path = root.join("tests/cases.toml");
    let table = table(&path)?;
    let mut cases = Vec::new();
    for entry in table.get("case").and_then(toml::Value::as_array).into_iter().flatten() {
        let entry = entry.as_table().context("a case must be a table")?;
        let number = entry.get("number").and_then(toml::Value::as_integer);
        let (Some(number), Some(family), Some(fault), Some(required)) =
            (number, text(entry, "family"), text(entry, "fault"), text(entry, "required"))
        else {
            bail!("{}: number, family, fault and required expected in {entry}", path.display());
        };
        cases.push(Case {
            number: u32::try_from(number).context("the number of a case")?,
            family,
            fault,
            required,
            except: text(entry, "except"),
            not_met: text(entry, "not_met"),
        });
    }
    if !cases.is_sorted_by(|one, other| one.number < other.number) {
        bail!("{}: the numbers must rise", path.display());
    }
    Ok(cases)
}

/// The long runs, newest last. None where none was recorded.
pub(crate) fn soaks(root: &Path) -> Result<Vec<Soak>> {
    let path = root.join("tests/soaks.toml");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let table = table(&path)?;
    let entries = table.get("soak").and_then(toml::Value::as_array).into_iter().flatten();
    entries
        .map(|entry| {
            let number = |key| entry.get(key).and_then(toml::Value::as_integer);
            let text = |key| text(entry.as_table()?, key);
            let soak = || {
                Some(Soak {
                    date: text("date")?,
                    system: text("system")?,
                    case: number("case")?,
                    seconds: number("seconds")?,
                    what: text("what")?,
                    result: text("result")?,
                })
            };
            soak().with_context(|| format!("{}: something is missing in {entry}", path.display()))
        })
        .collect()
}

/// Every test that names a case, by file and name.
pub(crate) fn tests(root: &Path) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for folder in ["tests", "crates", "xtask/tests"] {
        walk(root, &root.join(folder), &mut tests)?;
    }
    tests.sort_by(|one, other| (&one.file, &one.name).cmp(&(&other.file, &other.name)));
    Ok(tests)
}

fn walk(root: &Path, folder: &Path, tests: &mut Vec<Test>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            walk(root, &path, tests)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = std::fs::read_to_string(&path)
                .with_context(|| format!("failed to read {}", path.display()))?;
            let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            tests.extend(names(&source).map(|name| Test {
                cases: numbers(name),
                name: name.to_owned(),
                file: file.clone(),
            }));
        }
    }
    Ok(())
}

fn names(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("fn ")?.split_once('('))
        .map(|(name, _)| name)
        .filter(|name| !numbers(name).is_empty())
}

/// `case_06_07_storms` tells of 6 and 7.
pub(crate) fn numbers(name: &str) -> Vec<u32> {
    let Some(rest) = name.strip_prefix("case_") else { return Vec::new() };
    rest.split('_').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_cases() {
        assert_eq!(numbers("case_06_07_never_a_storm"), [6, 7]);
        assert_eq!(numbers("case_33_200_daemons"), [33, 200], "a word of digits is taken for a case");
        assert_eq!(numbers("a_case_06"), Vec::<u32>::new());
        let source = "#[test]\nfn case_01_one() {\n    fn helper() {}\n}\n\n    fn case_02_two(x: u8) {";
        assert_eq!(names(source).collect::<Vec<_>>(), ["case_01_one", "case_02_two"]);
    }
}
