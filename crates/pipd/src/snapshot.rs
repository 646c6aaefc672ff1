//! What readers see, made from what the daemon holds.

use std::sync::Arc;

use lifecycle::{Block, Phase, StopReason};
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
        let mut warnings = self.warnings.clone();
        warnings.extend(self.disk_warning());
        warnings.extend(self.shortage.as_ref().map(|shortage| shortage.sentence.clone()));
        Snapshot { generation, at_ms: wall_ms(), warnings, workspaces }
    }

    fn workspace_view(&self, workspace: &Workspace) -> WorkspaceView {
        WorkspaceView {
            id: workspace.id.to_string(),
            root: Some(workspace.root.clone()),
            gone: workspace.gone,
            former: workspace.former.iter().map(|place| place.root.clone()).collect(),
            services: workspace
                .services
                .iter()
                .map(|(name, service)| self.view(workspace, name, service))
                .collect(),
            warnings: workspace
                .warnings_of_place()
                .into_iter()
                .chain(workspace.warnings.iter().cloned())
                .collect(),
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
        let external = service.external().filter(|_| *service.core.phase() == Phase::External);
        let address = match external {
            Some(external) => external.address.clone(),
            None => port.map(|port| format!("http://localhost:{port}{}", service.spec.url_path)),
        };
        let url = match (external, &address, service.spec.kind) {
            (Some(external), ..) => external.url.clone(),
            (None, Some(address), Kind::Jupyter) => match service.login_token(&workspace.token) {
                "" => Some(address.clone()),
                token => Some(format!("{address}?token={token}")),
            },
            (None, address, _) => address.clone(),
        };
        let seen = service.obstacle.as_ref().or(service.port_left.as_ref());
        // A run whose folder the state root would not take is in the other one, and so is its log.
        let host = live.map(|live| HostDir::at(&live.host_dir)).filter(|host| host.path().is_absolute());
        let host = host.or_else(|| self.hosts.first().cloned());
        ServiceView {
            name: name.to_string(),
            kind: service.spec.kind,
            owner: owner(service),
            goal: service.goal,
            phase: phase_view(service.core.phase()),
            detail: detail(service),
            hint: hint(service, name),
            since_ms: self.clock.wall(service.core.since()),
            run: service.core.run().map(|run| run.0),
            pid: live
                .and_then(|live| live.main.as_ref())
                .or(external.map(|external| &external.main))
                .map(|main| main.pid),
            shim_pid: live.and_then(|live| live.shim.as_ref()).map(|shim| shim.pid),
            shim_version: live.and_then(|live| live.other_release.as_deref()).map(str::to_owned),
            started_ms: match external {
                Some(external) => external.started_ms,
                None => live.and_then(|live| live.started_ms),
            },
            port,
            address,
            url,
            restarts: service.core.restarts(),
            next_try_ms: match service.core.phase() {
                Phase::Backoff { .. } | Phase::Quiet { .. } => {
                    service.core.next_try().map(|at| self.clock.wall(at))
                }
                _ => None,
            },
            last_exit: service.last_exit.clone(),
            jupyter: live.and_then(|live| live.jupyter.clone()),
            holders: seen.map(|seen| seen.holders.clone()).unwrap_or_default(),
            log_dir: host.map(|host| host.workspace(&workspace.id).service(name).logs().as_path().into()),
            warnings: warnings(workspace, service),
            choices: match service.core.phase() {
                Phase::Blocked { .. } => seen.map(|seen| seen.choices.clone()).unwrap_or_default(),
                _ => Vec::new(),
            },
        }
    }
}

/// The port of what runs, ours or not.
fn live_port(service: &Service) -> Option<u16> {
    let serves = service.core.run().is_some() || *service.core.phase() == Phase::External;
    service.live.as_ref().and_then(|live| live.port).or(service.port.filter(|_| serves))
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
        Phase::Quiet { .. } => wire::Phase::Quiet,
    }
}

