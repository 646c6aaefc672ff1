//! What a run really does, whatever it was told: where its processes listen, and whether its JupyterLab asks for a
//! token. Looked up off the loop, when a run becomes ready or does not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use os::ports::Listener;
use wire::Kind;

use crate::daemon::Daemon;
use crate::input::Key;
use crate::jupyter::server;
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
    /// Who else listens on its port, each in a few words.
    pub(crate) beside: Vec<String>,
    /// The sockets on its port, whoever has them, in one number: another one means another look.
    pub(crate) sockets: u64,
    /// Its processes see another network than ours.
    pub(crate) own_network: bool,
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
    let on_port = listening.iter().any(|address| address.port() == target.port);
    let mut facts = Facts { sockets: sockets(&all, target.port), ..Facts::default() };
    if on_port && !target.ready.any_owner {
        facts.beside = beside(&all, &held, target.port);
    }
    if listening.is_empty() {
        let main = target.query.main.as_ref();
        facts.own_network = main.is_some_and(|main| os::process::shares_network(main.pid) == Some(false));
    }
    facts.listening = listening;
    let main = target.query.main.as_ref().filter(|_| target.query.spare_terminals);
    if let Some(server) = main.and_then(|main| server::of_pid(main.pid)) {
        facts.open_to_all = server.is_open();
        facts.token = Some(server.token);
    }
    facts
}

/// The listeners on a port as one number.
pub(crate) fn sockets(listeners: &[Listener], port: u16) -> u64 {
    let of_port = listeners.iter().filter(|listener| listener.addr.port() == port);
    of_port.fold(0, |sum, listener| sum.wrapping_add(listener.socket.wrapping_add(1)))
}

/// Listeners of others that take what is meant for this run: the port shared (SO_REUSEPORT), or the other family.
fn beside(all: &[Listener], held: &[(i32, usize)], port: u16) -> Vec<String> {
    let is_asked = |ip: IpAddr| {
        let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        ip.is_unspecified() || local.contains(&ip.to_canonical())
    };
    let others = all.iter().enumerate().filter(|(index, listener)| {
        listener.addr.port() == port
            && is_asked(listener.addr.ip())
            && !held.iter().any(|(_, held)| held == index)
    });
    let others: Vec<Listener> = others.map(|(_, listener)| listener.clone()).collect();
    if others.is_empty() {
        return Vec::new();
    }
    let owners = os::ports::holders(&others, None).unwrap_or_default();
    let words = others.iter().enumerate().map(|(index, listener)| {
        let address = listener.addr;
        match owners.iter().find(|(_, of)| *of == index).map(|(pid, _)| *pid).or(listener.pid) {
            Some(pid) => {
                let command = os::process::command_line(pid);
                format!(
                    "pid {pid} ({command}) listens on {address} too: whoever asks for localhost may get that one; \
                     end it: kill {pid}"
                )
            }
            None => {
                let user = listener.uid.map(os::process::user_name).unwrap_or_else(|| "another user".into());
                format!(
                    "a process of {user}, which is not visible from here, listens on {address} too: whoever asks for \
                     localhost may get that one"
                )
            }
        }
    });
    words.collect()
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

/// What differs from what a person would expect, each with what mends it. `of_workspace` is the token that a JupyterLab
/// is given.
pub(crate) fn warnings(service: &Service, of_workspace: &str) -> Vec<String> {
    let Some(live) = &service.live else { return Vec::new() };
    let mut found = Vec::new();
    let listening = &live.facts.listening;
    let told = live.port.or(service.port);
    // What is ready was asked on that port, and a process of its own answered: whatever was seen while it began is over.
    let answered = service.probed() && matches!(service.core.phase(), lifecycle::Phase::Ready { .. });
    if let Some(port) = told
        && !answered
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
    let given = live.token.as_deref().unwrap_or(of_workspace);
    if live.facts.token.as_deref().is_some_and(|own| !own.is_empty() && own != given) {
        found.push(format!(
            "its token is not pipd's but that of its configuration, the same for every JupyterLab that reads it; to have \
             one for this workspace take the token out of jupyter_server_config.py, then: pipctl restart {}",
            service.spec.name
        ));
    }
    found.extend(live.facts.beside.iter().cloned());
    if live.facts.own_network && service.probed() {
        found.push(format!(
            "its processes are in a network of their own (a container, `unshare -n`), where nobody here can ask them; \
             publish its port, or write `ready = \"none\"` below [services.{}] in pipd.toml",
            service.spec.name
        ));
    }
    found
}

fn names<'a>(addresses: impl Iterator<Item = &'a SocketAddr>) -> String {
    let names: Vec<String> = addresses.map(SocketAddr::to_string).collect();
    let more = names.len().saturating_sub(MOST_NAMED);
    let shown = names.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
