//! Bringing a daemon back.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{Run, SOON, is_alive, script, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use run::protocol::Order;
use run::record::{self, DaemonGoal, DaemonRecord, Durability};
use wire::Text;

/// A daemon that locks, listens, and writes down who it is; or dies at once.
fn daemon(run: &Run, lives: bool) -> PathBuf {
    let host = run.host.path().display();
    let program = run.tmp.path().join("daemon.py");
    let text = format!(
        "#!/usr/bin/env python3
import fcntl, os, socket, sys, time
open('{host}/starts', 'a').write('%d %d %s\\n' % (os.getpid(), os.getppid(), os.environ.get('PIPD_RUN')))
if not {lives}: sys.exit(1)
lock = open('{host}/daemon.lock', 'a'); fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
s = socket.socket(socket.AF_UNIX); s.bind('{host}/pipd.sock'); s.listen()
time.sleep(1000)
",
        lives = if lives { "True" } else { "False" }
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    program
}

fn goodbye(run: &Run, goal: DaemonGoal, exe: &std::path::Path) {
    let goodbye = DaemonRecord {
        goal,
        exe: Text::from(exe),
        manager: "none".into(),
        process: None,
        session_ended: false,
        session_began_ms: 0,
    };
    record::write(&run.host.daemon_record(), &goodbye, Durability::Rename).unwrap();
}

/// Pid, parent and marker of every start.
fn starts(run: &Run) -> Vec<(i32, i32, String)> {
    let text = std::fs::read_to_string(run.host.path().join("starts")).unwrap_or_default();
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let mut number = || words.next().unwrap().parse().unwrap();
            (number(), number(), words.next().unwrap().to_owned())
        })
        .collect()
}

fn end(mut run: Run) {
    run.connection = Some(run.connect());
    run.stop();
    run.exited();
    run.reap_shim();
}

#[test]
fn a_daemon_that_died_without_goodbye_is_back_within_two_seconds() {
    let run = script("exec sleep 1000");
    goodbye(&run, DaemonGoal::Up, &daemon(&run, true));
    let mut run = run.start();
    run.started();
    let begun = Instant::now();
    run.connection = None;
    let (pid, parent, marker) = wait_for("a daemon", Duration::from_secs(2), || starts(&run).pop());
    wait_for("its socket", SOON, || run.host.socket().exists().then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_ne!(parent, run.shim, "it must not descend from a run");
    assert_eq!(marker, "None");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    end(run);
}

#[test]
fn two_shims_bring_back_one_daemon() {
    let run = script("exec sleep 1000");
    let program = daemon(&run, true);
    goodbye(&run, DaemonGoal::Up, &program);
    let mut run = run.start();
    run.started();
    let mut other = script("exec sleep 1000");
    other.spec.host_dir = run.spec.host_dir.clone();
    let mut other = other.start();
    other.started();
    run.connection = None;
    other.connection = None;
    let (pid, ..) = wait_for("a daemon", SOON, || starts(&run).pop());
    // Both have looked when both are quiet again: the starter lock is free.
    wait_for("its socket", SOON, || run.host.socket().exists().then_some(()));
    wait_for("the starter lock", SOON, || {
        (!os::lock::is_held(&run.host.path().join("starter.lock")).unwrap()).then_some(())
    });
    end(other);
    assert_eq!(starts(&run).len(), 1);
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    end(run);
}

#[test]
fn a_daemon_that_said_goodbye_stays_away() {
    let run = script("exec sleep 1000");
    goodbye(&run, DaemonGoal::Down, &daemon(&run, true));
    let mut run = run.start();
    run.started();
    run.connection = None;
    // It looks once within a quarter of a second, and not again.
    let until = Instant::now() + Duration::from_millis(800);
    wait_for("the moment to look", SOON, || {
        assert!(starts(&run).is_empty());
        (Instant::now() > until).then_some(())
    });
    end(run);
}

#[test]
fn a_daemon_that_dies_before_it_serves_is_tried_ever_more_slowly() {
    let run = script("exec sleep 1000");
    goodbye(&run, DaemonGoal::Up, &daemon(&run, false));
    let mut run = run.start();
    run.started();
    run.connection = None;
    let begun = Instant::now();
    wait_for("the third start", SOON, || (starts(&run).len() >= 3).then_some(()));
    assert!(begun.elapsed() > Duration::from_millis(2_900), "{:?}", begun.elapsed());
    // The next one that is asked for comes at once, and lives.
    let program = daemon(&run, true);
    run.connection = Some(run.connect());
    run.send(&Order::StartDaemon { exe: Text::from(program.as_path()) });
    wait_for("its socket", SOON, || run.host.socket().exists().then_some(()));
    let (pid, ..) = starts(&run).pop().unwrap();
    assert!(is_alive(pid));
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    end(run);
}

#[test]
fn a_client_in_the_run_gets_a_daemon_that_outlives_it() {
    let run = script("exec sleep 1000");
    let program = daemon(&run, true);
    let mut run = run.start();
    run.started();
    run.send(&Order::StartDaemon { exe: Text::from(program.as_path()) });
    let (pid, parent, marker) = wait_for("a daemon", SOON, || starts(&run).pop());
    wait_for("its socket", SOON, || run.host.socket().exists().then_some(()));
    assert_ne!(parent, run.shim);
    assert_eq!(marker, "None");
    run.stop();
    let exited = run.exited();
    assert!(exited.swept.is_empty() && is_alive(pid), "{exited:?}");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}
