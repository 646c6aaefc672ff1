//! Listening sockets by `sock_diag(7)`: the kernel filters, so ten thousand connections cost nothing.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::os::fd::AsRawFd;

use crate::ports::Listener;

const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
/// Bytes of an answer after its header that are read: `struct inet_diag_msg`.
const ANSWER: usize = 72;
/// Longest datagram of answers, in bytes: the kernel fills a page, or this much where pages are larger.
const DATAGRAM: usize = 8 << 10;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const TCP_LISTEN: u32 = 10;

pub(super) fn listeners(port: Option<u16>) -> io::Result<Vec<Listener>> {
    let netlink = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    let mut found = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        send(netlink.as_raw_fd(), &request(family, port), MsgFlags::empty())?;
        // The answer is there when send returns; a sandbox that swallowed the question must not hang us.
        let mut buffer = [0_u8; DATAGRAM];
        loop {
            let read = recv(netlink.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
            if collect(&buffer[..read], port, &mut found)? {
                break;
            }
        }
    }
    Ok(found)
}

/// "All TCP sockets of this family that listen, with this local port."
fn request(family: libc::c_int, port: Option<u16>) -> [u8; REQUEST] {
    let mut bytes = [0_u8; REQUEST];
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    bytes[0..4].copy_from_slice(&(REQUEST as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes[16] = family as u8;
    bytes[17] = libc::IPPROTO_TCP as u8;
    bytes[20..24].copy_from_slice(&(1_u32 << TCP_LISTEN).to_ne_bytes());
    bytes[24..26].copy_from_slice(&port.unwrap_or(0).to_be_bytes());
    bytes
}

/// Reads one datagram of answers; `true` after the last one.
fn collect(mut bytes: &[u8], port: Option<u16>, found: &mut Vec<Listener>) -> io::Result<bool> {
    while let Some((header, _)) = bytes.split_at_checked(HEADER) {
        let length = number(header, 0) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        if length < HEADER || length > bytes.len() {
            return Err(io::Error::other("an answer of the kernel about sockets makes no sense"));
        }
        let body = &bytes[HEADER..length];
        match libc::c_int::from(kind) {
            libc::NLMSG_DONE => return Ok(true),
            libc::NLMSG_ERROR => {
                let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return Err(io::Error::from_raw_os_error(-code));
            }
            _ if body.len() >= ANSWER => found.extend(row(body, port)),
            _ => {}
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    Ok(false)
}

fn row(body: &[u8], port: Option<u16>) -> Option<Listener> {
    let local = u16::from_be_bytes([body[4], body[5]]);
    if u32::from(body[1]) != TCP_LISTEN || port.is_some_and(|port| port != local) {
        return None;
    }
    let address: IpAddr = if libc::c_int::from(body[0]) == libc::AF_INET {
        IpAddr::from(*body.get(8..)?.first_chunk::<4>()?)
    } else {
        Ipv6Addr::from(*body.get(8..)?.first_chunk::<16>()?).to_canonical()
    };
    Some(Listener {
        addr: SocketAddr::new(address, local),
        accept_queue: Some(number(body, 56)),
        uid: Some(number(body, 64)),
        socket: u64::from(number(body, 68)),
        pid: None,
    })
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_from_the_kernel_is_refused() {
        let mut found = Vec::new();
        assert!(collect(&[1; HEADER], None, &mut found).is_err());
        assert!(collect(&[0; HEADER], None, &mut found).is_err());
        assert!(!collect(&[], None, &mut found).unwrap());
        assert!(found.is_empty());
    }

    #[test]
    fn an_error_of_the_kernel_is_passed_on() {
        let mut bytes = [0_u8; 36];
        bytes[0..4].copy_from_slice(&36_u32.to_ne_bytes());
        bytes[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        bytes[16..20].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        let error = collect(&bytes, None, &mut Vec::new()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
