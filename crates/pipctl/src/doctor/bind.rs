//! Services that listen on every address of this machine: whoever is on the network can open them.

use wire::{Kind, Phase};

use super::{Check, Context, Finding, Level};

pub(super) struct Bind;

impl Check for Bind {
    fn name(&self) -> &'static str {
        "exposure"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let Some(view) = context.view() else { return Vec::new() };
        let mut found = Vec::new();
        for service in view.services.iter().filter(|service| service.phase == Phase::Ready) {
            let Some(port) = service.port else { continue };
            let listeners = os::ports::listeners(port).unwrap_or_default();
            let Some(wide) = listeners.iter().find(|listener| listener.addr.ip().is_unspecified()) else {
                continue;
            };
            let name = &service.name;
            let text = format!(
                "{name} listens on every address ({}): whoever is on your network can open it",
                wide.addr
            );
            // FastHTML does this unless told otherwise; a JupyterLab was told to.
            let (level, mend) = match service.kind {
                Kind::Jupyter => (
                    Level::Warning,
                    format!("take `ip` out of its configuration, then: pipctl restart {name}"),
                ),
                Kind::Web | Kind::Command => (
                    Level::Note,
                    format!("serve(host=\"127.0.0.1\") in its source, then: pipctl restart {name}"),
                ),
            };
            found.push(Finding::new(self, level, text).mend(mend));
        }
        found
    }
}
