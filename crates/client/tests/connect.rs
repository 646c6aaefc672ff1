//! Finding the daemon, proving it is ours, and failing fast and clearly when it is not there.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod fake;

use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use client::{CallError, Client, ConnectError, Locations, StartDaemon, StartError};
use fake::{Fake, Host, greet, hello_answer, no, ok};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use run::layout::HostDir;
use wire::{HelloAnswer, Snapshot, code};

/// A frozen daemon is given up within this time.
const FAST: Duration = Duration::from_millis(2_500);

fn refused(host: &Host) -> ConnectError {
    let begun = Instant::now();
    let error = Client::connect(&host.locations()).unwrap_err();
    assert!(begun.elapsed() < FAST, "{error} after {:?}", begun.elapsed());
    error
}

#[test]
fn without_a_folder_it_is_not_running() {
    let locations = Locations::at(vec![HostDir::new(std::path::Path::new("/nonexistent"), "x")]);
    let begun = Instant::now();
    assert!(matches!(Client::connect(&locations), Err(ConnectError::NotRunning)));
    assert!(begun.elapsed() < Duration::from_millis(100));
}

#[test]
fn a_socket_left_behind_is_not_a_daemon() {
    let host = Host::new();
    drop(UnixListener::bind(host.host.socket()).unwrap());
    assert!(host.host.socket().exists());
    assert!(matches!(refused(&host), ConnectError::NotRunning));
    drop(host.lock());
    assert!(matches!(refused(&host), ConnectError::NotRunning));
}

#[test]
fn a_held_lock_without_a_socket_is_unreachable_and_names_the_socket() {
    let host = Host::new();
    let _lock = host.lock();
    let error = refused(&host);
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("pipd.sock"), "{error}");
    assert!(error.to_string().ends_with(&format!("kill -9 {}", std::process::id())), "{error}");
}

#[test]
fn a_folder_open_to_others_is_not_trusted() {
    let host = Host::new();
    std::fs::set_permissions(host.host.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = refused(&host);
    assert!(matches!(&error, ConnectError::Unsafe { why, .. } if why.contains("0755")), "{error:?}");
}

#[test]
fn a_linked_folder_is_not_trusted() {
    let host = Host::new();
    let link = host.dir.path().join("hosts/link");
    symlink(host.host.path(), &link).unwrap();
    let locations = Locations::at(vec![HostDir::new(host.dir.path(), "link")]);
    assert!(matches!(Client::connect(&locations), Err(ConnectError::Unsafe { .. })));
}

#[test]
fn the_second_folder_is_looked_at_too() {
    let empty = Host::new();
    let fake = Fake::greeting(|frame| vec![ok(frame, &Snapshot::default())]);
    let locations = Locations::at(vec![empty.host.clone(), fake.host.host.clone()]);
    let client = Client::connect(&locations).unwrap();
    assert_eq!(client.host_dir(), &fake.host.host);
    assert_eq!(client.daemon(), &hello_answer().daemon);
    assert_eq!(client.protocol(), 1);
}

#[test]
fn a_daemon_that_accepts_and_never_answers_is_frozen() {
    let fake = Fake::new(|_| Box::new(|_| Some(Vec::new())));
    let error = refused(&fake.host);
    let own = std::process::id().to_string();
    assert!(matches!(error, ConnectError::Frozen { stopped: false, .. }), "{error:?}");
    assert!(error.to_string().ends_with(&format!("kill -9 {own}")), "{error}");
}

#[test]
fn a_daemon_that_never_accepts_is_frozen_also_when_its_backlog_is_full() {
    let host = Host::new();
    let _lock = host.lock();
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&host.host.socket()).unwrap()).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    // The first one still gets a place in the queue, the others do not.
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let locations = host.locations();
            std::thread::spawn(move || {
                let begun = Instant::now();
                (Client::connect(&locations).unwrap_err(), begun.elapsed())
            })
        })
        .collect();
    for thread in waiting {
        let (error, took) = thread.join().unwrap();
        // Where a full backlog looks like a closed socket, the lock still tells that a daemon lives.
        let told =
            matches!(error, ConnectError::Frozen { .. } | ConnectError::Unreachable { pid: Some(_), .. });
        assert!(told, "{error:?}");
        assert!(took < FAST, "{took:?}");
    }
}

#[test]
fn an_answer_that_drips_is_frozen_too() {
    let host = Host::new();
    let _lock = host.lock();
    let listener = UnixListener::bind(host.host.socket()).unwrap();
    let drip = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        // Ends when the client has gone.
        while stream.write_all(b" ").is_ok() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    });
    assert!(matches!(refused(&host), ConnectError::Frozen { .. }));
    drip.join().unwrap();
}

