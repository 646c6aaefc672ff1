//! Port truth: is it free, and if not, who listens there and what that is. Never touches anybody.
//!
//! `seeker` looks, off the loop; `holder` and `origin` say who it is and from where; `external` knows a service of
//! ours that somebody started by hand; `naming` turns markers into services and says what to type; `sight` is what the loop makes of a look, and when it looks again.

mod external;
mod holder;
mod naming;
mod origin;
mod seeker;
mod sight;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) use external::External;
pub(crate) use naming::{Ours, shell_word};
pub(crate) use origin::of as origin_of;
pub(crate) use seeker::{Seeker, Standing};
pub(crate) use sight::{Look, Looked, keep_fresh, refresh, watch_port};

/// Ports that macOS uses itself (AirPlay); never given out.
const RESERVED: [u16; 2] = [5000, 7000];

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

/// The next port from `first` on that nobody listens on and no service of ours has.
pub(crate) fn next_free(first: u16, taken: &[u16]) -> Option<u16> {
    (first..=u16::MAX).filter(|port| !RESERVED.contains(port) && !taken.contains(port)).find(|&port| {
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .into_iter()
            .all(|address| os::ports::bindable(SocketAddr::new(address, port)).unwrap_or(false))
            && os::ports::listeners(port).is_ok_and(|listeners| listeners.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn look(port: u16, jupyter: bool) -> Option<crate::service::Obstacle> {
        let kind = if jupyter { wire::Kind::Jupyter } else { wire::Kind::Web };
        let seeker = Seeker {
            port,
            kind,
            root: "/nowhere".into(),
            cwd: "/nowhere".into(),
            argv: vec!["none".into()],
            url_path: "/".into(),
            own: "w.s.".into(),
            runs: Vec::new().into(),
        };
        seeker.look().unwrap()
    }

    #[test]
    fn a_listener_is_named_with_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let obstacle = look(port, true).unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        assert_eq!(obstacle.holders[0].pid, Some(me), "{obstacle:?}");
        assert!(obstacle.detail.contains(&format!("port {port} is held by pid {me}")), "{}", obstacle.detail);
        drop(listener);
        assert_eq!(look(port, true), None);
    }

    #[test]
    fn a_listener_on_ipv6_alone_is_a_collision() {
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            eprintln!("SKIPPED: this machine has no IPv6 loopback");
            return;
        };
        let port = listener.local_addr().unwrap().port();
        for jupyter in [true, false] {
            assert!(look(port, jupyter).is_some());
        }
    }

    #[test]
    fn another_loopback_address_stops_only_a_wildcard_bind() {
        let Ok(listener) = TcpListener::bind("127.0.0.2:0") else {
            eprintln!("SKIPPED: 127.0.0.2 is not an address of this machine");
            return;
        };
        let port = listener.local_addr().unwrap().port();
        assert_eq!(look(port, true), None);
        assert!(look(port, false).is_some());
    }

    #[test]
    fn the_next_free_port_avoids_what_is_given_and_what_the_system_keeps() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = next_free(port, &[port + 1]).unwrap();
        assert!(found > port + 1);
        assert_ne!(next_free(5000, &[]), Some(5000));
    }
}
