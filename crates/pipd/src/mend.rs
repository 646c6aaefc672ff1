//! Records of a run that are there and make no sense. *Unreadable* is not *absent*: nothing is concluded from them
//! while a process of the run lives. What the processes themselves show is written anew in their place.

use std::io;
use std::path::Path;

use os::process::{Liveness, ProcessIdentity, ProcessInfo};
use run::layout::{HostDir, RunDir};
use run::record::{self, Durability, RecordError, RunSpec, Started};
use tracing::warn;
use wire::Text;

use crate::clock::wall_ms;

/// A living process of a run, and the run's marker that it carries.
pub(crate) struct Marked {
    process: ProcessInfo,
    pub(crate) marker: String,
}

/// Where the folder of a run says that it belongs.
struct Place<'a> {
    host: &'a Path,
    workspace: &'a str,
    service: &'a str,
    run: u64,
}

fn place(dir: &RunDir) -> Option<Place<'_>> {
    // <host>/workspaces/<id>/services/<name>/runs/<number>
    let above: Vec<&Path> = dir.path().ancestors().take(7).collect();
    let name = |index: usize| above.get(index)?.file_name()?.to_str();
    Some(Place { host: above.get(6)?, workspace: name(4)?, service: name(2)?, run: name(0)?.parse().ok()? })
}

/// Every living process that carries the marker of the run in `dir`, oldest first.
///
/// # Errors
/// When the process table cannot be read: then nothing is known.
pub(crate) fn alive(dir: &RunDir) -> io::Result<Vec<Marked>> {
    let Some(place) = place(dir) else { return Ok(Vec::new()) };
    let prefix = format!("{}.{}.{}.", place.workspace, place.service, place.run);
    let user = nix::unistd::geteuid().as_raw();
    let mut found = Vec::new();
    for process in os::process::table()? {
        if process.uid != user || process.state == Liveness::Zombie {
            continue;
        }
        let marker = os::process::environ_value(process.pid, record::MARKER).ok().flatten();
        if let Some(marker) = marker.and_then(|marker| marker.into_string().ok())
            && marker.starts_with(&prefix)
        {
            found.push(Marked { process, marker });
        }
    }
    found.sort_by_key(|marked| (marked.process.start, marked.process.pid));
    Ok(found)
}

/// The process that the others come from: the oldest one that leads a group.
fn main_of(living: &[Marked]) -> Option<&Marked> {
    living.iter().find(|marked| marked.process.pgid == marked.process.pid).or_else(|| living.first())
}

/// A specification with which a run can be watched, stopped and buried, from what lives of it.
pub(crate) fn specification(dir: &RunDir, living: &[Marked]) -> Option<RunSpec> {
    let (place, main) = (place(dir)?, main_of(living)?);
    let host = HostDir::at(place.host);
    let pid = main.process.pid;
    let argv = os::process::command(pid).unwrap_or_default();
    Some(RunSpec {
        run: place.run,
        workspace: place.workspace.to_owned(),
        service: place.service.to_owned(),
        marker: main.marker.clone(),
        argv: argv.into_iter().map(Text::from).collect(),
        cwd: os::process::cwd(pid).map(|path| path.as_path().into()).unwrap_or_else(|_| Text::from("/")),
        env: Vec::new(),
        stop: wire::StopSpec::default(),
        log: wire::LogSpec::default(),
        log_dir: host.workspace(place.workspace).service(place.service).logs().as_path().into(),
        socket: host.shim_socket(&main.marker).as_path().into(),
        host_dir: place.host.into(),
        port: None,
        // Not known; ending what a person detached would be the worse mistake.
        spare_terminals: true,
        nofile: None,
        umask: None,
        adopted: false,
        token: None,
        at_ms: wall_ms(),
    })
}

/// A record of what was started, from what lives of it.
pub(crate) fn started(living: &[Marked]) -> Option<Started> {
    let main = main_of(living)?;
    let at_ms = os::process::started_ms(&main.process).unwrap_or_else(wall_ms);
    let main = main.process.identity().ok()?;
    // The shim that made it is dead; this daemon stands in for it.
    Some(Started { main, shim: ProcessIdentity::current().ok()?, at_ms })
}

/// Writes `record` where an unreadable one lies, which is put aside.
pub(crate) fn rewrite<T: serde::Serialize>(path: &Path, record: &T) -> Result<(), RecordError> {
    set_aside(path);
    record::write(path, record, Durability::Rename)
}

/// A record that cannot be read is put aside, never deleted.
pub(crate) fn set_aside(path: &Path) {
    match record::set_aside(path) {
        Ok(aside) => warn!(path = %aside.display(), "unreadable, set aside"),
        Err(error) => warn!(path = %path.display(), %error, "unreadable, and cannot be set aside"),
    }
}

/// Keeps a record that cannot be read out of the way, and says what became of it. What makes no sense is put aside; what
/// a newer pipd wrote, or what may be readable in a moment, is left where it is.
pub(crate) fn keep_away(path: &Path, error: &RecordError) -> String {
    let said = match error {
        RecordError::Newer { .. } => {
            format!(
                "{error}; it is left as it is; install that version again, then type: pipctl daemon restart"
            )
        }
        RecordError::Io { .. } => format!("{error}; type: pipctl daemon restart"),
        RecordError::Unreadable { .. } => match record::set_aside(path) {
            Ok(aside) => format!("{error}; set aside as {}", aside.display()),
            Err(rename) => format!("{error}; it could not be set aside either: {rename}"),
        },
    };
    warn!(said, "record");
    said
}

/// What people are told of a record that was put aside.
pub(crate) fn said_of(aside: &Path) -> String {
    format!(
        "{} could not be read and was set aside; what lives was found by its processes. Type: pipctl doctor",
        aside.display()
    )
}

/// Whether a record is there and makes no sense to this program. What the system refuses now it may give later.
pub(crate) fn makes_no_sense(error: &RecordError) -> bool {
    matches!(error, RecordError::Unreadable { .. } | RecordError::Newer { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_knows_its_place_by_its_folder() {
        let dir = HostDir::at("/s/hosts/h").workspace("w-1").service("web").run(7);
        let place = place(&dir).unwrap();
        assert_eq!((place.workspace, place.service, place.run), ("w-1", "web", 7));
        assert_eq!(place.host, Path::new("/s/hosts/h"));
    }
}
