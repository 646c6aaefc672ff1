//! `pipctl forget`: drop what is kept of a workspace. Says what goes before it goes, and leaves the folder alone.

use std::path::{Path, PathBuf};

use client::Client;
use run::layout::HostDir;
use run::record::{self, AutostartRecord, Durability};
use serde::Serialize;
use wire::{ForgetAnswer, Phase, ServiceView, StopParams, Text};

use super::{find, stop};
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::render::{plain, size};
use crate::terminal::{Surroundings, Terminal};

/// `--json`
#[derive(Serialize)]
struct Forgotten {
    #[serde(flatten)]
    answer: ForgetAnswer,
    /// What its records and logs took.
    bytes: u64,
}

pub(crate) fn run(
    args: &cli::Forget,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let named =
        cli::Workspace { workspace: args.folder.clone().or_else(|| args.workspace.workspace.clone()) };
    let root = find::kept_root(&named, surroundings)?.path;
    let mut client = find::daemon_or_start(surroundings, terminal, args.json)?;
    let snapshot = client.status(Some(&root))?;
    let Some(view) = find::view_of(&snapshot, &root) else {
        let said = format!("nothing is kept of {}; what there is: pipctl list", root.display());
        return Err(Failure::new(Exit::Usage, said));
    };
    let shown = plain(&root.to_string_lossy());
    let running: Vec<&str> =
        view.services.iter().filter(|service| runs(service)).map(|service| service.name.as_str()).collect();
    if !running.is_empty() && !args.stop {
        let said = format!(
            "{} of {shown} runs, so nothing was forgotten; to stop it first: pipctl forget --stop {shown}",
            running.join(", ")
        );
        return Err(Failure::new(Exit::Busy, said));
    }
    let hosts = surroundings.locations()?.hosts().to_vec();
    let bytes = hosts.iter().map(|host| taken(host.workspace(&view.id).path())).sum();
    if !args.yes {
        let ends =
            if running.is_empty() { String::new() } else { format!("stops {}, then ", running.join(", ")) };
        terminal.tell(&format!(
            "{ends}removes the logs, environment, ports and token of {shown} ({}); the folder itself is left alone\n",
            size(bytes)
        ));
        if args.json || !surroundings.interactive {
            let said = format!("nothing was forgotten; to have it done unasked: pipctl forget --yes {shown}");
            return Err(Failure::new(Exit::Usage, said));
        }
        if !terminal.confirm("forget it?") {
            terminal.tell("nothing was forgotten\n");
            return Ok(Exit::Failed);
        }
    }
    if !running.is_empty() {
        let exit = end(args, &root, &mut client, surroundings, terminal)?;
        if exit != Exit::Ok {
            terminal.tell("nothing was forgotten\n");
            return Ok(exit);
        }
    }
    let answer = client.forget(&root)?;
    say_nothing_of(&root, &hosts);
    if args.json {
        terminal.print_json(&Forgotten { answer, bytes })?;
    } else {
        terminal.print(&format!("forgot {shown}\n"))?;
    }
    Ok(Exit::Ok)
}

/// Stops what runs. A program that reads JSON gets the answer of that only when it is the last one.
fn end(
    args: &cli::Forget,
    root: &Path,
    client: &mut Client,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    if !args.json {
        let workspace = cli::Workspace { workspace: Some(root.to_owned()) };
        let stop = cli::Stop { force: args.force, workspace, ..cli::Stop::default() };
        return stop::run(&stop, surroundings, terminal);
    }
    let params = StopParams {
        root: root.into(),
        services: Vec::new(),
        no_wait: false,
        timeout_ms: None,
        force: args.force,
        when_idle: false,
        all_processes: false,
    };
    let answer = client.stop(params, &mut ())?;
    let exit = Exit::of_answer(&answer);
    if exit != Exit::Ok {
        terminal.print_json(&answer)?;
    }
    Ok(exit)
}

fn runs(service: &ServiceView) -> bool {
    let lives = matches!(
        service.phase,
        Phase::Spawning | Phase::Starting | Phase::Ready | Phase::Unhealthy | Phase::Stopping
    );
    lives || service.shim_pid.is_some()
}

/// Bytes of all files below a folder.
fn taken(folder: &Path) -> u64 {
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let mut bytes = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(data) if data.is_dir() => folders.push(entry.path()),
                Ok(data) => bytes += data.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

/// What was said about its coming back at login goes with it. Where that cannot be read it is left alone: a workspace
/// that is not there cannot come back.
fn say_nothing_of(root: &Path, hosts: &[HostDir]) {
    let Some(path) = hosts.first().map(HostDir::autostart_record) else { return };
    let Ok(Some(mut choices)) = record::read::<AutostartRecord>(&path) else { return };
    let before = choices.workspaces.len();
    let root = Text::from(root);
    choices.workspaces.retain(|choice| choice.root != root);
    if choices.workspaces.len() != before {
        let _ = record::write(&path, &choices, Durability::Synced);
    }
}
