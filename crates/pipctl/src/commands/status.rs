//! `pipctl status`: what the daemon publishes. Starts nothing, reads no configuration.

use client::{ConnectError, Locations};
use serde::Serialize;
use wire::{DaemonInfo, Goal, Phase, ServiceView, Snapshot, WorkspaceView};

use super::uses::{self, Uses};
use super::{find, usage};
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::terminal::{Surroundings, Terminal};

/// `--json` with a daemon.
#[derive(Serialize)]
struct Running<'a> {
    running: bool,
    daemon: &'a DaemonInfo,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    /// With `--long`: what services use and pipd does not run, and whether it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<&'a Uses>,
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
        named @ cli::Workspace { workspace: Some(_) } => Some(find::root(named, surroundings)?.path),
        // Outside of any workspace the question can only be about all of them.
        here => find::root(here, surroundings).ok().map(|root| root.path),
    };
    let locations = surroundings.locations()?;
    let (client, snapshot) = match client::Client::connect_for_status(&locations, root.as_deref()) {
        Ok((client, snapshot)) => (client, snapshot?),
        Err(error) => return not_running(&error, &locations, args.json, terminal),
    };
    let exit = snapshot.workspaces.iter().map(exit_of).fold(Exit::Ok, Exit::worst);
    if args.json {
        let uses = args.long.then(|| uses::of(&snapshot, true));
        let running =
            Running { running: true, daemon: client.daemon(), snapshot: &snapshot, uses: uses.as_ref() };
        terminal.print_json(&running)?;
        return Ok(exit);
    }
    let uses = uses::of(&snapshot, args.long);
    let usages = args.long.then(|| usage::of(&snapshot));
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
        render::snapshot(&snapshot, usages.as_ref(), &uses, now_ms())
    };
    terminal.print(&text)?;
    Ok(exit)
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
        Phase::Down | Phase::Spawning | Phase::Starting | Phase::Stopping => Exit::Timeout,
        Phase::Unhealthy | Phase::Backoff | Phase::GaveUp | Phase::Unknown => Exit::Failed,
    }
}
