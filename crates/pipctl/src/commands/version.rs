//! `pipctl version`: of this program and of the daemon that runs.

use serde::Serialize;
use wire::DaemonInfo;

use super::find;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::terminal::{Surroundings, Terminal};

/// The version of this program.
pub(crate) const OWN: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Versions<'a> {
    pipctl: &'a str,
    pipd: Option<&'a DaemonInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

pub(crate) fn run(
    args: &cli::Version,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    // Which version does not answer is worth knowing too: an unreachable daemon is no failure here.
    let (daemon, message) = match find::daemon_if_any(surroundings) {
        Ok(Some(client)) => (Some(client.daemon().clone()), None),
        Ok(None) => (None, Some("pipd is not running".to_owned())),
        Err(failure) => (None, Some(failure.message)),
    };
    if args.json {
        let versions = Versions { pipctl: OWN, pipd: daemon.as_ref(), message: message.as_deref() };
        terminal.print_json(&versions)?;
        return Ok(Exit::Ok);
    }
    let mut text = format!("pipctl {OWN}\n");
    match (&daemon, message) {
        (Some(daemon), _) => {
            text.push_str(&describe(daemon));
            text.push('\n');
            if let Some(hint) = difference(daemon) {
                text.push_str(&format!("{hint}\n"));
            }
        }
        (None, message) => text.push_str(&format!("{}\n", message.unwrap_or_default())),
    }
    terminal.print(&text)?;
    Ok(Exit::Ok)
}

/// `pipd 0.1.0 (pid 123, /path/pipd)`
pub(super) fn describe(daemon: &DaemonInfo) -> String {
    let exe = daemon.exe.as_ref().map(|exe| format!(", {}", exe.to_string_lossy())).unwrap_or_default();
    format!("pipd {} (pid {}{exe})", daemon.version, daemon.pid)
}

/// What to do when the two are not of one installation.
pub(crate) fn difference(daemon: &DaemonInfo) -> Option<String> {
    (daemon.version != OWN).then(|| {
        format!("pipd {} runs, this is pipctl {OWN}; put the new one in its place, services stay: pipctl daemon restart", daemon.version)
    })
}
