//! The interpreter and its environment: missing, moved, broken, made by a Python that is another one now.

use std::fs;
use std::path::{Path, PathBuf};

use workspace::Python;

use super::{Check, Context, Finding, Level};

pub(super) struct Interpreter;

impl Check for Interpreter {
    fn name(&self) -> &'static str {
        "interpreter"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        if context.root().is_none() {
            return Vec::new();
        }
        let Some(python) = context.python() else {
            let text = "no Python: no .venv, no venv, no python3 on the PATH";
            return vec![
                Finding::new(self, Level::Problem, text).mend("install python3, then: pipctl setup"),
            ];
        };
        if let Some(fault) = &python.fault {
            let why = nix(python).unwrap_or_default();
            return vec![Finding::new(self, Level::Problem, format!("{fault}{why}")).verb(&["setup"])];
        }
        let mut found = Vec::new();
        let version = match context.facts() {
            Some(Ok(facts)) => facts.version.clone(),
            Some(Err(why)) => {
                return vec![Finding::new(self, Level::Problem, why.clone()).verb(&["setup", "--fresh"])];
            }
            None => String::new(),
        };
        let changed = python.prefix.as_deref().and_then(|prefix| changed(prefix, &version));
        if let Some(made_by) = changed {
            let text = format!(
                "{} is Python {version}, and its packages were installed for {made_by}: they are not seen",
                python.label
            );
            found.push(Finding::new(self, Level::Problem, text).verb(&["setup", "--fresh"]));
        } else if python.prefix.is_none() && context.examined().wants.is_some() {
            let text = format!("no .venv: services run with {}, Python {version}", python.label);
            found.push(Finding::new(self, Level::Warning, text).verb(&["setup"]));
        } else {
            found.push(Finding::new(self, Level::Ok, format!("{}, Python {version}", python.label)));
        }
        found.extend(python.prefix.as_deref().and_then(moved).map(|from| {
            let text = format!(
                "{} was made as {}: its scripts (pip, jupyter) run the Python there; services do not, they run \
                 `bin/python -m …`",
                python.label,
                from.display()
            );
            Finding::new(self, Level::Warning, text).verb(&["setup", "--fresh"])
        }));
        found
    }
}

/// For a link into the Nix store that leads nowhere: why it does.
fn nix(python: &Python) -> Option<String> {
    let mut at = python.path.clone();
    for _ in 0..40 {
        if at.starts_with("/nix/store") && at.symlink_metadata().is_err() {
            return Some(" (that Nix store path was collected as garbage)".to_owned());
        }
        let target = at.read_link().ok()?;
        at = at.parent().map_or(target.clone(), |folder| folder.join(&target));
    }
    None
}

/// The Python whose packages an environment has, when that is not the one it runs.
fn changed(prefix: &Path, version: &str) -> Option<String> {
    let minor = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
    let now = minor(version);
    if now.is_empty() || prefix.join(format!("lib/python{now}/site-packages")).is_dir() {
        return None;
    }
    let libraries = fs::read_dir(prefix.join("lib")).ok()?.flatten();
    let mut others = libraries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let version = name.strip_prefix("python")?.to_owned();
        entry.path().join("site-packages").is_dir().then_some(version)
    });
    others.next()
}

/// Where an environment was made, when that is another place: its scripts name that place's Python.
fn moved(prefix: &Path) -> Option<PathBuf> {
    let bin = prefix.join("bin");
    let first_line = |name: &str| {
        let bytes = fs::read(bin.join(name)).ok()?;
        let line = bytes.split(|&byte| byte == b'\n').next()?.strip_prefix(b"#!")?;
        Some(PathBuf::from(String::from_utf8_lossy(line).trim()))
    };
    let python = ["pip", "pip3", "jupyter", "uvicorn"].into_iter().find_map(first_line)?;
    let made = python.parent()?.parent()?;
    let same = |one: &Path, other: &Path| match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    };
    // `#!/bin/sh` and `#!/usr/bin/env python` name no environment.
    let is_environment = python.parent().is_some_and(|bin| bin.ends_with("bin"))
        && python.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python"));
    (is_environment && !same(made, prefix)).then(|| made.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_knows_where_it_was_made() {
        let world = tempfile::tempdir().unwrap();
        let venv = world.path().join("a/.venv");
        fs::create_dir_all(venv.join("bin")).unwrap();
        let script = format!("#!{}/bin/python3\nimport pip\n", venv.display());
        fs::write(venv.join("bin/pip"), script).unwrap();
        assert_eq!(moved(&venv), None);
        fs::rename(world.path().join("a"), world.path().join("b")).unwrap();
        assert_eq!(moved(&world.path().join("b/.venv")), Some(venv.clone()));
        fs::write(world.path().join("b/.venv/bin/pip"), "#!/bin/sh\n").unwrap();
        assert_eq!(moved(&world.path().join("b/.venv")), None);
    }

    #[test]
    fn packages_of_another_python_are_noticed() {
        let world = tempfile::tempdir().unwrap();
        fs::create_dir_all(world.path().join("lib/python3.11/site-packages")).unwrap();
        assert_eq!(changed(world.path(), "3.11.7"), None);
        assert_eq!(changed(world.path(), "3.12.1"), Some("3.11".to_owned()));
        assert_eq!(changed(world.path(), ""), None);
    }

    #[test]
    fn a_vanished_store_path_is_named() {
        let world = tempfile::tempdir().unwrap();
        let path = world.path().join("python");
        std::os::unix::fs::symlink("/nix/store/0000-python3-3.11/bin/python3", &path).unwrap();
        let python =
            Python { path, label: String::new(), prefix: None, is_venv: true, by_uv: false, fault: None };
        assert!(nix(&python).is_some_and(|why| why.contains("garbage")));
    }
}
