//! Services that wait for others: released when those are ready, told when those will not be soon.

use lifecycle::{Block, Phase};
use wire::ServiceOutcome;

use crate::daemon::Daemon;
use crate::input::{Input, Key};
use crate::workspace::Workspace;

/// Links of a chain of `after` that are followed; cycles are refused by the configuration.
const LONGEST_CHAIN: usize = 64;

impl Daemon {
    /// A service became ready: whoever waits for it may go on.
    pub(crate) fn release_dependents(&mut self, ready: &Key) {
        let Some(workspace) = self.workspaces.get(&ready.workspace) else { return };
        for (name, service) in &workspace.services {
            if waits(service.core.phase())
                && service.spec.after.iter().any(|needed| **needed == *ready.service)
            {
                let key = Key { workspace: workspace.id.clone(), service: name.clone() };
                let _ = self.inputs.send(Input::Relief { key });
            }
        }
    }

    /// Whoever asked for a service that waits for one that is not on its way is not kept waiting himself. The
    /// service goes on waiting.
    pub(crate) fn answer_for_stalled(&mut self, changed: &Key) {
        if !self.answers.is_waited_for(&changed.workspace) {
            return;
        }
        let Some(workspace) = self.workspaces.get(&changed.workspace) else { return };
        let mut told = Vec::new();
        for (name, service) in &workspace.services {
            if !waits(service.core.phase()) {
                continue;
            }
            let obstacle =
                service.spec.after.iter().find_map(|needed| obstacle(workspace, needed, LONGEST_CHAIN));
            if let Some(why) = obstacle {
                told.push((Key { workspace: workspace.id.clone(), service: name.clone() }, why));
            }
        }
        for (key, (needed, why)) in told {
            if let Some(obstacle) = self.service_mut(&key).and_then(|service| service.obstacle.as_mut()) {
                obstacle.detail = format!("waits for `{needed}`, which {why}");
                obstacle.hint = Some(format!("pipctl why {needed}"));
            }
            self.settle_service(&key, ServiceOutcome::Blocked);
        }
    }
}

fn waits(phase: &Phase) -> bool {
    matches!(phase, Phase::Blocked { why: Block::After, .. })
}

/// Which service at the end of the chain is not on its way, and what is the matter with it.
fn obstacle(workspace: &Workspace, name: &str, links: usize) -> Option<(String, String)> {
    let service = workspace.service(name)?;
    let why = match service.core.phase() {
        Phase::Blocked { why: Block::After, .. } => {
            let links = links.checked_sub(1)?;
            return service.spec.after.iter().find_map(|needed| obstacle(workspace, needed, links));
        }
        Phase::Blocked { .. } => match &service.obstacle {
            Some(obstacle) => format!("is blocked: {}", obstacle.detail),
            None => "is blocked".to_owned(),
        },
        Phase::Backoff { .. } | Phase::GaveUp => match &service.last_exit {
            Some(exit) => format!("fails: {}", exit.cause),
            None => "fails".to_owned(),
        },
        Phase::Finished => "has finished".to_owned(),
        Phase::Down => "is not started".to_owned(),
        Phase::Quiet { .. } => "has just ended where somebody ran it by hand".to_owned(),
        Phase::Spawning { .. }
        | Phase::Starting { .. }
        | Phase::Ready { .. }
        | Phase::Unhealthy { .. }
        | Phase::Stopping { .. }
        | Phase::External => return None,
    };
    Some((name.to_owned(), why))
}
