//! What readers see, made from what the daemon holds.

use std::sync::Arc;

use lifecycle::{Phase, StopReason};
use run::layout::HostDir;
use wire::{Kind, ServiceView, Snapshot, WorkspaceView};

use crate::clock::wall_ms;
use crate::daemon::Daemon;
use crate::input::Key;
use crate::service::Service;
use crate::workspace::Workspace;

impl Daemon {
    pub(crate) fn make_snapshot(&self, generation: u64) -> Snapshot {
        let mut workspaces: Vec<WorkspaceView> =
            self.workspaces.values().map(|workspace| self.workspace_view(workspace)).collect();
        workspaces.sort_by(|one, other| one.root.cmp(&other.root));
        Snapshot { generation, at_ms: wall_ms(), warnings: self.warnings.clone(), workspaces }
    }

    fn workspace_view(&self, workspace: &Workspace) -> WorkspaceView {
        WorkspaceView {
            id: workspace.id.to_string(),
            root: Some(workspace.root.clone()),
            services: workspace
                .services
                .iter()
                .map(|(name, service)| self.view(workspace, name, service))
                .collect(),
            warnings: workspace.warnings.clone(),
            depends: workspace.depends.clone(),
        }
    }

    /// One service as readers see it.
    pub(crate) fn service_view(&self, key: &Key) -> Option<ServiceView> {
        let workspace = self.workspaces.get(&key.workspace)?;
        let (name, service) = workspace.services.entry(&key.service)?;
        Some(self.view(workspace, name, service))
    }

    fn view(&self, workspace: &Workspace, name: &Arc<str>, service: &Service) -> ServiceView {
        let live = service.live.as_ref();
        let port = live.and_then(|live| live.port).or(service.port);
        let address = port.map(|port| format!("http://localhost:{port}{}", service.spec.url_path));
        let url = match (&address, service.spec.kind) {
            (Some(address), Kind::Jupyter) => Some(format!("{address}?token={}", workspace.token)),
            (address, _) => address.clone(),
        };
        // A run whose folder the state root would not take is in the other one, and so is its log.
        let host = live.map(|live| HostDir::at(&live.host_dir)).filter(|host| host.path().is_absolute());
        let host = host.or_else(|| self.hosts.first().cloned());
        ServiceView {
            name: name.to_string(),
            kind: service.spec.kind,
            owner: wire::Owner::Managed,
            goal: service.goal,
            phase: phase_view(service.core.phase()),
            detail: detail(service),
            hint: hint(service, name),
            since_ms: self.clock.wall(service.core.since()),
            run: service.core.run().map(|run| run.0),
            pid: live.and_then(|live| live.main.as_ref()).map(|main| main.pid),
            shim_pid: live.and_then(|live| live.shim.as_ref()).map(|shim| shim.pid),
            shim_version: live.and_then(|live| live.other_release.as_deref()).map(str::to_owned),
            started_ms: live.and_then(|live| live.started_ms),
            port,
            address,
            url,
            restarts: service.core.restarts(),
            next_try_ms: match service.core.phase() {
                Phase::Backoff { .. } => service.core.deadline().map(|at| self.clock.wall(at)),
                _ => None,
            },
            last_exit: service.last_exit.clone(),
            holders: service.obstacle.as_ref().map(|o| o.holders.clone()).unwrap_or_default(),
            jupyter: live.and_then(|live| live.jupyter.clone()),
            log_dir: host.map(|host| host.workspace(&workspace.id).service(name).logs().as_path().into()),
            warnings: warnings(service),
        }
    }
}

fn phase_view(phase: &Phase) -> wire::Phase {
    match phase {
        Phase::Down => wire::Phase::Down,
        Phase::Blocked { .. } => wire::Phase::Blocked,
        Phase::Spawning { .. } => wire::Phase::Spawning,
        Phase::Starting { .. } => wire::Phase::Starting,
        Phase::Ready { .. } => wire::Phase::Ready,
        Phase::Unhealthy { .. } => wire::Phase::Unhealthy,
        Phase::Stopping { .. } => wire::Phase::Stopping,
        Phase::Backoff { .. } => wire::Phase::Backoff,
        Phase::Finished => wire::Phase::Finished,
        Phase::GaveUp => wire::Phase::GaveUp,
        Phase::External => wire::Phase::External,
    }
}

fn detail(service: &Service) -> Option<String> {
    match service.core.phase() {
        Phase::Blocked { .. } => service.obstacle.as_ref().map(|obstacle| obstacle.detail.clone()),
        Phase::Starting { .. } => service.complaint.clone(),
        Phase::Unhealthy { was_ready: true, .. } => service.complaint.clone(),
        Phase::Unhealthy { was_ready: false, .. } => Some(match &service.complaint {
            Some(complaint) => complaint.clone(),
            None => format!("not ready after {} s; it goes on trying", service.spec.ready.timeout_ms / 1_000),
        }),
        Phase::Stopping { why, .. } => {
            let stuck = service.live.as_ref().filter(|live| !live.stuck.is_empty());
            Some(match (stuck, why) {
                (Some(live), _) => format!("these processes will not die: {:?}", live.stuck),
                (None, StopReason::Dead) => {
                    service.complaint.clone().unwrap_or_else(|| "proven dead; it is started again".into())
                }
                (None, StopReason::Restart) => "it is started again when it is gone".into(),
                (None, StopReason::SessionEnd) => "the session ends".into(),
                (None, StopReason::Down) => return None,
            })
        }
        Phase::Backoff { .. } | Phase::Finished | Phase::GaveUp => {
            service.last_exit.as_ref().map(|exit| match service.last_words.last() {
                Some(last) if !last.trim().is_empty() => format!("{}: {}", exit.cause, last.trim()),
                _ => exit.cause.to_string(),
            })
        }
        Phase::Down | Phase::Spawning { .. } | Phase::Ready { .. } | Phase::External => None,
    }
}

fn hint(service: &Service, name: &str) -> Option<String> {
    match service.core.phase() {
        Phase::Blocked { .. } => service.obstacle.as_ref().and_then(|obstacle| obstacle.hint.clone()),
        Phase::Backoff { .. } | Phase::GaveUp => Some(format!("pipctl why {name}")),
        Phase::Unhealthy { .. } => Some(format!("pipctl logs {name}")),
        Phase::Finished => Some(format!("pipctl start {name}")),
        Phase::Down
        | Phase::Spawning { .. }
        | Phase::Starting { .. }
        | Phase::Ready { .. }
        | Phase::Stopping { .. }
        | Phase::External => None,
    }
}

fn warnings(service: &Service) -> Vec<String> {
    let mut warnings = Vec::new();
    if service.core.run().is_some() {
        warnings.extend(service.spec.warnings.iter().cloned());
    }
    if service.next_spec.is_some() {
        let name = &service.spec.name;
        warnings.push(format!("its configuration differs from what runs; type: pipctl restart {name}"));
    }
    if let Some(live) = &service.live {
        if live.dropped_lines > 0 {
            let lines = live.dropped_lines;
            warnings
                .push(format!("{lines} lines of its output were lost because the disk would not take them"));
        }
        if live.shim.is_none() && live.main.is_some() {
            warnings.push("its shim is being replaced; the service itself goes on".into());
        }
    }
    if let Some(obstacle) = &service.port_left {
        warnings.push(format!("it is stopped, but {}", obstacle.detail));
    }
    if let Some(exit) = service.last_exit.as_ref().filter(|exit| !exit.left_running.is_empty()) {
        warnings
            .push(format!("left running because a person had detached it: {}", exit.left_running.join("; ")));
    }
    warnings
}
