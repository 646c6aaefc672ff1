//! From a folder to its specification.

use wire::WorkspaceSpec;

use crate::config::{self, Loaded};
use crate::env::{captured_env, unnameable};
use crate::python::{self, Interpreter};
use crate::services::{self, Context};
use crate::{Caller, Error, Root};

/// Reads the configuration, looks for what is not configured, and takes the caller's environment along.
///
/// Nothing is started and no file is changed. Python is run at most once, for at most five seconds, and only when
/// no file says whether JupyterLab is installed.
pub fn load(root: &Root, caller: &Caller) -> Result<WorkspaceSpec, Error> {
    let loaded = config::read(&root.path, caller)?;
    let mut notes = vec![format!("workspace: {} ({})", root.path.display(), root.why)];
    let mut warnings = Vec::new();
    notes.extend(root.notes.iter().cloned());
    if root.path.join(config::PIPD_TOML).exists()
        && config::mentions_pipd(&root.path.join(config::PYPROJECT_TOML))
    {
        warnings
            .push("pyproject.toml has [tool.pipd] too; it is not read while there is a pipd.toml".to_owned());
    }
    let python = interpreter(root, caller, loaded.as_ref(), &mut warnings)?;
    notes.push(match &python {
        Some(python) => format!("python: {}", python.label),
        None => "python: none found".to_owned(),
    });
    warnings.extend(
        unnameable(caller)
            .into_iter()
            .map(|name| format!("the variable {name} was left out: its name is not UTF-8")),
    );

    let empty = config::Config::default();
    let mut context = Context {
        root: &root.path,
        caller,
        config: loaded.as_ref().map_or(&empty, |loaded| &loaded.config),
        config_file: loaded.as_ref().map(|loaded| loaded.source.path.as_path()),
        config_name: loaded.as_ref().map_or(config::PIPD_TOML, |loaded| loaded.name),
        python: python.as_ref(),
        notes,
        warnings,
        faults: Vec::new(),
        source: loaded.as_ref().map(|loaded| &loaded.source),
        absent: Vec::new(),
        absences: Vec::new(),
        looked: Vec::new(),
    };
    let services = services::plan(&mut context)?;
    let Context { notes, warnings, mut faults, absences, looked, .. } = context;
    let depends = services::depends(loaded.as_ref().map_or(&empty, |loaded| &loaded.config));
    if let Some(loaded) = loaded.filter(|_| !faults.is_empty()) {
        // Whoever has to correct the file is told everything at once.
        faults.extend(absences.into_iter().map(|absence| absence.fault));
        faults.sort_by_key(|fault| fault.span.start);
        return Err(loaded.source.fail(faults).into());
    }
    if services.is_empty() {
        if let Some(python) = &python {
            python.usable(&root.path, caller)?;
        }
        return Err(services::nothing_to_run(&root.path, caller, python.as_ref(), looked));
    }
    Ok(WorkspaceSpec {
        root: root.path.as_path().into(),
        env: captured_env(caller),
        services,
        notes,
        warnings,
        depends,
    })
}

fn interpreter(
    root: &Root,
    caller: &Caller,
    loaded: Option<&Loaded>,
    warnings: &mut Vec<String>,
) -> Result<Option<Interpreter>, Error> {
    let configured = loaded.and_then(|loaded| loaded.config.workspace.python.as_ref());
    let name = configured.map(|python| python.value.as_str());
    match (python::choose(&root.path, caller, name, warnings), configured, loaded) {
        (Ok(found), ..) => Ok(found),
        (Err(missing), Some(at), Some(loaded)) => {
            let fault = crate::diagnostic::Diagnostic::new(at.span.clone(), "no such interpreter", missing.0)
                .help("`python` is an interpreter or a virtual environment, such as \".venv\" or \"/usr/bin/python3\"");
            Err(loaded.source.clone().fail(vec![fault]).into())
        }
        // Only what is configured can be missing.
        (Err(_), ..) => Ok(None),
    }
}
