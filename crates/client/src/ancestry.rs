//! Whether this process descends from a run, and asking that run's shim for a daemon.
//!
//! A daemon started here would otherwise die with, or be swept with, a service: a double fork lands at the
//! run's subreaper, and removing the marker is not enough.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use interprocess::local_socket::Stream;
use interprocess::local_socket::traits::Stream as _;
use run::protocol::Order;
use run::record::{MARKER, RunSpec};
use wire::Text;

use crate::{Locations, connect};

/// How far up the process table is climbed; deeper chains of parents do not occur.
const MAX_ANCESTORS: usize = 256;

/// Sockets of the shims this process may descend from, the nearest first.
pub(crate) fn shims_above(locations: &Locations) -> Vec<PathBuf> {
    let mut markers: Vec<String> = Vec::new();
    let mut sockets = Vec::new();
    markers.extend(std::env::var(MARKER).ok());
    let mut pid = i32::try_from(std::process::id()).unwrap_or(0);
    for _ in 0..MAX_ANCESTORS {
        let Ok(Some(info)) = os::process::info(pid) else { break };
        pid = info.ppid;
        if pid <= 1 {
            break;
        }
        // The marker travels by environment; whoever wiped theirs still has a shim among the parents.
        if let Ok(Some(marker)) = os::process::environ_value(pid, MARKER) {
            markers.extend(marker.into_string().ok());
        } else {
            sockets.extend(socket_of_shim(pid));
        }
    }
    markers.dedup();
    let by_marker =
        markers.iter().flat_map(|marker| locations.hosts().iter().map(|host| host.shim_socket(marker)));
    let mut all: Vec<PathBuf> = by_marker.chain(sockets).collect();
    // A shim of another state folder brings back that folder's daemon, which is not the one wanted here.
    let folders: Vec<PathBuf> =
        locations.hosts().iter().filter_map(|host| host.shim_sockets().canonicalize().ok()).collect();
    let is_ours = |path: &Path| {
        path.parent()
            .and_then(|folder| folder.canonicalize().ok())
            .is_some_and(|found| folders.contains(&found))
    };
    let mut seen = std::collections::HashSet::new();
    all.retain(|path| path.exists() && is_ours(path) && seen.insert(path.clone()));
    all
}

/// The socket of the shim with this pid, when it is one: a shim's argument is its run's folder.
fn socket_of_shim(pid: i32) -> Option<PathBuf> {
    let command = os::process::command(pid)?;
    let (program, arguments) = command.split_first()?;
    if Path::new(program).file_name()? != "pipd-shim" {
        return None;
    }
    arguments.iter().find_map(|argument| {
        let run = run::layout::RunDir::at(argument);
        let spec: RunSpec = run::record::read(&run.spec()).ok()??;
        Some(spec.socket.as_path().to_owned())
    })
}

/// Asks the shim behind `socket` to have `exe` started. The connection is returned so that it stays open
/// until the daemon answers.
pub(crate) fn ask(socket: &Path, exe: &Path) -> Option<Stream> {
    let stream = connect::open(socket).ok()??;
    stream.set_send_timeout(Some(Duration::from_millis(500))).ok()?;
    let line = wire::encode(&Order::StartDaemon { exe: Text::from(exe) }).ok()?;
    (&stream).write_all(&line).ok()?;
    Some(stream)
}
