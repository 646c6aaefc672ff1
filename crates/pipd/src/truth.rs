//! What a run really does, whatever it was told: where its processes listen, and whether its JupyterLab asks for a
//! token. Looked up off the loop, when a run becomes ready or does not.

use std::net::SocketAddr;

use wire::Kind;

use crate::daemon::Daemon;
use crate::input::Key;
use crate::port::{is_open, jpserver};
use crate::probe::Target;
use crate::service::Service;

/// Most addresses that are told of one by one.
const MOST_NAMED: usize = 4;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Where its processes listen, as far as anybody but they themselves may care.
    pub(crate) listening: Vec<SocketAddr>,
    /// What its JupyterLab really asks for, where it says so.
    pub(crate) token: Option<String>,
    /// It asks for nothing: whoever reaches it may run code.
    pub(crate) open_to_all: bool,
}

/// Looks. Blocks; not for the loop.
pub(crate) fn of(target: &Target, members: &[i32]) -> Facts {
    let all = os::ports::all_listeners().unwrap_or_default();
    let held = os::ports::holders(&all, Some(members)).unwrap_or_default();
    let mut listening: Vec<SocketAddr> =
        held.iter().filter_map(|(_, index)| all.get(*index)).map(|listener| listener.addr).collect();
    listening.sort_unstable();
    listening.dedup();
    // Where it is on its port, what it has on this machine alone is its own affair: kernels have five ports each.
    if listening.iter().any(|address| address.port() == target.port) {
        listening.retain(|address| address.port() == target.port || !address.ip().is_loopback());
    }
    let mut facts = Facts { listening, ..Facts::default() };
    let main = target.query.main.as_ref().filter(|_| target.query.spare_terminals);
    let process = main.and_then(|main| os::process::info(main.pid).ok().flatten());
    if let Some(process) = process
        && let Some(server) = jpserver::of(&process, &jpserver::folders_of(process.pid))
    {
        facts.open_to_all = is_open(&server);
        facts.token = Some(server.token);
    }
    facts
}

impl Daemon {
    pub(crate) fn on_facts(&mut self, key: &Key, run: lifecycle::RunId, facts: Facts) {
        let Some(live) = self.service_mut(key).and_then(|service| service.live.as_mut()) else { return };
        if live.run == run && live.facts != facts {
            live.facts = facts;
            self.touch();
        }
    }
}

/// What differs from what a person would expect, each with what mends it.
pub(crate) fn warnings(service: &Service) -> Vec<String> {
    let Some(live) = &service.live else { return Vec::new() };
    let mut found = Vec::new();
    let listening = &live.facts.listening;
    let told = live.port.or(service.port);
    if let Some(port) = told
        && !service.spec.ready.any_owner
        && !listening.is_empty()
        && !listening.iter().any(|address| address.port() == port)
    {
        let other = listening.first().map_or(0, SocketAddr::port);
        found.push(format!(
            "it listens on {}, not on its port {port}; tell it the port (`{{port}}` in `command`, or the variable \
             PORT), or write `port = {other}` below [services.{}] in pipd.toml",
            names(listening.iter()),
            service.spec.name
        ));
    }
    let reachable = || listening.iter().filter(|address| !address.ip().is_loopback());
    if reachable().next().is_some() {
        let fix = match service.spec.kind {
            Kind::Jupyter => "without `--ip` (ServerApp.ip) it is for this machine only",
            Kind::Web => "for this machine only: serve(host=\"127.0.0.1\"), or uvicorn's host=\"127.0.0.1\"",
            Kind::Command => "for this machine only, have it bind 127.0.0.1",
        };
        found.push(format!(
            "it listens on {}: others in this network can reach it; {fix}",
            names(reachable())
        ));
    }
    if live.facts.open_to_all {
        found.push(
            "its token is empty: whoever reaches its port may run code; take the token out of \
             jupyter_server_config.py, then: pipctl restart "
                .to_owned()
                + &service.spec.name,
        );
    }
    found
}

fn names<'a>(addresses: impl Iterator<Item = &'a SocketAddr>) -> String {
    let names: Vec<String> = addresses.map(SocketAddr::to_string).collect();
    let more = names.len().saturating_sub(MOST_NAMED);
    let shown = names.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
