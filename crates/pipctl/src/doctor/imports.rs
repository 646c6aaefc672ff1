//! Modules that must be importable where the services run: with the interpreter, in the captured environment.

use serde::Deserialize;
use wire::ServiceSpec;

use super::{Check, Context, Finding, Level};

/// Imports one module after the other and says so before and after each: what kills Python is known too.
const SCRIPT: &str = include_str!("imports.py");

/// A library whose compiled part is the first to break when the system's libraries change.
const DEFAULT: &str = "numpy";

pub(super) struct Imports;

/// One line of the script.
#[derive(Debug, Deserialize)]
struct Line {
    module: String,
    /// `begun`, `ok`, `absent` or `failed`.
    state: String,
    #[serde(default)]
    error: String,
}

impl Check for Imports {
    fn name(&self) -> &'static str {
        "imports"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let Some(python) = context.python().filter(|python| python.fault.is_none()) else {
            return Vec::new();
        };
        let configured = context.examined().imports.clone();
        let asked_for = configured.is_some();
        let modules = configured.unwrap_or_else(|| vec![DEFAULT.to_owned()]);
        if modules.is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for service in places(context) {
            let who = service.map(|service| format!("{}: ", service.name)).unwrap_or_default();
            match context.ask(python, service, SCRIPT, &modules) {
                Ok(out) => found.extend(self.judge(&out, asked_for, &who)),
                Err(why) => {
                    let text = format!("{who}importing {} came to no end: {why}", modules.join(", "));
                    let command = format!("{} -c 'import {}'", python.path.display(), modules.join(", "));
                    found.push(Finding::new(self, Level::Warning, text).mend(command));
                }
            }
        }
        found
    }
}

impl Imports {
    fn judge(&self, out: &str, asked_for: bool, who: &str) -> Vec<Finding> {
        let lines: Vec<Line> =
            out.lines().filter_map(|line| serde_json::from_slice(line.as_bytes()).ok()).collect();
        let mut found = Vec::new();
        let mut well = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            let module = &line.module;
            match line.state.as_str() {
                "ok" => well.push(module.as_str()),
                // That numpy is wanted and not there is told where packages are counted.
                "absent" if !asked_for => {}
                "absent" => {
                    let text = format!("{who}{module} is not installed");
                    let package = module.split('.').next().unwrap_or(module);
                    let command = format!(".venv/bin/python -m pip install {package}");
                    found.push(Finding::new(self, Level::Problem, text).mend(command));
                }
                "failed" => {
                    let text = format!("{who}{module} is installed and cannot be imported: {}", line.error);
                    found.push(Finding::new(self, Level::Problem, text).mend(repair(&line.error)));
                }
                // Nothing came after it: importing it ended Python itself.
                "begun" if index + 1 == lines.len() => {
                    let text = format!("{who}importing {module} ends Python itself");
                    found.push(Finding::new(self, Level::Problem, text).mend(repair("")));
                }
                _ => {}
            }
        }
        if !well.is_empty() {
            found.push(Finding::new(self, Level::Ok, format!("{who}{}", well.join(", "))));
        }
        found
    }
}

/// A library of the system that is not found is a matter of the shell the environment was captured in; everything else
/// of the packages.
fn repair(error: &str) -> &'static str {
    if error.contains("cannot open shared object file") || error.contains("Library not loaded") {
        "pipctl env refresh, in a shell where the import works; then: pipctl restart"
    } else {
        "pipctl setup --fresh"
    }
}

/// One service for each environment that was captured; none when there are no services.
fn places(context: &Context) -> Vec<Option<&ServiceSpec>> {
    let services = context.services();
    let of = |service: &ServiceSpec| {
        let record = context.record()?;
        record.services.iter().find(|known| known.spec.name == service.name)?.environment.clone()
    };
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for service in services {
        let environment = of(service);
        if !seen.contains(&environment) {
            seen.push(environment);
            found.push(Some(service));
        }
    }
    if found.is_empty() {
        found.push(None);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(out: &str, asked_for: bool) -> Vec<(Level, String)> {
        let found = Imports.judge(out, asked_for, "");
        found.into_iter().map(|finding| (finding.level, finding.text)).collect()
    }

    #[test]
    fn each_end_of_an_import_has_its_words() {
        let out = "{\"module\":\"a\",\"state\":\"begun\"}\n{\"module\":\"a\",\"state\":\"ok\"}\n\
                   {\"module\":\"b\",\"state\":\"absent\"}\n{\"module\":\"c\",\"state\":\"begun\"}\n";
        let told = levels(out, true);
        assert_eq!(told[0], (Level::Problem, "b is not installed".into()));
        assert_eq!(told[1], (Level::Problem, "importing c ends Python itself".into()));
        assert_eq!(told[2], (Level::Ok, "a".into()));
    }

    #[test]
    fn numpy_that_nobody_wants_is_nothing_to_speak_of() {
        assert_eq!(levels("{\"module\":\"numpy\",\"state\":\"absent\"}\n", false), []);
    }

    #[test]
    fn a_missing_library_is_a_matter_of_the_environment() {
        assert!(repair("libstdc++.so.6: cannot open shared object file").contains("env refresh"));
        assert!(repair("No module named 'x'").contains("setup"));
    }
}
