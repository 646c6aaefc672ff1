//! Listening sockets, as each process tells of its own.

use std::io;
use std::os::fd::OwnedFd;

use listeners::{Protocol, SocketState};
use nix::sys::socket::{AddressFamily, SockFlag, SockType};

use super::close_on_exec;
use super::process::info;
use crate::ports::Listener;

/// One row for each process that has the socket open. Processes of other users are seen by root only.
pub(crate) fn listeners(port: Option<u16>) -> io::Result<Vec<Listener>> {
    let all = listeners::get_all().map_err(|error| io::Error::other(error.to_string()))?;
    Ok(all
        .into_iter()
        .filter(|row| row.protocol == Protocol::TCP && row.state == SocketState::Listen)
        .filter(|row| port.is_none_or(|port| row.socket.port() == port))
        .map(|row| {
            let pid = i32::try_from(row.process.pid).ok();
            Listener {
                addr: row.socket,
                socket: 0,
                uid: pid.and_then(|pid| info(pid).ok().flatten()).map(|found| found.uid),
                accept_queue: None,
                pid,
            }
        })
        .collect())
}

pub(crate) fn holders(listeners: &[Listener], among: Option<&[i32]>) -> io::Result<Vec<(i32, usize)>> {
    Ok(listeners
        .iter()
        .enumerate()
        .filter_map(|(index, listener)| Some((listener.pid?, index)))
        .filter(|(pid, _)| among.is_none_or(|among| among.contains(pid)))
        .collect())
}

/// A TCP socket that is closed on exec.
pub(crate) fn stream_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    let socket = nix::sys::socket::socket(family, SockType::Stream, SockFlag::empty(), None)?;
    close_on_exec(&socket).map_err(|_| nix::errno::Errno::last())?;
    Ok(socket)
}
