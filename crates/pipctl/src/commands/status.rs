//! `pipctl status`: what the daemon publishes. Starts nothing, reads no configuration.

use std::path::Path;

use client::{CallError, Client, ConnectError, Locations};
use serde::Serialize;
use wire::{DaemonInfo, DetailsAnswer, Goal, Phase, ServiceView, Snapshot, WorkspaceView, code};

use super::uses::{self, Uses};
use super::{find, watch};
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::terminal::{Surroundings, Terminal};

/// `--json` with a daemon.
#[derive(Serialize)]
pub(super) struct Running<'a> {
    pub(super) running: bool,
    pub(super) daemon: &'a DaemonInfo,
    #[serde(flatten)]
    pub(super) snapshot: &'a Snapshot,
    /// With `--long`: what services use and pipd does not run, and whether it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uses: Option<&'a Uses>,
    /// With `--long`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<&'a DetailsAnswer>,
}

/// `--json` without one.
#[derive(Serialize)]
struct NotRunning {
    running: bool,
    message: String,
    /// Services that live without a daemon: nobody restarts them until there is one.
    living: Vec<Living>,
    workspaces: [(); 0],
}

#[derive(Serialize)]
struct Living {
    workspace: String,
    service: String,
}

pub(crate) fn run(
    args: &cli::Status,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let root = match &args.workspace {
        _ if args.all => None,
        named @ cli::Workspace { workspace: Some(_) } => Some(find::kept_root(named, surroundings)?.path),
        // Outside of any workspace the question can only be about all of them.
        here => find::kept_root(here, surroundings).ok().map(|root| root.path),
    };
    let locations = surroundings.locations()?;
    if args.watch {
        return watch::run(args, root.as_deref(), &locations, terminal);
    }
    let (mut client, snapshot) = match Client::connect_for_status(&locations, root.as_deref()) {
        Ok((client, snapshot)) => (client, snapshot?),
        Err(error) => return not_running(&error, &locations, args.json, terminal),
    };
    let snapshot = only(snapshot, &args.services, root.as_deref())?;
    let exit = snapshot.workspaces.iter().map(exit_of).fold(Exit::Ok, Exit::worst);
    let mut details = if args.long { details(&mut client, root.as_deref(), terminal)? } else { None };
    if let Some(details) = details.as_mut().filter(|_| !args.services.is_empty()) {
        details.services.retain(|service| args.services.contains(&service.name));
    }
    if args.json {
        let uses = args.long.then(|| uses::of(&snapshot, true));
        terminal.print_json(&Running {
            running: true,
            daemon: client.daemon(),
            snapshot: &snapshot,
            uses: uses.as_ref(),
            details: details.as_ref(),
        })?;
        return Ok(exit);
    }
    let uses = uses::of(&snapshot, args.long);
    let text = if snapshot.workspaces.is_empty() {
        match &root {
            Some(root) => format!(
                "{}: nothing was started here yet; start it: pipctl start\n{}",
                root.display(),
                render::snapshot(&snapshot, None, &uses, now_ms())
            ),
            None => render::list(&snapshot),
        }
    } else {
        render::snapshot(&snapshot, details.as_ref(), &uses, now_ms())
    };
    terminal.print(&text)?;
    Ok(exit)
}

/// What costs more than a glance; `None` from a daemon that does not know the question.
pub(super) fn details(
    client: &mut Client,
    root: Option<&Path>,
    terminal: &mut Terminal<'_>,
) -> Result<Option<DetailsAnswer>, Failure> {
    match client.details(root) {
        Ok(details) => Ok(Some(details)),
        Err(CallError::Refused(refusal)) if refusal.code == code::METHOD_NOT_FOUND => {
            terminal.tell("the pipd that runs is too old to tell more; put the new one in its place: pipctl daemon restart\n");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The services with these names, all when there are none. Each must be there.
fn only(mut snapshot: Snapshot, names: &[String], root: Option<&Path>) -> Result<Snapshot, Failure> {
    if names.is_empty() {
        return Ok(snapshot);
    }
    let known: Vec<&str> = snapshot
        .workspaces
        .iter()
        .flat_map(|view| view.services.iter().map(|service| service.name.as_str()))
        .collect();
    if let Some(missing) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(match root {
            Some(root) if snapshot.workspaces.is_empty() => find::never_started(root),
            Some(root) => find::unknown_service(missing, &known, &root.to_string_lossy()),
            None => find::unknown_service(missing, &known, "any workspace"),
        });
    }
    for view in &mut snapshot.workspaces {
        view.services.retain(|service| names.contains(&service.name));
    }
    snapshot.workspaces.retain(|view| !view.services.is_empty());
    Ok(snapshot)
}

fn not_running(
    error: &ConnectError,
    locations: &Locations,
    json: bool,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let none = matches!(error, ConnectError::NotRunning);
    let living = if none { locations.living() } else { Vec::new() };
    if json {
        let message = if none { "pipd is not running".into() } else { error.to_string() };
        let living = living.into_iter().map(|(workspace, service)| Living { workspace, service }).collect();
        terminal.print_json(&NotRunning { running: !none, message, living, workspaces: [] })?;
        return Ok(Exit::Unreachable);
    }
    match error {
        ConnectError::NotRunning if living.is_empty() => {
            Err(Failure::new(Exit::Unreachable, "pipd is not running, so nothing is; start it: pipctl start"))
        }
        ConnectError::NotRunning => {
            let (count, are) = match living.len() {
                1 => ("1 service".to_owned(), "is"),
                count => (format!("{count} services"), "are"),
            };
            let text = format!(
                "pipd is not running, but {count} of yours {are}; have them looked after again: pipctl daemon start"
            );
            Err(Failure::new(Exit::Unreachable, text))
        }
        error => Err(Failure::new(Exit::Unreachable, error.to_string())),
    }
}

/// What the states of a workspace's services come to.
fn exit_of(view: &WorkspaceView) -> Exit {
    view.services.iter().map(exit_of_service).fold(Exit::Ok, Exit::worst)
}

fn exit_of_service(service: &ServiceView) -> Exit {
    if service.goal == Goal::Down {
        return Exit::Ok;
    }
    match service.phase {
        Phase::Ready | Phase::External | Phase::Finished => Exit::Ok,
        Phase::Blocked => Exit::Blocked,
        Phase::Down | Phase::Spawning | Phase::Starting | Phase::Stopping | Phase::Quiet => Exit::Timeout,
        Phase::Unhealthy | Phase::Backoff | Phase::GaveUp | Phase::Unknown => Exit::Failed,
    }
}
