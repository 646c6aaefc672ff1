//! The daemons and shims of this host: whoever wrote its name into a lock and is still that process.

use std::path::Path;

use os::process::ProcessIdentity;

use crate::layout::HostDir;

/// Runs of a service that are looked at, the newest: a shim that still lives serves one of them.
const NEWEST_RUNS: usize = 3;

/// A process that sweeps pass by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) process: ProcessIdentity,
    /// What is below a shim belongs to its run; a daemon only happens to be above.
    pub(crate) is_shim: bool,
}

/// Everything that is recorded as an owner. A record that outlived its process does no harm: identities are
/// compared.
pub(crate) fn owners(host: &HostDir) -> Vec<Owner> {
    let mut found = Vec::new();
    found.extend(os::lock::owner(&host.daemon_lock()).map(|process| Owner { process, is_shim: false }));
    for workspace in names(&host.workspaces()) {
        let workspace = host.workspace(&workspace);
        for service in names(&workspace.services()) {
            let service = workspace.service(&service);
            let runs = service.run_numbers().unwrap_or_default();
            for &run in runs.iter().rev().take(NEWEST_RUNS) {
                let lock = service.run(run).lock();
                found.extend(os::lock::owner(&lock).map(|process| Owner { process, is_shim: true }));
            }
        }
    }
    found
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
