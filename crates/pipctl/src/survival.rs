//! What outlives terminal, login and boot, for whoever asks: `autostart status`, and checks of the whole.

use client::Client;
use manager::{Facts, ServiceManager};
use wire::Snapshot;

use crate::exit::Failure;
use crate::terminal::Surroundings;

/// The facts of this moment: of the manager, and of the daemon and the services that run, if they do.
pub(crate) fn facts(
    manager: Option<&dyn ServiceManager>,
    surroundings: &Surroundings,
) -> Result<Facts, Failure> {
    let Ok(mut client) = Client::connect(&surroundings.locations()?) else {
        return Ok(Facts::gather(manager, None, &[]));
    };
    let daemon = client.daemon().pid;
    let services = client.status(None).map(|snapshot| processes(&snapshot)).unwrap_or_default();
    Ok(Facts::gather(manager, Some(daemon), &services))
}

/// Names and processes of what runs.
pub(crate) fn processes(snapshot: &Snapshot) -> Vec<(String, i32)> {
    let services = snapshot.workspaces.iter().flat_map(|workspace| &workspace.services);
    services.filter_map(|service| Some((service.name.clone(), service.pid?))).collect()
}

/// A line for whoever has a daemon started in a login that will take it along.
pub(crate) fn warning(manager: &str, surroundings: &Surroundings) -> Option<String> {
    let remote = surroundings.var("SSH_CONNECTION").is_some() || surroundings.var("SSH_TTY").is_some();
    warns(remote, manager).filter(|_| !manager::lingers())
}

/// At a desk the end of the session is the end of the work; who came from afar has merely closed a lid.
fn warns(remote: bool, manager: &str) -> Option<String> {
    (remote && manager == "systemd").then(|| {
        "when your last session ends, services end with it; to keep them: loginctl enable-linger".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_came_from_afar_and_has_a_manager_is_warned() {
        assert!(warns(true, "systemd").is_some_and(|line| line.ends_with("loginctl enable-linger")));
        assert_eq!(warns(true, "none"), None);
        assert_eq!(warns(false, "systemd"), None);
    }
}
