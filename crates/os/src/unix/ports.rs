//! Who listens on a TCP port, and whether a server could.
//!
//! Listening sockets only: what is left of a connection blocks no server, and an outgoing connection is no holder.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockaddrIn, SockaddrIn6, bind, setsockopt, sockopt};

use crate::sys;

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens. `[::]` may take IPv4 connections too.
    pub addr: SocketAddr,
    /// The socket's inode number, by which [`holders`] finds it; 0 when unknown.
    pub socket: u64,
    /// The user who made it, also when the process is hidden from us.
    pub uid: Option<u32>,
    /// Connections that wait to be accepted.
    pub accept_queue: Option<u32>,
    /// A process that has it open, where the system names sockets by process (macOS: one row for each).
    pub pid: Option<i32>,
}

/// The sockets that listen on a port, on any address of either family.
///
/// # Errors
/// What the system says.
pub fn listeners(port: u16) -> io::Result<Vec<Listener>> {
    sys::ports::listeners(Some(port))
}

/// All sockets that listen, in our network namespace.
///
/// # Errors
/// What the system says.
pub fn all_listeners() -> io::Result<Vec<Listener>> {
    sys::ports::listeners(None)
}

/// Which processes have these sockets open: `(pid, index into the listeners)`. Several may share one.
///
/// With `among`, only these processes are looked at, which is quick; without, every process we may look into. A
/// process of another user is not seen, except by root.
///
/// # Errors
/// What the system says. Processes that end meanwhile or are hidden from us are left out.
pub fn holders(listeners: &[Listener], among: Option<&[i32]>) -> io::Result<Vec<(i32, usize)>> {
    if listeners.is_empty() {
        return Ok(Vec::new());
    }
    sys::ports::holders(listeners, among)
}

/// Whether a server could bind this address now, as servers do: with `SO_REUSEADDR`. It never listens.
///
/// An address or a family that this host does not have counts as free: nobody can be in the way there. On macOS an
/// address can be bound beside another's wildcard socket, so ask for [`listeners`] as well.
///
/// # Errors
/// `PermissionDenied` for a port that we may not use; else what the system says.
pub fn bindable(addr: SocketAddr) -> io::Result<bool> {
    let family = if addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = match sys::ports::stream_socket(family) {
        Ok(socket) => socket,
        Err(Errno::EAFNOSUPPORT) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    let bound = match addr {
        SocketAddr::V4(addr) => bind(socket.as_raw_fd(), &SockaddrIn::from(addr)),
        SocketAddr::V6(addr) => bind(socket.as_raw_fd(), &SockaddrIn6::from(addr)),
    };
    match bound {
        Ok(()) | Err(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => Ok(true),
        Err(Errno::EADDRINUSE) => Ok(false),
        Err(Errno::EACCES) => {
            Err(io::Error::new(ErrorKind::PermissionDenied, format!("{addr} may not be used by this user")))
        }
        Err(error) => Err(error.into()),
    }
}
