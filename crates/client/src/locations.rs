//! Where a daemon of this user on this host may be found.

use std::path::Path;

use os::process::Liveness;
use run::layout::{HostDir, RunDir};
use run::record::{self, Started};

use crate::LocateError;

/// The host folders in which a daemon may serve: below the state root, and below the runtime root for when
/// the state root refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locations {
    hosts: Vec<HostDir>,
}

impl Locations {
    /// The folders of this user on this host. `PIPD_STATE_DIR` overrides the state root.
    ///
    /// # Errors
    /// When neither a home folder nor the host's identity can be found.
    pub fn discover() -> Result<Self, LocateError> {
        let host =
            os::host::host_key().map_err(|source| LocateError { what: "which host this is", source })?;
        let runtime = HostDir::new(&os::paths::runtime_root(), &host);
        let hosts = match os::paths::state_root() {
            Ok(state) => vec![HostDir::new(&state, &host), runtime],
            // No home folder: the runtime root alone must do, as it does for the daemon.
            Err(_) if runtime.path().is_absolute() => vec![runtime],
            Err(source) => return Err(LocateError { what: "where your state folder is", source }),
        };
        Ok(Self { hosts })
    }

    /// These folders, the preferred one first; for tests and for embedders with a layout of their own.
    pub fn at(hosts: Vec<HostDir>) -> Self {
        Self { hosts }
    }

    /// Services that live, whether or not anybody looks after them: identifier of the workspace, and name. One whose
    /// shim died together with the daemon is known by its process. Folders that cannot be read have none.
    pub fn living(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for host in &self.hosts {
            for id in names_in(&host.workspaces()) {
                let workspace = host.workspace(&id);
                for name in names_in(&workspace.services()) {
                    let service = workspace.service(&name);
                    let numbers = service.run_numbers().unwrap_or_default();
                    if numbers.last().is_some_and(|&number| lives(&service.run(number))) {
                        found.push((id.clone(), name));
                    }
                }
            }
        }
        found
    }

    /// The folders, the preferred one first.
    pub fn hosts(&self) -> &[HostDir] {
        &self.hosts
    }
}

fn lives(run: &RunDir) -> bool {
    if os::lock::is_held(&run.lock()).unwrap_or(false) {
        return true;
    }
    let started = || record::read::<Started>(&run.started()).ok().flatten();
    !run.exited().exists()
        && started().is_some_and(|started| {
            matches!(started.main.liveness(), Ok(Liveness::Running | Liveness::Stopped))
        })
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
