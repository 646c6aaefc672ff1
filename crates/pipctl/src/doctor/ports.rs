//! The ports the services want: who has them, when the service has not.

use wire::{HolderView, Phase, PortSpec, ServiceSpec};

use super::{Check, Context, Finding, Level};
use crate::clock::now_ms;
use crate::holders;
use crate::render;

pub(super) struct Ports;

impl Check for Ports {
    fn name(&self) -> &'static str {
        "ports"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let mut free = Vec::new();
        let mut found = Vec::new();
        for service in context.services() {
            let Some(PortSpec::Fixed(port)) = service.port else { continue };
            if is_up(context, service) {
                continue;
            }
            match holders::of(port) {
                Ok(holders) if holders.is_empty() => free.push(port.to_string()),
                Ok(holders) => found.push(self.held(context, service, port, &holders)),
                Err(error) => {
                    let text = format!("port {port} of {}: cannot tell who has it: {error}", service.name);
                    found.push(Finding::new(self, Level::Warning, text).mend("pipctl doctor"));
                }
            }
        }
        if !free.is_empty() {
            let is = if free.len() == 1 { "is" } else { "are" };
            found.push(Finding::new(self, Level::Ok, format!("{} {is} free", free.join(", "))));
        }
        found
    }
}

impl Ports {
    fn held(&self, context: &Context, service: &ServiceSpec, port: u16, all: &[HolderView]) -> Finding {
        let name = &service.name;
        let first = all.first().cloned().unwrap_or_default();
        let who = render::holder_line(&first, now_ms());
        let more = if all.len() > 1 { format!(", with {} more", all.len() - 1) } else { String::new() };
        let text = format!("port {port} of {name} is held: {who}{more}");
        let finding = Finding::new(self, Level::Problem, text);
        if let Some((root, owner)) = first.pid.and_then(|pid| ours(context, pid)) {
            return finding.mend(format!("pipctl stop {owner} -w {root}"));
        }
        match first.pid {
            Some(pid) => finding.mend(format!("kill {pid}   (or give {name} another `port` in pipd.toml)")),
            None => {
                finding.mend(format!("give {name} another `port` in pipd.toml, then: pipctl start {name}"))
            }
        }
    }
}

/// Whether the service itself lives, so that the port is its own.
fn is_up(context: &Context, service: &ServiceSpec) -> bool {
    let view = context.view().and_then(|view| view.services.iter().find(|known| known.name == service.name));
    view.is_some_and(|view| view.pid.is_some() || view.phase == Phase::External)
}

/// The workspace and service a process runs for, by its own pid or one above it.
fn ours(context: &Context, pid: i32) -> Option<(String, String)> {
    let above = holders::with_ancestors(pid);
    let snapshot = context.snapshot()?;
    snapshot.workspaces.iter().find_map(|workspace| {
        let service = workspace.services.iter().find(|s| s.pid.is_some_and(|pid| above.contains(&pid)))?;
        Some((workspace.root.as_ref()?.to_string_lossy(), service.name.clone()))
    })
}