/// Who has the port of the service, if not pipd on its behalf.
fn owner(service: &Service) -> wire::Owner {
    let others = |seen: &Option<crate::service::Obstacle>| {
        seen.as_ref()
            .and_then(|seen| seen.holders.first())
            .map_or(wire::Owner::Managed, |_| wire::Owner::Foreign)
    };
    match service.core.phase() {
        Phase::External => wire::Owner::External,
        Phase::Blocked { why: Block::Port, .. } | Phase::Quiet { .. } => others(&service.obstacle),
        Phase::Down | Phase::Finished | Phase::GaveUp | Phase::Backoff { .. } => others(&service.port_left),
        Phase::Blocked { .. }
        | Phase::Spawning { .. }
        | Phase::Starting { .. }
        | Phase::Ready { .. }
        | Phase::Unhealthy { .. }
        | Phase::Stopping { .. } => wire::Owner::Managed,
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
        Phase::External => service.external().map(|external| {
            let from = external.view.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
            let command = external.view.command.as_deref().unwrap_or("its command cannot be seen");
            format!("started by hand{from}: {command}")
        }),
        Phase::Quiet { until } => Some(match (&service.obstacle, until) {
            (Some(obstacle), _) => obstacle.detail.clone(),
            (None, Some(_)) => {
                "what was started by hand has ended; pipd starts its own if the port stays quiet".into()
            }
            (None, None) => "what was started by hand has ended; the port is left to whoever comes".into(),
        }),
        Phase::Down | Phase::Spawning { .. } | Phase::Ready { .. } => None,
    }
}

fn hint(service: &Service, name: &str) -> Option<String> {
    match service.core.phase() {
        Phase::Blocked { .. } => service.obstacle.as_ref().and_then(|obstacle| obstacle.hint.clone()),
        Phase::Backoff { .. } | Phase::GaveUp => Some(format!("pipctl why {name}")),
        Phase::Unhealthy { .. } => Some(format!("pipctl logs {name}")),
        Phase::Finished | Phase::Quiet { .. } => Some(format!("pipctl start {name}")),
        Phase::External => Some(format!("pipctl adopt {name}   (has it looked after from now on)")),
        Phase::Down
        | Phase::Spawning { .. }
        | Phase::Starting { .. }
        | Phase::Ready { .. }
        | Phase::Stopping { .. } => None,
    }
}

fn warnings(workspace: &Workspace, service: &Service) -> Vec<String> {
    let mut warnings = Vec::new();
    if service.core.run().is_some() {
        warnings.extend(service.spec.warnings.iter().cloned());
    }
    if service.next_spec.is_some() {
        let name = &service.spec.name;
        warnings.push(format!("its configuration differs from what runs; type: pipctl restart {name}"));
    }
    if let Some(live) = &service.live {
        warnings.extend(workspace.left_behind(service, live));
        warnings.extend(crate::jupyter::deaths::warnings(&live.deaths.killed, wall_ms()));
        if live.dropped_lines > 0 {
            let lines = live.dropped_lines;
            warnings
                .push(format!("{lines} lines of its output were lost because the disk would not take them"));
        }
        if live.hearing.is_silent() {
            let shim = live.shim.as_ref().map_or(String::new(), |shim| format!(" (pid {})", shim.pid));
            warnings.push(format!(
                "its shim{shim} does not answer and is about to be replaced; the service itself goes on"
            ));
        }
        if live.log_waits {
            warnings.push("the disk of its log does not answer; what it prints waits in memory".into());
        }
        if live.adopted {
            warnings.push(format!(
                "adopted: what it prints stays where it was started, and how it ends may not be known, so every end \
                 counts as a failure; to have all that: pipctl restart {}",
                service.spec.name
            ));
        }
        if live.shim.is_none() && live.main.is_some() {
            warnings.push("its shim is being replaced; the service itself goes on".into());
        }
    }
    if service.external().is_some_and(|external| external.open_to_all) {
        warnings.push(
            "its token is empty: whoever reaches it may run code; start it without `token=\"\"`".to_owned(),
        );
    }
    warnings.extend(crate::truth::warnings(service, &workspace.token));
    let own_port = live_port(service);
    warnings.extend(crate::strays::warnings(&service.strays, own_port));
    if let Some(obstacle) = &service.port_left {
        warnings.push(format!("it does not run, and {}", obstacle.detail));
    }
    if let Some(exit) = service.last_exit.as_ref().filter(|exit| !exit.left_running.is_empty()) {
        warnings
            .push(format!("left running because a person had detached it: {}", exit.left_running.join("; ")));
    }
    warnings
}
