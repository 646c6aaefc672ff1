//! Port truth: is it free, and if not, who listens there. Never touches anybody.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use os::ports::Listener;
use wire::HolderView;

use crate::daemon::Daemon;
use crate::service::Obstacle;

/// Ports that macOS uses itself (AirPlay); never given out.
const RESERVED: [u16; 2] = [5000, 7000];

/// Who stands in the way of a service on `port`; nobody when it is free.
///
/// The addresses tried are those the service will use or people will ask for: both loopback addresses, and
/// the wildcard for a web application, which binds it.
///
/// # Errors
/// When the system could not be asked.
pub(crate) fn check(port: u16, jupyter: bool) -> io::Result<Option<Obstacle>> {
    let (refused, listeners) = obstacles(port, jupyter)?;
    if refused.is_empty() && listeners.is_empty() {
        return Ok(None);
    }
    Ok(Some(describe(port, &refused, &listeners)))
}

/// Addresses that cannot be bound, and listeners that are in the way.
fn obstacles(port: u16, jupyter: bool) -> io::Result<(Vec<IpAddr>, Vec<Listener>)> {
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
    let listeners: Vec<Listener> = os::ports::listeners(port)?
        .into_iter()
        .filter(|listener| wanted.iter().any(|&address| collides(listener.addr.ip(), address)))
        .collect();
    Ok((refused, listeners))
}

/// Whether [`check`] would find nobody. A system that cannot be asked counts as not free.
pub(crate) fn is_free(port: u16, jupyter: bool) -> bool {
    matches!(obstacles(port, jupyter), Ok((refused, listeners)) if refused.is_empty() && listeners.is_empty())
}

/// Whether a listener on `held` takes connections meant for `wanted`, or keeps it from being bound.
fn collides(held: IpAddr, wanted: IpAddr) -> bool {
    let held = held.to_canonical();
    match (held, wanted) {
        _ if held == wanted => true,
        // A wildcard listener covers its family; the IPv6 one usually IPv4 too.
        (IpAddr::V6(held), _) if held.is_unspecified() => true,
        (IpAddr::V4(held), IpAddr::V4(_)) if held.is_unspecified() => true,
        (IpAddr::V4(_), IpAddr::V4(wanted)) if wanted.is_unspecified() => true,
        _ => false,
    }
}

fn describe(port: u16, refused: &[IpAddr], listeners: &[Listener]) -> Obstacle {
    let owners = os::ports::holders(listeners, None).unwrap_or_default();
    let mut holders = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let mut pids: Vec<i32> =
            owners.iter().filter(|(_, of)| *of == index).map(|(pid, _)| *pid).chain(listener.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        let user = listener.uid.map(os::process::user_name);
        if pids.is_empty() {
            holders.push(HolderView {
                address: listener.addr.to_string(),
                user: user.clone(),
                ..HolderView::default()
            });
        }
        for pid in pids {
            if holders.iter().any(|known: &HolderView| known.pid == Some(pid)) {
                continue;
            }
            let info = os::process::info(pid).ok().flatten();
            holders.push(HolderView {
                address: listener.addr.to_string(),
                pid: Some(pid),
                user: info.as_ref().map(|info| os::process::user_name(info.uid)).or_else(|| user.clone()),
                command: Some(os::process::command_line(pid)),
                cwd: os::process::cwd(pid).ok().map(|path| path.display().to_string()),
                since_ms: info.as_ref().and_then(os::process::started_ms),
                // The marker; the loop knows which service it is.
                service: os::process::environ_value(pid, run::record::MARKER)
                    .ok()
                    .flatten()
                    .map(|marker| marker.to_string_lossy().into_owned()),
            });
        }
    }
    let detail = match holders.first() {
        None => format!(
            "port {port} is bound on {} by a socket that does not listen",
            refused.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" and ")
        ),
        Some(holder) => format!("port {port} is held by {}", sentence(holder)),
    };
    Obstacle { detail, hint: None, holders }
}

/// "pid 42 (python -m http.server), user me, in /home/me/x".
fn sentence(holder: &HolderView) -> String {
    let mut text = match (holder.pid, &holder.command) {
        (Some(pid), Some(command)) => format!("pid {pid} ({command})"),
        (Some(pid), None) => format!("pid {pid}"),
        (None, _) => "a process this user may not see".to_owned(),
    };
    if let Some(user) = &holder.user {
        text.push_str(&format!(", user {user}"));
    }
    if let Some(cwd) = &holder.cwd {
        text.push_str(&format!(", in {cwd}"));
    }
    text
}

