//! `pipctl daemon …`: pipd itself. Services keep running through all of it.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use client::{Client, ConnectError, StartDaemon};
use serde::Serialize;
use wire::{DaemonInfo, Snapshot};

use super::{find, version};
use crate::cli::DaemonCommand;
use crate::clock::{between, now_ms, span};
use crate::exit::{Exit, Failure};
use crate::render::plain;
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    command: &DaemonCommand,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    match command {
        DaemonCommand::Start => start(surroundings, terminal),
        DaemonCommand::Stop => stop(surroundings, terminal),
        DaemonCommand::Restart => restart(surroundings, terminal),
        DaemonCommand::Status { json } => status(*json, surroundings, terminal),
        DaemonCommand::Run => become_daemon(),
    }
}

fn start(surroundings: &Surroundings, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let already = find::daemon_if_any(surroundings)?;
    let word = if already.is_some() { "already runs" } else { "started" };
    let client = match already {
        Some(client) => client,
        None => find::daemon_or_start(surroundings, terminal, true)?,
    };
    terminal.print(&format!("{word}: {}\n", version::describe(client.daemon())))?;
    Ok(Exit::Ok)
}

fn stop(surroundings: &Surroundings, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let Some(mut client) = find::daemon_if_any(surroundings)? else {
        terminal.print("pipd is not running\n")?;
        return Ok(Exit::Ok);
    };
    let pid = client.daemon().pid;
    let living = pids(&client.status(None)?).len();
    client.daemon_stop()?;
    let rest = match living {
        0 => String::new(),
        1 => "; 1 service keeps running. Look after it again: pipctl daemon start".into(),
        n => format!("; {n} services keep running. Look after them again: pipctl daemon start"),
    };
    terminal.print(&format!("stopped pipd (pid {pid}){rest}\n"))?;
    Ok(Exit::Ok)
}

fn restart(surroundings: &Surroundings, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let locations = surroundings.locations()?;
    let exe = client::find_daemon()?;
    let mut before = BTreeMap::new();
    let mut old = None;
    match Client::connect(&locations) {
        Ok(mut client) => {
            // Before the old one is told to go: what cannot serve is found out while somebody still does.
            check(&exe).map_err(|why| {
                let text = format!(
                    "{} cannot serve: {why}; the daemon of before goes on (pid {}); mend it, then type: pipctl daemon restart",
                    exe.display(),
                    client.daemon().pid
                );
                Failure::new(Exit::Failed, text)
            })?;
            old = Some(client.daemon().clone());
            before = pids(&client.status(None)?);
            client.handover()?;
        }
        Err(ConnectError::NotRunning) => {}
        Err(error) => return Err(error.into()),
    }
    if let Err(error) = mend_autostart(&exe) {
        terminal.tell(&format!("what comes at login stays as it was: {error}\n"));
    }
    let mut client = Client::connect_or_start(&locations, StartDaemon { exe, on_wait: &mut |_| {} })?;
    let after = pids(&client.status(None)?);
    let kept = before.iter().filter(|(name, pid)| after.get(*name) == Some(pid)).count();
    let new = version::describe(client.daemon());
    let was = old.map_or_else(String::new, |old| format!(" (was {}, pid {})", old.version, old.pid));
    let mut text = format!("runs: {new}{was}\n");
    if !before.is_empty() {
        text.push_str(&format!("services: {kept} of {} kept their pid\n", before.len()));
    }
    for (name, pid) in before.iter().filter(|(name, pid)| after.get(*name) != Some(pid)) {
        text.push_str(&format!("  {name}: pid {pid} is gone; see: pipctl status --all\n"));
    }
    terminal.print(&text)?;
    Ok(if kept == before.len() { Exit::Ok } else { Exit::Failed })
}

/// How long a program may take to say whether it could serve.
const CHECK_PATIENCE: Duration = Duration::from_secs(5);

/// Lets a daemon's program say whether it could serve here.
fn check(exe: &Path) -> Result<(), String> {
    let mut child = Command::new(exe)
        .arg("--check")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < CHECK_PATIENCE => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("`{} --check` does not end", exe.display()));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut said);
    }
    match said.trim().lines().last() {
        Some(line) => Err(plain(line).trim_start_matches("pipd: ").to_owned()),
        None => Err(format!("`{} --check` ended with {status}", exe.display())),
    }
}

/// What comes at login is from now on what runs now.
fn mend_autostart(exe: &Path) -> Result<(), manager::ManagerError> {
    let Some(manager) = manager::of_this_user() else { return Ok(()) };
    let agent = manager::Agent::for_program(exe);
    if manager.installed()?.is_some_and(|installed| installed.same_state(&agent)) {
        manager.mend(&agent)?;
    }
    Ok(())
}

/// The processes of all services, by workspace and name.
fn pids(snapshot: &Snapshot) -> BTreeMap<String, i32> {
    let mut pids = BTreeMap::new();
    for view in &snapshot.workspaces {
        for service in &view.services {
            if let Some(pid) = service.pid {
                pids.insert(format!("{}/{}", view.id, service.name), pid);
            }
        }
    }
    pids
}

#[derive(Serialize)]
struct Status<'a> {
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<&'a DaemonInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

fn status(json: bool, surroundings: &Surroundings, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let mut client = match Client::connect(&surroundings.locations()?) {
        Ok(client) => client,
        Err(error) if json => {
            let running = !matches!(error, ConnectError::NotRunning);
            let status =
                Status { running, daemon: None, message: Some(error.to_string()), warnings: Vec::new() };
            terminal.print_json(&status)?;
            return Ok(Exit::Unreachable);
        }
        Err(error) => return Err(error.into()),
    };
    let snapshot = client.status(None)?;
    let daemon = client.daemon();
    if json {
        let status =
            Status { running: true, daemon: Some(daemon), message: None, warnings: snapshot.warnings };
        terminal.print_json(&status)?;
        return Ok(Exit::Ok);
    }
    let mut text = format!("{} is running", version::describe(daemon));
    if daemon.started_ms > 0 {
        text.push_str(&format!(", up {}", span(between(daemon.started_ms, now_ms()))));
    }
    text.push('\n');
    if let Some(state) = &daemon.state_dir {
        text.push_str(&format!("state    {}\n", plain(&state.to_string_lossy())));
    }
    text.push_str(&format!("log      {}\n", plain(&client.host_dir().daemon_log().to_string_lossy())));
    if !daemon.manager.is_empty() && daemon.manager != "none" {
        text.push_str(&format!("manager  {}\n", plain(&daemon.manager)));
    }
    let services: usize = snapshot.workspaces.iter().map(|view| view.services.len()).sum();
    text.push_str(&format!(
        "looks after {} in {}\n",
        counted(services, "service"),
        counted(snapshot.workspaces.len(), "workspace")
    ));
    for warning in &snapshot.warnings {
        text.push_str(&format!("warning: {}\n", plain(warning)));
    }
    text.extend(version::difference(daemon).map(|hint| hint + "\n"));
    terminal.print(&text)?;
    Ok(Exit::Ok)
}

/// For service managers and for watching it: this process becomes pipd.
fn become_daemon() -> Result<Exit, Failure> {
    let exe = client::find_daemon()?;
    let error = Command::new(&exe).exec();
    Err(Failure::new(
        Exit::Unreachable,
        format!("{}: cannot become pipd: {error}; look at it: ls -l {}", exe.display(), exe.display()),
    ))
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
