//! Who listens, shown on real sockets.
//!
//! Each test in a process of its own: a child that another test forks has a copy of every socket until it execs.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;

use crate::common::{Guard, in_own_process, skip};
use os::ports::{self, Listener};
use os::process::Signal;
use os::{spawn, wait};

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

fn listen(address: impl Into<SocketAddr>) -> TcpListener {
    TcpListener::bind(address.into()).unwrap()
}

#[test]
fn both_families_are_seen() {
    in_own_process(|| {
        let four = listen((Ipv4Addr::LOCALHOST, 0));
        let port = four.local_addr().unwrap().port();
        let found = ports::listeners(port).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].addr, four.local_addr().unwrap());
        assert_eq!(found[0].uid, Some(nix::unistd::geteuid().as_raw()));
        assert!(ports::all_listeners().unwrap().contains(&found[0]));
        let Ok(six) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)) else {
            return skip("both_families_are_seen", "no IPv6 here");
        };
        let addresses: Vec<SocketAddr> = ports::listeners(port).unwrap().iter().map(|row| row.addr).collect();
        assert_eq!(addresses.len(), 2);
        assert!(addresses.contains(&six.local_addr().unwrap()));
        drop((four, six));
        assert_eq!(ports::listeners(port).unwrap(), Vec::<Listener>::new());
    });
}

#[test]
fn connections_are_no_listeners() {
    in_own_process(|| {
        let listener = listen((Ipv4Addr::LOCALHOST, 0));
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(ports::listeners(client.local_addr().unwrap().port()).unwrap(), Vec::<Listener>::new());
        drop(listener);
        // Established on this very port, nobody listens.
        assert_eq!(ports::listeners(address.port()).unwrap(), Vec::<Listener>::new());
        // Closed by the server first: TIME_WAIT on its port blocks nobody.
        drop(server);
        let mut rest = Vec::new();
        (&client).read_to_end(&mut rest).unwrap();
        drop(client);
        assert!(ports::bindable(address).unwrap());
    });
}

#[test]
fn all_who_share_a_socket_are_found() {
    in_own_process(|| {
        let listener = listen((Ipv4Addr::LOCALHOST, 0));
        let found = ports::listeners(listener.local_addr().unwrap().port()).unwrap();
        let null = File::open("/dev/null").unwrap();
        let args = ["1000".into()];
        let pid = spawn::child(Path::new("/bin/sleep"), &args, &[], &[(listener.as_fd(), 3)], null.as_fd())
            .unwrap();
        let child = Guard::of(pid);
        let mut wanted = vec![(own_pid(), 0), (pid, 0)];
        wanted.sort_unstable();
        let sorted = |mut pairs: Vec<(i32, usize)>| {
            pairs.sort_unstable();
            pairs
        };
        assert_eq!(sorted(ports::holders(&found, None).unwrap()), wanted);
        assert_eq!(sorted(ports::holders(&found, Some(&[pid, own_pid(), 1 << 22])).unwrap()), wanted);
        assert_eq!(ports::holders(&found, Some(&[pid])).unwrap(), [(pid, 0)]);
        assert_eq!(ports::holders(&found, Some(&[])).unwrap(), []);
        assert_eq!(ports::holders(&[], None).unwrap(), []);
        drop(listener);
        // The port is still taken: by the child alone.
        assert_eq!(ports::holders(&found, None).unwrap(), [(pid, 0)]);
        assert!(!ports::bindable(found[0].addr).unwrap());
        child.0.signal(Signal::SIGKILL).unwrap();
        crate::common::until("the end of the child", || wait::reap(pid).unwrap());
        assert!(ports::bindable(found[0].addr).unwrap());
    });
}

#[test]
fn a_taken_address_cannot_be_bound() {
    in_own_process(|| {
        let listener = listen((Ipv4Addr::LOCALHOST, 0));
        let address = listener.local_addr().unwrap();
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        assert!(!ports::bindable(address).unwrap());
        if cfg!(target_os = "linux") {
            assert!(!ports::bindable(everywhere).unwrap());
        }
        drop(listener);
        assert!(ports::bindable(address).unwrap());
        assert!(ports::bindable(everywhere).unwrap());
        // Asking leaves nothing behind.
        assert_eq!(ports::listeners(address.port()).unwrap(), Vec::<Listener>::new());
    });
}

#[test]
fn an_address_that_is_not_here_is_free() {
    in_own_process(|| {
        assert!(ports::bindable("192.0.2.1:8888".parse().unwrap()).unwrap());
        assert!(ports::bindable("[2001:db8::1]:8888".parse().unwrap()).unwrap());
    });
}
