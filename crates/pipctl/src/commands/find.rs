//! The workspace and the daemon a verb is about.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Client, ConnectError, StartDaemon};
use wire::{ServiceView, Snapshot, Text, WorkspaceSpec, WorkspaceView};
use workspace::{Caller, Root};

use crate::cli;
use crate::exit::{Exit, Failure};
use crate::survival;
use crate::terminal::{Surroundings, Terminal};

/// Who calls, for the `workspace` crate.
pub(crate) fn caller(surroundings: &Surroundings) -> Caller {
    Caller {
        cwd: surroundings.cwd.clone(),
        env: surroundings.env.clone(),
        home: surroundings.home.clone(),
        is_root: surroundings.is_root,
        umask: surroundings.umask,
    }
}

fn explained(error: &workspace::Error) -> Failure {
    // Written with styles; the stream strips them where they do not belong.
    Failure::new(Exit::Usage, error.render(true))
}

/// The workspace's folder; reads no configuration, so it works with a broken one.
pub(crate) fn root(args: &cli::Workspace, surroundings: &Surroundings) -> Result<Root, Failure> {
    let start = args.workspace.as_deref().unwrap_or(&surroundings.cwd);
    workspace::find_root(start, &caller(surroundings)).map_err(|error| {
        let kept =
            matches!(error, workspace::Error::Start { .. }).then(|| kept_root(args, surroundings).ok());
        kept.flatten().map_or_else(|| explained(&error), |root| gone(&root.path))
    })
}

/// A workspace of which only records are left here.
fn gone(root: &Path) -> Failure {
    let root = root.display();
    let said = format!(
        "{root} is gone: deleted, or moved. Where it is now, type the same; to stop what runs of it: pipctl stop -w {root}; \
         to drop what is kept of it: pipctl forget {root}"
    );
    Failure::new(Exit::Usage, said)
}

/// The same for verbs that need no folder: one that was deleted or moved is found by where it was, by its name or its
/// identifier, as far as that is on record.
pub(crate) fn kept_root(args: &cli::Workspace, surroundings: &Surroundings) -> Result<Root, Failure> {
    let start = args.workspace.as_deref().unwrap_or(&surroundings.cwd);
    let error = match workspace::find_root(start, &caller(surroundings)) {
        Ok(root) => return Ok(root),
        Err(error) => error,
    };
    let hosts = surroundings.locations()?.hosts().to_vec();
    let is_there = matches!(error, workspace::Error::NoWorkspace { .. });
    match run::workspace::meant(&hosts, start, &surroundings.cwd) {
        // In a folder that is there, only what contains it can be meant.
        Ok(Some(root)) if !is_there || contains(&root, start, surroundings) => {
            Ok(Root { path: root.as_path().to_owned(), why: "it is on record".into(), notes: Vec::new() })
        }
        Ok(_) => Err(explained(&error)),
        Err(roots) => {
            let roots: Vec<String> = roots.iter().map(Text::to_string_lossy).collect();
            let said = format!(
                "several workspaces are called {}: {}; name one by its path, with -w",
                start.display(),
                roots.join(", ")
            );
            Err(Failure::new(Exit::Usage, said))
        }
    }
}

fn contains(root: &Text, start: &Path, surroundings: &Surroundings) -> bool {
    run::folder::spelled_out(start, &surroundings.cwd).starts_with(root.as_path())
}

/// The workspace with its services and the caller's environment.
pub(crate) fn spec(
    args: &cli::Workspace,
    surroundings: &Surroundings,
) -> Result<(PathBuf, WorkspaceSpec), Failure> {
    let root = root(args, surroundings)?;
    let spec = workspace::load(&root, &caller(surroundings)).map_err(|error| explained(&error))?;
    Ok((root.path, spec))
}

/// Refuses names the configuration does not have, before anything is started.
pub(crate) fn check_names(names: &[String], spec: &WorkspaceSpec) -> Result<(), Failure> {
    let known: Vec<&str> = spec.services.iter().map(|service| service.name.as_str()).collect();
    match names.iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(unknown_service(name, &known, &spec.root.to_string_lossy())),
        None => Ok(()),
    }
}

/// "no such service", with those there are.
pub(crate) fn unknown_service(name: &str, known: &[&str], root: &str) -> Failure {
    let there = if known.is_empty() {
        "it has no services".to_owned()
    } else {
        format!("it has: {}", known.join(", "))
    };
    let verb = known
        .first()
        .map_or("pipctl start".to_owned(), |first| format!("pipctl status    pipctl why {first}"));
    Failure::new(Exit::Usage, format!("no service `{name}` in {root}; {there}. Try: {verb}"))
}

/// The daemon that runs. Starts none.
pub(crate) fn daemon(surroundings: &Surroundings) -> Result<Client, Failure> {
    Ok(Client::connect(&surroundings.locations()?)?)
}

/// As [`daemon`], `None` when none runs.
pub(crate) fn daemon_if_any(surroundings: &Surroundings) -> Result<Option<Client>, Failure> {
    match Client::connect(&surroundings.locations()?) {
        Ok(client) => Ok(Some(client)),
        Err(ConnectError::NotRunning) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The daemon that runs; a new one when services live without one, since only a daemon can have them stopped.
pub(crate) fn daemon_of_the_living(
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
    quiet: bool,
) -> Result<Client, Failure> {
    match Client::connect(&surroundings.locations()?) {
        Err(ConnectError::NotRunning) if !surroundings.locations()?.living().is_empty() => {
            daemon_or_start(surroundings, terminal, quiet)
        }
        connected => Ok(connected?),
    }
}

/// The daemon that runs, or a new one. `quiet`: a person is not told of a new one.
pub(crate) fn daemon_or_start(
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
    quiet: bool,
) -> Result<Client, Failure> {
    let locations = surroundings.locations()?;
    // The common case needs no program: it runs.
    if let Some(client) = daemon_if_any(surroundings)? {
        return Ok(client);
    }
    let mut started = false;
    let mut on_wait = |_: Duration| started = true;
    let daemon = StartDaemon { exe: client::find_daemon()?, on_wait: &mut on_wait };
    let client = Client::connect_or_start(&locations, daemon)?;
    if started && !quiet {
        let line = format!("pipd was not running; started it (pid {})", client.daemon().pid);
        terminal.tell(&format!("{}\n", crate::render::style::Styled(line, crate::render::style::FAINT)));
        if let Some(warning) = survival::warning(&client.daemon().manager, surroundings) {
            terminal.tell(&format!("{warning}\n"));
        }
    }
    Ok(client)
}

/// The view of one workspace, when the daemon knows it.
pub(crate) fn view_of<'a>(snapshot: &'a Snapshot, root: &Path) -> Option<&'a WorkspaceView> {
    let root = Text::from(root);
    snapshot.workspaces.iter().find(|view| view.root.as_ref() == Some(&root))
}

/// The service with this name, or why there is none.
pub(crate) fn service_of<'a>(
    snapshot: &'a Snapshot,
    root: &Path,
    name: &str,
) -> Result<&'a ServiceView, Failure> {
    let Some(view) = view_of(snapshot, root) else {
        return Err(never_started(root));
    };
    view.services.iter().find(|service| service.name == name).ok_or_else(|| {
        let known: Vec<&str> = view.services.iter().map(|service| service.name.as_str()).collect();
        unknown_service(name, &known, &root.to_string_lossy())
    })
}

/// The daemon has not heard of this workspace.
pub(crate) fn never_started(root: &Path) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("{}: nothing was started here yet; start it: pipctl start", root.display()),
    )
}
