//! The processes of a run, as the daemon needs them: by number, quickly.

use run::tree::{Scope, Tree};

use crate::service::LiveRun;

/// Whose processes.
pub(crate) fn scope(live: &LiveRun, spare_terminals: bool) -> Scope {
    Scope {
        main: live.main.clone(),
        proven: true,
        // A replacement shim is nobody's parent: without it the search goes by the marker.
        shim: if live.replaced_shim { None } else { live.shim.clone() },
        marker: live.marker.clone(),
        host_dir: live.host_dir.clone(),
        spare_terminals,
    }
}

/// What belongs to the run, and what a person runs in its terminals. A process table that cannot be read gives nobody, which proves nothing.
pub(crate) fn tree(scope: &Scope) -> Tree {
    let found = if scope.shim.is_some() { run::tree::family(scope) } else { run::tree::members(scope) };
    found.unwrap_or_default()
}

/// Members of the run, by number.
pub(crate) fn pids(scope: &Scope) -> Vec<i32> {
    tree(scope).members.iter().map(|process| process.pid).collect()
}
