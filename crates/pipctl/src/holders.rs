//! Who listens on a port, as this user may know it.

use std::io;

use wire::HolderView;

/// Everybody who listens on a port, on any address; one for each process, or one for a socket whose process is hidden.
///
/// # Errors
/// When the system could not be asked.
pub(crate) fn of(port: u16) -> io::Result<Vec<HolderView>> {
    let listeners = os::ports::listeners(port)?;
    let pairs = os::ports::holders(&listeners, None)?;
    let mut found: Vec<HolderView> = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let mut pids: Vec<i32> =
            pairs.iter().filter(|(_, at)| *at == index).map(|(pid, _)| *pid).chain(listener.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        let address = listener.addr.to_string();
        if pids.is_empty() {
            let user = listener.uid.map(os::process::user_name);
            found.push(HolderView { address: address.clone(), user, ..HolderView::default() });
        }
        for pid in pids {
            if !found.iter().any(|known| known.pid == Some(pid)) {
                found.push(describe(pid, address.clone(), listener.uid));
            }
        }
    }
    Ok(found)
}

fn describe(pid: i32, address: String, uid: Option<u32>) -> HolderView {
    let info = os::process::info(pid).ok().flatten();
    HolderView {
        address,
        pid: Some(pid),
        user: uid.map(os::process::user_name),
        command: Some(os::process::command_line(pid)).filter(|line| !line.is_empty()),
        cwd: os::process::cwd(pid).ok().map(|cwd| cwd.to_string_lossy().into_owned()),
        since_ms: info.as_ref().and_then(os::process::started_ms),
        ..HolderView::default()
    }
}

/// A process and everything above it.
pub(crate) fn with_ancestors(pid: i32) -> Vec<i32> {
    let mut found = vec![pid];
    let mut at = pid;
    while let Ok(Some(info)) = os::process::info(at) {
        at = info.ppid;
        if at <= 1 || found.contains(&at) {
            break;
        }
        found.push(at);
    }
    found
}

/// Whether nobody listens on a port and a server could bind it.
pub(crate) fn is_free(port: u16) -> bool {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
    let addresses = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ];
    os::ports::listeners(port).is_ok_and(|listeners| listeners.is_empty())
        && addresses.into_iter().all(|addr| os::ports::bindable(addr).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_found_behind_our_own_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(of(port).unwrap().iter().any(|holder| holder.pid == Some(own)));
        drop(listener);
        assert!(of(port).unwrap().is_empty());
        assert!(with_ancestors(own).contains(&own) && with_ancestors(own).len() > 1);
    }
}
