//! Ports for the checks: free now, and not among those a kernel hands out for outgoing connections.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Trouble;

/// Below 32768, where Linux begins to hand out ports; macOS begins at 49152.
const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

/// A port that nobody listens on. Two selftests at once begin their search far apart.
pub(crate) fn free() -> Result<u16, Trouble> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(101);
    for _ in 0..COUNT {
        let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST + step % COUNT).unwrap_or(0);
        if is_free(port) {
            return Ok(port);
        }
    }
    Err(Trouble::Broken(format!("no port is free between {FIRST} and {}", FIRST + COUNT)))
}

fn is_free(port: u16) -> bool {
    let any =
        [SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))];
    any.into_iter().all(|address| match TcpListener::bind(address) {
        Ok(_) => true,
        // A machine without one of the families.
        Err(error) => error.kind() != std::io::ErrorKind::AddrInUse,
    })
}
