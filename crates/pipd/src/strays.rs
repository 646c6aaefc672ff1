//! Another JupyterLab of the same folder, on another port: Jupyter moves to the next port without a word when its own
//! is taken, and then there are two sets of kernels.

use std::path::PathBuf;
use std::sync::Arc;

use wire::Text;

use crate::daemon::Daemon;
use crate::input::Key;
use crate::jupyter::server;
use crate::port::External;

/// A Jupyter server of the workspace's folder that is neither the service nor in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    pub(crate) pid: i32,
    pub(crate) port: u16,
    pub(crate) address: String,
    pub(crate) from: Option<String>,
    /// Everybody who reaches it may run code.
    pub(crate) open_to_all: bool,
}

/// Where to look, and what is known.
pub(crate) struct Search {
    key: Key,
    root: PathBuf,
    folders: Vec<PathBuf>,
    /// Processes that are no strays: runs of ours, and what is in the place of one.
    known: Vec<i32>,
    before: Vec<Stray>,
}

impl Search {
    /// The strays, if they are others than before. Reads files; not for the loop.
    pub(crate) fn look(self) -> Option<(Key, Vec<Stray>)> {
        let mut found: Vec<Stray> = Vec::new();
        for (written, process) in self.folders.iter().flat_map(|folder| server::all(folder)) {
            if self.known.contains(&process.pid) || !written.serves(&self.root) {
                continue;
            }
            let listeners = os::ports::listeners(written.port).unwrap_or_default();
            let holds = os::ports::holders(&listeners, Some(&[process.pid])).unwrap_or_default();
            if holds.is_empty() || found.iter().any(|known| known.pid == process.pid) {
                continue;
            }
            found.push(Stray {
                pid: process.pid,
                port: written.port,
                address: written.address("/lab"),
                from: crate::port::origin_of(&process),
                open_to_all: written.is_open(),
            });
        }
        found.sort_by_key(|stray| stray.pid);
        (found != self.before).then_some((self.key, found))
    }
}

impl Daemon {
    pub(crate) fn stray_search(&self, key: &Key) -> Option<Search> {
        let workspace = self.workspaces.get(&key.workspace)?;
        let service = self.service(key)?;
        let captured = service.environment.as_ref().and_then(|name| workspace.environments.get(name));
        let captured = captured.map(Arc::clone).unwrap_or_default();
        let folders = server::folders(|name| captured.get(name).map(Text::as_os_str));
        let runs = self.workspaces.values().flat_map(|workspace| &workspace.services);
        let mains = runs.filter_map(|(_, service)| service.live.as_ref()?.main.as_ref().map(|main| main.pid));
        let external = service.external().map(|external: &External| external.main.pid);
        Some(Search {
            key: key.clone(),
            root: workspace.root.as_path().to_owned(),
            folders,
            known: mains.chain(external).collect(),
            before: service.strays.clone(),
        })
    }
}

/// What to know of them, one line each.
pub(crate) fn warnings(strays: &[Stray], port: Option<u16>) -> Vec<String> {
    strays
        .iter()
        .map(|stray| {
            let from = stray.from.as_ref().map(|from| format!(", started from {from}")).unwrap_or_default();
            let open = if stray.open_to_all { "; it has no token: whoever reaches it may run code" } else { "" };
            let not = port.map(|port| format!(", not on {port}")).unwrap_or_default();
            format!(
                "another JupyterLab of this folder runs on port {}{not} (pid {}{from}): {} has kernels of its own{open}; \
                 end it where it was started, or: kill {}",
                stray.port, stray.pid, stray.address, stray.pid
            )
        })
        .collect()
}
