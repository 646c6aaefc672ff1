//! Ports that no other test and no outgoing connection of this machine takes meanwhile.

use std::fs::{DirBuilder, File};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which kernels take ports for outgoing connections (Linux: 32768, macOS: 49152).
const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

/// A port, reserved among all tests of this user by a locked file for as long as this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves one that nobody listens on.
    ///
    /// # Panics
    /// When there is none.
    pub fn reserve() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = std::env::temp_dir().join(format!("pipd-test-ports-{}", nix::unistd::getuid()));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).unwrap();
        let start = std::process::id().wrapping_mul(37);
        for _ in 0..COUNT {
            let step = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = u16::try_from(FIRST + step % COUNT).unwrap();
            let lock = File::create(folder.join(number.to_string())).unwrap();
            if lock.try_lock().is_ok() && is_free(number) {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.number.fmt(f)
    }
}

fn is_free(port: u16) -> bool {
    let any =
        [SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))];
    any.into_iter().all(|address| match TcpListener::bind(address) {
        Ok(_) => true,
        // A machine without IPv6.
        Err(error) => error.kind() != std::io::ErrorKind::AddrInUse,
    })
}
