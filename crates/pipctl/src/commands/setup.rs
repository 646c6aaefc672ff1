//! `pipctl setup`: the environment of the workspace, made where it is missing, with the packages it wants.

use std::fs::File;
use std::path::{Path, PathBuf};

use run::layout::workspace_id;

use super::find;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::interrupt::Flag;
use crate::setup::{Bar, Done, Fault, Tool, Work, run as set_up};
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    args: &cli::Setup,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let root = find::root(&args.workspace, surroundings)?;
    let examined = workspace::examine(&root, &find::caller(surroundings));
    let tool = tool(surroundings, examined.python.as_ref())?;
    let (log, log_path) = log(surroundings, &root.path)?;
    let wants = examined.wants.as_ref();
    match wants {
        Some(wants) => terminal.tell(&format!("{} with {}\n", wants.name(), tool.name())),
        None => terminal.tell("no requirements.txt and no [project] in pyproject.toml: no packages\n"),
    }
    let flag = Flag::begin(surroundings.catch_interrupts);
    let bar = Bar::new(terminal.err, surroundings.interactive);
    let mut work = Work { root: &root.path, env: &surroundings.env, flag: &flag, log, bar };
    let done = set_up(&mut work, examined.python.as_ref(), wants, &tool, args.fresh);
    work.bar.clear();
    match done {
        Ok(done) => {
            terminal.print(&summary(&done, &root.path))?;
            terminal.print(&to_restart(&done, &root.path, surroundings))?;
            Ok(Exit::Ok)
        }
        Err(Fault::Interrupted) => Err(Failure::new(
            Exit::Interrupted,
            "interrupted; the environment is as it was. Go on: pipctl setup",
        )),
        Err(fault) => Err(Failure::new(
            Exit::Failed,
            format!("{fault}\nthe environment is as it was; all that was said: less {}", log_path.display()),
        )),
    }
}

fn summary(done: &Done, root: &Path) -> String {
    let mut text = String::new();
    if done.made {
        text.push_str("made the environment\n");
    }
    match done.installed.as_slice() {
        [] if !done.made => text.push_str("everything is there already\n"),
        [] => {}
        [one] => text.push_str(&format!("installed {one}\n")),
        many => text.push_str(&format!("installed {} packages\n", many.len())),
    }
    if let Some(kept) = &done.kept {
        let shown = kept.strip_prefix(root).unwrap_or(kept).display();
        text.push_str(&format!("the one of before could not run and is kept; remove it: rm -r {shown}\n"));
    }
    text
}

/// Which services still run with what was there before. None is restarted: kernels may be at work.
fn to_restart(done: &Done, root: &Path, surroundings: &Surroundings) -> String {
    if !done.made && done.installed.is_empty() {
        return String::new();
    }
    let Ok(Some(mut client)) = find::daemon_if_any(surroundings) else { return String::new() };
    let Ok(snapshot) = client.status(Some(root)) else { return String::new() };
    let services = find::view_of(&snapshot, root).map(|view| view.services.as_slice()).unwrap_or_default();
    let running: Vec<&str> = services
        .iter()
        .filter(|service| service.pid.is_some())
        .map(|service| service.name.as_str())
        .collect();
    if running.is_empty() {
        return String::new();
    }
    let (run, names) = (if running.len() == 1 { "runs" } else { "run" }, running.join(", "));
    format!(
        "{names} still {run} with the packages of before; when it suits you: pipctl restart {}\n",
        running.join(" ")
    )
}

/// uv where there is one, else pip; and the Python that makes environments.
fn tool(surroundings: &Surroundings, python: Option<&workspace::Python>) -> Result<Tool, Failure> {
    let on_path = |names: &[&str]| -> Option<PathBuf> {
        let path = surroundings.var("PATH")?;
        let folders: Vec<PathBuf> =
            std::env::split_paths(path).filter(|folder| folder.is_absolute()).collect();
        names
            .iter()
            .find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path)))
    };
    // An environment's own Python would make environments that hang on it.
    let outside =
        |path: &PathBuf| !path.ancestors().nth(2).is_some_and(|prefix| prefix.join("pyvenv.cfg").exists());
    let base = python
        .filter(|python| python.prefix.is_none() && python.fault.is_none())
        .map(|python| python.path.clone())
        .or_else(|| on_path(&["python3", "python"]).filter(outside))
        .or_else(|| on_path(&["python3", "python"]));
    match (on_path(&["uv"]), base) {
        (Some(uv), python) => Ok(Tool::Uv { uv, python }),
        (None, Some(python)) => Ok(Tool::Pip { python }),
        (None, None) => Err(Failure::new(
            Exit::Blocked,
            "no python3 and no uv on the PATH; install one, then: pipctl setup",
        )),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

fn log(surroundings: &Surroundings, root: &Path) -> Result<(File, PathBuf), Failure> {
    let locations = surroundings.locations()?;
    let Some(host) = locations.hosts().first() else {
        return Err(Failure::new(Exit::Failed, "there is no folder for the log; type: pipctl doctor"));
    };
    let path = host.setup_log(&workspace_id(root));
    let opened = path.parent().map_or(Ok(()), os::paths::private_dir).and_then(|()| File::create(&path));
    opened.map(|file| (file, path.clone())).map_err(|error| {
        Failure::new(Exit::Failed, format!("{}: {error}; type: pipctl doctor", path.display()))
    })
}