/// The next port from `first` on that nobody listens on and no service of ours has.
pub(crate) fn next_free(first: u16, taken: &[u16]) -> Option<u16> {
    (first..=u16::MAX).filter(|port| !RESERVED.contains(port) && !taken.contains(port)).find(|&port| {
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .into_iter()
            .all(|address| os::ports::bindable(SocketAddr::new(address, port)).unwrap_or(false))
            && os::ports::listeners(port).is_ok_and(|listeners| listeners.is_empty())
    })
}

impl Daemon {
    /// Replaces markers by the services they belong to, and says what to type.
    pub(crate) fn name_holders(&self, obstacle: &mut Obstacle) {
        let mut ours = None;
        for holder in &mut obstacle.holders {
            let Some(marker) = holder.service.take() else { continue };
            let found = self.workspaces.values().find_map(|workspace| {
                let rest = marker.strip_prefix(&*workspace.id)?.strip_prefix('.')?;
                let name = rest.split('.').next()?;
                Some((workspace, name.to_owned()))
            });
            if let Some((workspace, name)) = found {
                let root = workspace.root.to_string_lossy();
                holder.service = Some(format!("{name} of {root}"));
                // A run that nobody looks after any more: its records are gone. It may hold somebody's work, so it
                // is named and left to a person; to stop the service would not reach it.
                let lost = workspace.service(&name).is_none_or(|service| service.live.is_none());
                ours = Some((name, root, holder.pid.filter(|_| lost)));
            }
        }
        if obstacle.hint.is_some() || obstacle.holders.is_empty() {
            return;
        }
        obstacle.hint = Some(match (ours, obstacle.holders.first().and_then(|holder| holder.pid)) {
            (Some((name, root, Some(pid))), _) => {
                obstacle.detail = format!(
                    "{}; it is left over from `{name}` of {root}, its records are gone",
                    obstacle.detail
                );
                format!(
                    "kill {pid}   (it ends what runs in it); the service starts by itself when the port is free"
                )
            }
            (Some((name, root, None)), _) => {
                obstacle.detail = format!("{}; it is `{name}` of {root}", obstacle.detail);
                format!("pipctl stop {name} -w {}", shell_word(&root))
            }
            (None, Some(pid)) => {
                format!(
                    "kill {pid}   (or give this service another `port` in pipd.toml); it starts by itself when the port is free"
                )
            }
            (None, None) => {
                "give this service another `port` in pipd.toml; it starts by itself when the port is free"
                    .into()
            }
        });
    }
}

/// A path as one word of a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_named_with_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let obstacle = check(port, true).unwrap().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(obstacle.holders[0].pid, Some(me), "{obstacle:?}");
        assert!(obstacle.detail.contains(&format!("port {port} is held by pid {me}")), "{}", obstacle.detail);
        drop(listener);
        assert_eq!(check(port, true).unwrap(), None);
    }

    #[test]
    fn a_listener_on_ipv6_alone_is_a_collision() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            eprintln!("SKIPPED: this machine has no IPv6 loopback");
            return;
        };
        let port = listener.local_addr().unwrap().port();
        for jupyter in [true, false] {
            assert!(check(port, jupyter).unwrap().is_some());
        }
    }

    #[test]
    fn another_loopback_address_stops_only_a_wildcard_bind() {
        let Ok(listener) = TcpListener::bind("127.0.0.2:0") else {
            eprintln!("SKIPPED: 127.0.0.2 is not an address of this machine");
            return;
        };
        let port = listener.local_addr().unwrap().port();
        assert_eq!(check(port, true).unwrap(), None);
        assert!(check(port, false).unwrap().is_some());
    }

    #[test]
    fn the_next_free_port_avoids_what_is_given_and_what_the_system_keeps() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = next_free(port, &[port + 1]).unwrap();
        assert!(found > port + 1);
        assert_ne!(next_free(5000, &[]), Some(5000));
    }

    #[test]
    fn paths_are_words_a_shell_takes() {
        assert_eq!(shell_word("/home/me/x-1"), "/home/me/x-1");
        assert_eq!(shell_word("/home/me/it's mine"), r"'/home/me/it'\''s mine'");
    }
}