#[test]
fn garbage_is_told_from_silence() {
    let lines: [&[u8]; 4] =
        [b"hello?\n", b"[]\n", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7}\n", b"\xff\x00\n"];
    for line in lines {
        let fake = Fake::new(move |_| Box::new(move |_| Some(vec![line.to_vec()])));
        let error = refused(&fake.host);
        assert!(
            matches!(&error, ConnectError::Hello { source: CallError::Garbage(_), .. }),
            "{error:?} for {line:?}"
        );
    }
}

#[test]
fn a_line_without_end_is_refused_before_it_fills_the_memory() {
    let fake = Fake::new(|_| Box::new(|_| Some(vec![vec![b'x'; wire::MAX_LINE_BYTES + 2]])));
    let error = refused(&fake.host);
    assert!(matches!(&error, ConnectError::Hello { source: CallError::Garbage(_), .. }), "{error:?}");
}

#[test]
fn versions_that_do_not_meet_are_said_plainly() {
    let refuses = Fake::new(|_| {
        Box::new(|frame| Some(vec![no(frame, code::VERSION, "pipd 9.0 speaks protocol 7 to 9")]))
    });
    let error = refused(&refuses.host);
    assert!(matches!(error, ConnectError::Version(_)), "{error:?}");
    assert!(error.to_string().contains("pipd 9.0 speaks protocol 7 to 9"), "{error}");
    assert!(error.to_string().ends_with("pipctl daemon restart"), "{error}");

    let careless = Fake::new(|_| {
        Box::new(|frame| Some(vec![ok(frame, &HelloAnswer { protocol: 99, ..hello_answer() })]))
    });
    assert!(matches!(refused(&careless.host), ConnectError::Version(_)));
}

#[test]
fn a_daemon_that_goes_away_at_hello_is_followed_to_its_successor() {
    let fake = Fake::new(|number| match number {
        0 => Box::new(|_| None),
        1 => Box::new(|frame| Some(vec![no(frame, code::GOING_AWAY, "going away")])),
        _ => Box::new(|frame| greet(frame).map(|line| vec![line])),
    });
    assert_eq!(Client::connect(&fake.locations()).unwrap().daemon().pid, 4711);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let host = Host::new();
    let exe = PathBuf::from("/nonexistent/pipd");
    let error =
        Client::connect_or_start(&host.locations(), StartDaemon { exe: exe.clone(), on_wait: &mut |_| {} })
            .unwrap_err();
    assert!(matches!(&error, StartError::Spawn { exe: named, .. } if *named == exe), "{error:?}");
}

#[test]
fn a_daemon_that_dies_at_once_is_quoted() {
    let host = Host::new();
    let exe = host.dir.path().join("pipd");
    std::fs::write(
        &exe,
        "#!/bin/sh\necho \"state: $PIPD_RUN${HOME:+home}\"\necho 'cannot bind' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&exe, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut told = 0;
    let error = Client::connect_or_start(&host.locations(), StartDaemon { exe, on_wait: &mut |_| told += 1 })
        .unwrap_err();
    let StartError::Died { log, last_lines } = &error else { panic!("{error:?}") };
    assert_eq!(log, &host.host.daemon_log());
    assert_eq!(last_lines.last().map(String::as_str), Some("cannot bind"));
    assert!(error.to_string().contains("cannot bind"), "{error}");
    assert_eq!(told, 1);
    let mode = std::fs::metadata(log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_long_log_is_set_aside_before_a_start() {
    let host = Host::new();
    let log = host.host.daemon_log();
    std::fs::File::create(&log).unwrap().set_len((5 << 20) + 1).unwrap();
    let exe = PathBuf::from("/bin/false");
    let _ = Client::connect_or_start(&host.locations(), StartDaemon { exe, on_wait: &mut |_| {} });
    assert_eq!(std::fs::metadata(&log).unwrap().len(), 0);
    assert_eq!(std::fs::metadata(log.with_file_name("pipd.log.1")).unwrap().len(), (5 << 20) + 1);
}

#[test]
fn a_daemon_that_is_starting_is_waited_for_and_no_second_one_is_made() {
    let host = Host::new();
    let lock = host.lock();
    let socket = host.host.socket();
    let locations = host.locations();
    let (looked, look) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        looked.send(()).unwrap();
        // This program would fail at once: being connected proves that it was not tried.
        let exe = PathBuf::from("/nonexistent/pipd");
        Client::connect_or_start(&locations, StartDaemon { exe, on_wait: &mut |_| {} }).map(|_| ())
    });
    look.recv().unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let server = std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        let (stream, _) = listener.accept().unwrap();
        let mut line = Vec::new();
        BufReader::new(&stream).read_until(b'\n', &mut line).unwrap();
        let Ok(wire::Frame::Request(frame)) = wire::decode(line.trim_ascii_end()) else { panic!() };
        (&stream).write_all(&greet(&frame).unwrap()).unwrap();
    });
    client.join().unwrap().unwrap();
    server.join().unwrap();
    drop(lock);
}
