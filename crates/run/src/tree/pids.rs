//! The members of a live run for those who only need their numbers at this moment: who may listen on the
//! port, who is watched.

use std::path::PathBuf;

use os::process::ProcessIdentity;

use super::{Scope, family, members};

/// Which run's members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The main process, alive or a zombie at this moment.
    pub main: Option<i32>,
    /// The shim, when it is the first of the run: everything below it belongs to the run.
    pub shim: Option<i32>,
    /// The value of `PIPD_RUN` in the run.
    pub marker: String,
    /// The host folder, for finding daemons and shims.
    pub host_dir: Option<PathBuf>,
}

/// The processes of the run, a person's in its terminals included. Empty when it cannot be told.
pub fn pids(query: &Query) -> Vec<i32> {
    let identity = |pid: Option<i32>| pid.and_then(|pid| ProcessIdentity::of(pid).ok().flatten());
    let scope = Scope {
        main: identity(query.main),
        proven: false,
        shim: identity(query.shim),
        marker: query.marker.clone(),
        host_dir: query.host_dir.clone().unwrap_or_default(),
        spare_terminals: false,
    };
    // Below a subreaper nothing escapes, so there is no need to look into environments.
    let complete = scope.shim.is_some() && cfg!(target_os = "linux");
    let tree = if complete { family(&scope) } else { members(&scope) };
    tree.map(|tree| tree.members.into_iter().map(|process| process.pid).collect()).unwrap_or_default()
}
