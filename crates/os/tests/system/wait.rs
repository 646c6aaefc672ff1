//! How processes end, shown on real ones.

use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};

use crate::common::{Guard, in_own_process, skip, until};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use os::process::{Liveness, ProcessIdentity, Signal};
use os::signals;
use os::wait::{self, Ended, ExitWatch};

const TEN_SECONDS: u16 = 10_000;

fn becomes_readable(descriptor: impl AsFd) -> bool {
    let mut entries = [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)];
    loop {
        match poll(&mut entries, PollTimeout::from(TEN_SECONDS)) {
            Err(Errno::EINTR) => {}
            ready => return ready.unwrap() == 1,
        }
    }
}

#[expect(clippy::zombie_processes, reason = "what is tested is reaping it")]
fn start(script: &str) -> i32 {
    let child = Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
    i32::try_from(child.id()).unwrap()
}

#[test]
fn exits_are_told_exactly() {
    for (script, ended) in [
        ("exit 0", Ended::Code(0)),
        ("exit 3", Ended::Code(3)),
        ("kill -TERM $$", Ended::Signal { signal: libc::SIGTERM, core: false }),
        ("ulimit -c 0; kill -SEGV $$", Ended::Signal { signal: libc::SIGSEGV, core: false }),
    ] {
        let pid = start(script);
        assert_eq!(until("the end", || wait::peek(pid).unwrap()), ended, "{script}");
        let (reaped, usage) = wait::reap(pid).unwrap().unwrap();
        assert_eq!(reaped, ended, "{script}");
        assert!(usage.max_rss_kib > 100 && usage.max_rss_kib < 1 << 20, "{usage:?}");
    }
}

#[test]
fn strangers_are_not_waited_for() {
    for pid in [1, 0, -1] {
        assert_eq!(wait::peek(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD), "{pid}");
        assert_eq!(wait::reap(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD), "{pid}");
    }
}

#[test]
fn the_end_of_a_process_that_is_not_ours_is_noticed() {
    let mut shell = Command::new("/bin/sh")
        .args(["-c", "sleep 1000 & echo $!; wait; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let stranger = Guard::of(line.trim().parse().unwrap());
    let watch = ExitWatch::new(&stranger.0).unwrap().unwrap();
    assert!(!watch.has_ended().unwrap());
    assert_eq!(watch.exit_code(), None);
    stranger.0.signal(Signal::SIGTERM).unwrap();
    assert!(becomes_readable(&watch));
    assert!(watch.has_ended().unwrap());
    // Its parent reaps it; from then on the kernel tells how it ended, if it is new enough.
    until("the parent to reap", || (stranger.0.liveness().unwrap() == Liveness::Gone).then_some(()));
    match watch.exit_code() {
        Some(ended) => assert_eq!(ended, Ended::Signal { signal: libc::SIGTERM, core: false }),
        None => skip("the exit code of a stranger", "Linux before 6.15, or macOS"),
    }
    assert!(ExitWatch::new(&stranger.0).unwrap().is_none());
    drop(shell.stdin.take());
    shell.wait().unwrap();
}

#[test]
fn a_watch_on_a_zombie_is_readable_at_once() {
    let mut child = Command::new("/bin/sh").args(["-c", "exit 4"]).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let identity = ProcessIdentity::of(pid).unwrap().unwrap();
    until("the zombie", || wait::peek(pid).unwrap());
    if let Some(watch) = ExitWatch::new(&identity).unwrap() {
        assert!(becomes_readable(&watch));
        child.wait().unwrap();
        assert!(matches!(watch.exit_code(), Some(Ended::Code(4)) | None));
    } else {
        child.wait().unwrap();
        skip("a watch on a zombie", "this system calls it gone");
    }
}

#[test]
fn the_end_of_a_child_makes_the_pipe_readable() {
    in_own_process(|| {
        let pipe = signals::child_pipe().unwrap();
        assert_eq!(signals::child_pipe().unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        for _ in 0..3 {
            let mut child = Command::new("/bin/true").spawn().unwrap();
            assert!(becomes_readable(&pipe));
            child.wait().unwrap();
            signals::drain(&pipe);
            let mut entries = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut entries, PollTimeout::ZERO).unwrap(), 0);
        }
        // A full pipe never blocks the handler.
        for _ in 0..100_000 {
            nix::sys::signal::raise(Signal::SIGCHLD).unwrap();
        }
        assert!(becomes_readable(&pipe));
        signals::drain(&pipe);
        assert!(pipe.as_raw_fd() > 2);
    });
}

#[test]
fn a_child_that_is_stopped_has_not_ended() {
    in_own_process(|| {
        let pid = start("exec sleep 60");
        let process = ProcessIdentity::of(pid).unwrap().unwrap();
        assert!(process.signal(Signal::SIGSTOP).unwrap());
        until("it to be stopped", || (process.liveness().unwrap() == Liveness::Stopped).then_some(()));
        assert_eq!(wait::peek(pid).unwrap(), None);
        assert_eq!(wait::any_exited().unwrap(), None);
        assert_eq!(wait::reap(pid).unwrap(), None);
        assert!(process.signal(Signal::SIGKILL).unwrap());
        let ended = until("its end", || wait::peek(pid).unwrap());
        assert_eq!(ended, Ended::Signal { signal: 9, core: false });
        assert_eq!(wait::any_exited().unwrap(), Some(pid));
        assert_eq!(wait::reap(pid).unwrap().unwrap().0, ended);
        assert_eq!(wait::any_exited().unwrap_err().raw_os_error(), Some(Errno::ECHILD as i32));
    });
}
