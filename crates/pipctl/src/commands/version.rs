//! `pipctl version`: of this program, of the daemon that runs and of the shims it looks after.

use std::collections::BTreeMap;

use serde::Serialize;
use wire::{DaemonInfo, Snapshot};

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shims: Vec<Shims>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// The shims of one release.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Shims {
    version: String,
    /// How many services they are the parents of.
    services: usize,
}

pub(crate) fn run(
    args: &cli::Version,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    // Which version does not answer is worth knowing too: an unreachable daemon is no failure here.
    let (daemon, shims, message) = match find::daemon_if_any(surroundings) {
        Ok(Some(mut client)) => {
            let daemon = client.daemon().clone();
            let shims = client.status(None).map(|snapshot| shims(&snapshot, &daemon.version));
            (Some(daemon), shims.unwrap_or_default(), None)
        }
        Ok(None) => (None, Vec::new(), Some("pipd is not running".to_owned())),
        Err(failure) => (None, Vec::new(), Some(failure.message)),
    };
    if args.json {
        let versions = Versions { pipctl: OWN, pipd: daemon.as_ref(), shims, message: message.as_deref() };
        terminal.print_json(&versions)?;
        return Ok(Exit::Ok);
    }
    let mut text = format!("pipctl {OWN}\n");
    match (&daemon, message) {
        (Some(daemon), _) => {
            text.push_str(&describe(daemon));
            text.push('\n');
            for shims in &shims {
                let s = if shims.services == 1 { "" } else { "s" };
                text.push_str(&format!("shims {} ({} service{s})\n", shims.version, shims.services));
            }
            if let Some(hint) = difference(daemon) {
                text.push_str(&format!("{hint}\n"));
            }
            if shims.iter().any(|shims| shims.version != daemon.version) {
                text.push_str(&format!(
                    "shims of another release are understood; a service gets one of {} when it is next restarted: \
                     pipctl restart\n",
                    daemon.version
                ));
            }
        }
        (None, message) => text.push_str(&format!("{}\n", message.unwrap_or_default())),
    }
    terminal.print(&text)?;
    Ok(Exit::Ok)
}

/// By release, the newest last.
fn shims(snapshot: &Snapshot, daemon: &str) -> Vec<Shims> {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    let services = snapshot.workspaces.iter().flat_map(|view| &view.services);
    for service in services.filter(|service| service.shim_pid.is_some()) {
        let version = match service.shim_version.as_deref() {
            None => daemon,
            Some("") => "unknown",
            Some(version) => version,
        };
        *counted.entry(version).or_default() += 1;
    }
    counted.into_iter().map(|(version, services)| Shims { version: version.to_owned(), services }).collect()
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
