//! Services that no readable workspace record names, known only from their run directories: the record was damaged,
//! or the disk never took it. What lives of them is taken over; of the others only the numbers used are remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use lifecycle::RunId;
use run::layout::{HostDir, RunDir, ServiceDir};
use run::record::{self, Exited, RunSpec, Started};
use tracing::warn;
use wire::{Goal, Kind, PortSpec, ReadyCheck, ReadySpec, ServiceSpec, Text};

use crate::daemon::Daemon;
use crate::input::Key;
use crate::mend;
use crate::service::Service;
use crate::workspace::Workspace;

/// Variables that a run is given by pipd itself.
const OURS: [&str; 3] = [record::MARKER, "JUPYTER_TOKEN", "PIPD_STATE_DIR"];

impl Daemon {
    /// Takes over what lives in this workspace and is in no record. Whether anything did.
    pub(crate) fn adopt_unrecorded(&mut self, id: &Arc<str>, hosts: &[HostDir]) -> bool {
        let mut names = BTreeSet::new();
        for host in hosts {
            let folder = host.workspace(id).services();
            match std::fs::read_dir(&folder) {
                Ok(entries) => {
                    let found = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
                    names.extend(found.map(Arc::<str>::from));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.warnings.push(format!("{}: {error}", folder.display())),
            }
        }
        let before = self.workspaces.get(id).map_or(0, |known| known.services.len());
        let known = |name: &str| self.workspaces.get(id).is_some_and(|known| known.service(name).is_some());
        names.retain(|name| !known(name));
        for name in names {
            let folders: Vec<_> = hosts.iter().map(|host| host.workspace(id).service(&name)).collect();
            let Some((number, dir)) = newest(&folders) else { continue };
            if may_live(&dir) {
                self.take_unrecorded(id, &name, &dir);
            } else {
                let key = Key { workspace: Arc::clone(id), service: name };
                self.numbers_used.insert(key, RunId(number));
            }
        }
        let services = |daemon: &Self| daemon.workspaces.get(id).map_or(0, |known| known.services.len());
        services(self) > before
    }

    fn take_unrecorded(&mut self, id: &Arc<str>, name: &Arc<str>, dir: &RunDir) {
        let spec: Option<RunSpec> = record::read(&dir.spec()).ok().flatten();
        let environ: BTreeMap<String, Text> = spec.iter().flat_map(|spec| spec.env.iter().cloned()).collect();
        // Where the run was begun; where its processes are, when that record is lost as well.
        let living = || mend::specification(dir, &mend::alive(dir).ok()?);
        let cwd = spec.as_ref().map(|spec| spec.cwd.clone()).or_else(|| Some(living()?.cwd));
        let (root, token) = (root_of(id, cwd.as_ref()), environ.get("JUPYTER_TOKEN").cloned());
        let token = match token {
            Some(Text::Utf8(token)) => Some(token),
            _ => crate::environment::new_token().ok(),
        };
        let Some(token) = token else {
            return warn!(%id, %name, "no random numbers for a token; a living run is not taken over");
        };
        let workspace = self.workspaces.entry(Arc::clone(id)).or_insert_with(|| Workspace {
            warnings: vec![
                "its record was lost; what runs was taken over as it is. Type: pipctl start".to_owned(),
            ],
            ..Workspace::new(Arc::clone(id), root, token.clone())
        });
        if environ.contains_key("JUPYTER_TOKEN") {
            workspace.token = token;
        }
        let captured = environ.into_iter().filter(|(name, _)| !OURS.contains(&name.as_str())).collect();
        let environment = spec.as_ref().map(|_| workspace.keep_environment(&captured));
        let mut service = Service::new(specification(name, spec.as_ref()), lifecycle::Service::new());
        service.port = spec.and_then(|spec| spec.port);
        service.environment = environment;
        // It runs, so somebody wanted it to.
        service.goal = Goal::Up;
        warn!(%id, %name, dir = %dir.path().display(), "a run that is in no record is taken over");
        workspace.services.push((Arc::clone(name), service));
    }
}

/// The newest run in any of these folders.
fn newest(folders: &[ServiceDir]) -> Option<(u64, RunDir)> {
    let last = |folder: &ServiceDir| {
        let number = folder.run_numbers().ok()?.pop()?;
        Some((number, folder.run(number)))
    };
    folders.iter().filter_map(last).max_by_key(|(number, _)| *number)
}

/// Whether something of a run may live: it has a shim, or its end was never recorded in this boot.
fn may_live(dir: &RunDir) -> bool {
    if os::lock::is_held(&dir.lock()).unwrap_or(true) {
        return true;
    }
    match (record::read::<Exited>(&dir.exited()), record::read::<Started>(&dir.started())) {
        (Ok(Some(_)), _) | (Ok(None), Ok(None)) => false,
        (Ok(None), Ok(Some(started))) => os::host::boot_id().is_ok_and(|boot| boot == started.main.boot),
        (Err(_), _) | (_, Err(_)) => mend::alive(dir).map_or(true, |living| !living.is_empty()),
    }
}

/// The service as its run shows it; good until the configuration is read again.
fn specification(name: &str, spec: Option<&RunSpec>) -> ServiceSpec {
    let jupyter = spec.is_some_and(|spec| spec.spare_terminals);
    let check = match spec.and_then(|spec| spec.port) {
        Some(_) => ReadyCheck::Http { path: "/".into(), status: None },
        None => ReadyCheck::None,
    };
    ServiceSpec {
        name: name.to_owned(),
        kind: if jupyter { Kind::Jupyter } else { Kind::Command },
        argv: spec.map(|spec| spec.argv.clone()).unwrap_or_default(),
        cwd: spec.map_or_else(|| Text::from("/"), |spec| spec.cwd.clone()),
        env: BTreeMap::new(),
        env_files: Vec::new(),
        port: spec.and_then(|spec| spec.port).map(PortSpec::Fixed),
        ready: ReadySpec { check, ..ReadySpec::default() },
        stop: spec.map(|spec| spec.stop.clone()).unwrap_or_default(),
        restart: wire::RestartSpec::default(),
        external: wire::ExternalPolicy::default(),
        after: Vec::new(),
        logs: spec.map(|spec| spec.log).unwrap_or_default(),
        url_path: if jupyter { "/lab".into() } else { "/".into() },
        watch: Vec::new(),
        found: "a run of it lives".into(),
        // It can be watched and stopped; how it is started only the configuration says.
        absent: Vec::new(),
        refused: spec.is_none().then(|| "its records cannot be read; type: pipctl start".to_owned()),
        warnings: Vec::new(),
    }
}

/// The workspace's folder: the identifier proves it, and the folder of a run is mostly in it.
fn root_of(id: &str, cwd: Option<&Text>) -> Text {
    let cwd = cwd.map(|cwd| cwd.as_path().to_owned()).unwrap_or_default();
    let proven = cwd.ancestors().find(|folder: &&Path| run::layout::workspace_id(folder) == id);
    proven.map_or_else(|| Text::from(id), Text::from)
}
