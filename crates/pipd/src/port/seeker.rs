//! One look at a port on behalf of one service: is it free, and if not, who has it and what is that.
//!
//! Made by the loop, carried out off it. Never touches anybody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use os::ports::Listener;
use wire::{Kind, Text};

use super::holder::{self, sentence};
use super::{collides, external};
use crate::service::Obstacle;

/// The main process of a run that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunOfOurs {
    pub(crate) pid: i32,
    pub(crate) marker: String,
}

/// All that is needed to look, and to know what is seen.
#[derive(Clone, Debug)]
pub(crate) struct Seeker {
    pub(crate) port: u16,
    pub(crate) kind: Kind,
    /// The workspace, as a canonical path.
    pub(crate) root: PathBuf,
    pub(crate) cwd: Text,
    /// The service's command, with everything filled in.
    pub(crate) argv: Vec<Text>,
    pub(crate) url_path: String,
    /// How the marker of every run of this service begins.
    pub(crate) own: String,
    /// Every run that lives, of whatever service.
    pub(crate) runs: Arc<[RunOfOurs]>,
}

/// What stands on a port, to be compared with what stood there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Addresses that cannot be bound.
    refused: Vec<IpAddr>,
    /// Listeners that are in the way.
    listeners: Vec<Listener>,
}

impl Standing {
    /// Nobody is in the way.
    pub(crate) fn is_free(&self) -> bool {
        self.refused.is_empty() && self.listeners.is_empty()
    }

    /// The same sockets, whatever waits in their queues.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let names = |standing: &Self| {
            let mut names: Vec<_> =
                standing.listeners.iter().map(|one| (one.addr, one.socket, one.pid)).collect();
            names.sort_unstable();
            names
        };
        self.refused == other.refused && names(self) == names(other)
    }
}

impl Seeker {
    /// Who is in the way, by address and user alone: quick, whatever else runs on this machine.
    ///
    /// The addresses tried are those the service will use or people will ask for: both loopback addresses, and
    /// the wildcard for a web application, which binds it.
    ///
    /// # Errors
    /// When the system could not be asked.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        standing(self.port, self.kind == Kind::Jupyter)
    }

    /// Who stands in the way, with everything that can be found out; nobody when the port is free.
    ///
    /// # Errors
    /// When the system could not be asked.
    pub(crate) fn look(&self) -> io::Result<Option<Obstacle>> {
        let standing = self.standing()?;
        Ok(if standing.is_free() { None } else { Some(self.describe(standing)) })
    }

    /// What stands there, for people.
    pub(crate) fn describe(&self, standing: Standing) -> Obstacle {
        let port = self.port;
        let holders = holder::of(&standing.listeners, &self.runs);
        let external = external::among(&holders, self).map(Box::new);
        let detail = match (&external, holders.first()) {
            (Some(external), _) => format!("started by hand: {}", sentence(&external.view)),
            (None, None) => format!(
                "port {port} is bound on {} by a socket that does not listen",
                standing.refused.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" and ")
            ),
            (None, Some(holder)) => format!("port {port} is held by {}", sentence(&holder.view)),
        };
        let watch = holders.iter().filter_map(|holder| holder.process?.identity().ok()).collect();
        let mut views: Vec<_> = holders.into_iter().map(|holder| holder.view).collect();
        if let Some(external) = &external {
            // Its workers have the same socket; that makes them no other holders.
            views.retain(|view| !view.pid.is_some_and(|pid| external::is_below(pid, &external.main)));
            views.insert(0, external.view.clone());
        }
        Obstacle { detail, holders: views, external, watch, standing, ..Obstacle::default() }
    }
}

/// As [`Seeker::standing`].
pub(super) fn standing(port: u16, jupyter: bool) -> io::Result<Standing> {
    let mut wanted = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    if !jupyter {
        wanted.push(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    }
    let mut refused = Vec::new();
    for &address in &wanted {
        if !os::ports::bindable(SocketAddr::new(address, port))? {
            refused.push(address);
        }
    }
    let listeners = os::ports::listeners(port)?
        .into_iter()
        .filter(|listener| wanted.iter().any(|&address| collides(listener.addr.ip(), address)))
        .collect();
    Ok(Standing { refused, listeners })
}
