//! Listening sockets: from netlink where it answers, else from /proc/net.

mod diag;
mod holders;
mod tables;

use std::io;
use std::os::fd::OwnedFd;

use nix::sys::socket::{AddressFamily, SockFlag, SockType};

use crate::ports::Listener;

pub(crate) use holders::holders;

pub(crate) fn listeners(port: Option<u16>) -> io::Result<Vec<Listener>> {
    // A kernel without the module, a sandbox: the tables say the same, more slowly.
    diag::listeners(port).or_else(|_| tables::listeners(port))
}

/// A TCP socket that is closed on exec.
pub(crate) fn stream_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    nix::sys::socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn both_sources_say_the_same() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = four.local_addr().unwrap().port();
        // Where there is no IPv6 there is one row.
        let _six = TcpListener::bind(("::1", port));
        let _waiting = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let sorted = |mut rows: Vec<Listener>| {
            rows.sort_by_key(|row| row.socket);
            rows
        };
        let from_netlink = sorted(diag::listeners(Some(port)).unwrap());
        assert_eq!(from_netlink, sorted(tables::listeners(Some(port)).unwrap()));
        let row = from_netlink.iter().find(|row| row.addr == four.local_addr().unwrap()).unwrap();
        assert_eq!(row.accept_queue, Some(1));
    }
}
