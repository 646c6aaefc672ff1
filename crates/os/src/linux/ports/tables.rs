//! Listening sockets by `/proc/net/tcp` and `/proc/net/tcp6`.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::ports::Listener;

const LISTEN: &str = "0A";

pub(super) fn listeners(port: Option<u16>) -> io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    for table in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => found.extend(
                text.lines()
                    .skip(1)
                    .filter_map(row)
                    .filter(|row| port.is_none_or(|port| row.addr.port() == port)),
            ),
            // A kernel without IPv6.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Reads `0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 uid timeout inode …`.
fn row(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let (_, waiting) = fields.next()?.split_once(':')?;
    let uid = fields.nth(2)?;
    let inode = fields.nth(1)?;
    Some(Listener {
        addr: SocketAddr::new(parse_address(address)?, u16::from_str_radix(port, 16).ok()?),
        socket: inode.parse().ok()?,
        uid: uid.parse().ok(),
        accept_queue: u32::from_str_radix(waiting, 16).ok(),
        pid: None,
    })
}

/// Words of 32 bits as this machine reads them from memory, where they are in network order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0_u8; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read() {
        let line = "   1: 0100007F:22B8 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 4242 1 0 100";
        let found = row(line).unwrap();
        assert_eq!(found.addr, "127.0.0.1:8888".parse().unwrap());
        assert_eq!((found.socket, found.uid, found.accept_queue), (4242, Some(1000), Some(3)));
    }

    #[test]
    fn only_listeners_count() {
        let line = "   1: 0100007F:22B8 0100007F:9999 01 00000000:00000003 00:00000000 00000000  1000        0 4242 1";
        assert_eq!(row(line), None);
    }

    #[test]
    fn both_families_are_read() {
        assert_eq!(
            parse_address("00000000000000000000000001000000"),
            Some(IpAddr::from(Ipv6Addr::LOCALHOST))
        );
        assert_eq!(
            parse_address("0000000000000000FFFF00000100007F"),
            Some(IpAddr::from(Ipv4Addr::LOCALHOST))
        );
        assert_eq!(parse_address("xyz"), None);
    }
}
