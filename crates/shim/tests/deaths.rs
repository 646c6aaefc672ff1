//! Shims that are killed, and their successors.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use std::time::Duration;

use common::{SOON, is_alive, python, script, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use run::log::Stream;
use run::protocol::Report;
use wire::ExitCause;

/// Prints numbered lines on both streams until it is told to end.
const CHATTY: &str = "
import os, signal, sys
end = []
signal.signal(signal.SIGTERM, lambda *_: end.append(1))
n = 0
while not end:
    out = b''.join(b'%d %s\\n' % (n + i, b'o' * ((n + i) % 90)) for i in range(40))
    at = (n * 7) % len(out)
    os.write(1, out[:at]); os.write(2, b'%d\\n' % n); os.write(1, out[at:])
    n += 40
sys.exit(9 if n < 40 else 0)
";

fn check_chatty(run: &common::Run) -> usize {
    let out = run.lines(Stream::Stdout);
    for (n, line) in out.iter().enumerate() {
        let expected = format!("{n} {}", "o".repeat(n % 90));
        assert!(*line == expected, "line {n}: {line:?}");
    }
    let err = run.lines(Stream::Stderr);
    for (n, line) in err.iter().enumerate() {
        assert_eq!(*line, (n * 40).to_string());
    }
    assert_eq!(err.len() * 40, out.len());
    out.len()
}

#[test]
fn case_32_no_line_is_lost_or_doubled_when_shims_are_killed_at_any_moment() {
    let mut run = python(CHATTY);
    run.spec.log.files = 1000;
    run.spec.log.file_bytes = 1 << 20;
    let mut run = run.start();
    let pid = run.started();
    let mut random = u64::from(std::process::id()) << 20 | 1;
    for round in 0..40 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // A moment of its own each, also before it has begun.
        let moment = Duration::from_micros(random % if round % 4 == 0 { 3_000 } else { 40_000 });
        std::thread::sleep(moment);
        run.kill_shim();
        assert!(is_alive(pid), "the service lives on");
        run.replace_shim();
    }
    assert_eq!(run.started(), pid);
    run.stop();
    // The daemon, its new parent, reaps it.
    let ended = wait_for("its end", SOON, || os::wait::reap(pid).unwrap());
    assert_eq!(ended.0, os::wait::Ended::Code(0));
    let exited = run.exited();
    assert!(exited.asked);
    let lines = check_chatty(&run);
    assert!(lines > 1_000, "only {lines} lines");
    let marks = run.lines(Stream::Pipd);
    assert_eq!(marks.iter().filter(|mark| mark.starts_with("run 7 started")).count(), 1, "{marks:?}");
}

#[test]
fn a_successor_knows_the_code_where_the_system_tells_it() {
    let mut run = script("echo ready; read line < go; exit 5");
    let go = run.tmp.path().join("go");
    os::fifo::make(&go).unwrap();
    run = run.start();
    let pid = run.started();
    run.kill_shim();
    run.replace_shim();
    let Report::Hello { replacement: true, .. } = run.report() else { panic!() };
    std::fs::write(&go, "\n").unwrap();
    wait_for("its end", SOON, || os::wait::reap(pid).unwrap());
    let exited = run.exited();
    assert!(matches!(exited.cause, ExitCause::Code(5) | ExitCause::Unknown), "{exited:?}");
    assert_eq!(run.lines(Stream::Stdout), ["ready"]);
}

#[test]
fn a_successor_of_a_service_that_died_meanwhile_sweeps_and_buries() {
    let mut run = script("setsid sh -c 'echo $$ > far; exec sleep 1000' & echo out; wait").start();
    let pid = run.started();
    let far = run.pid_in("far");
    wait_for("its output", SOON, || (run.lines(Stream::Stdout) == ["out"]).then_some(()));
    run.kill_shim();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_for("its end", SOON, || os::wait::reap(pid).unwrap());
    run.replace_shim();
    let exited = run.exited();
    assert_eq!(exited.cause, ExitCause::Unknown);
    assert_eq!(exited.swept, ["sleep 1000"]);
    assert!(!is_alive(far));
}

#[test]
fn a_successor_walks_the_ladder_too() {
    let mut run =
        script("trap '' TERM INT; setsid sleep 1000 & echo ready; while :; do sleep 0.05; done").start();
    let pid = run.started();
    wait_for("its trap", SOON, || (run.lines(Stream::Stdout) == ["ready"]).then_some(()));
    run.kill_shim();
    run.replace_shim();
    assert_eq!(run.started(), pid);
    run.stop();
    wait_for("its end", SOON, || os::wait::reap(pid).unwrap());
    let exited = run.exited();
    assert!(matches!(exited.cause, ExitCause::Signal(9) | ExitCause::Unknown), "{exited:?}");
    assert!(exited.asked);
}

#[test]
fn a_successor_knows_that_the_end_was_asked_for() {
    let mut run =
        script("trap '' TERM INT; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done").start();
    let pid = run.started();
    wait_for("its trap", SOON, || (run.lines(Stream::Stdout) == ["ready"]).then_some(()));
    run.stop();
    run.send(&run::protocol::Order::Signal { signal: wire::Signal::Usr1, to: wire::StopTarget::Main });
    wait_for("the order behind the stop", SOON, || (run.lines(Stream::Stdout).len() == 2).then_some(()));
    run.kill_shim();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_for("its end", SOON, || os::wait::reap(pid).unwrap());
    run.replace_shim();
    assert!(run.exited().asked);
}

#[test]
fn a_second_shim_leaves() {
    let mut run = script("exec sleep 1000").start();
    run.started();
    let status = std::process::Command::new(common::shim_program()).arg(run.dir.path()).status().unwrap();
    assert!(status.success());
    run.stop();
    assert_eq!(run.exited().cause, ExitCause::Signal(15));
}

#[test]
fn a_shim_without_a_daemon_serves_on_and_tells_a_later_one() {
    let mut run = script("echo ready; read line < go; exit 5");
    let go = run.tmp.path().join("go");
    os::fifo::make(&go).unwrap();
    run = run.start();
    let pid = run.started();
    run.connection = None;
    run.connection = Some(run.connect());
    assert_eq!(run.started(), pid);
    run.connection = None;
    std::fs::write(&go, "\n").unwrap();
    run.reap_shim();
    let exited: run::record::Exited = run::record::read(&run.dir.exited()).unwrap().unwrap();
    assert_eq!(exited.cause, ExitCause::Code(5));
}

#[test]
fn a_stop_goes_on_without_a_daemon() {
    let mut run =
        script("trap '' TERM INT; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.02; done").start();
    let pid = run.started();
    wait_for("its trap", SOON, || (run.lines(Stream::Stdout) == ["ready"]).then_some(()));
    run.stop();
    run.connection = None;
    run.reap_shim();
    let exited: run::record::Exited = run::record::read(&run.dir.exited()).unwrap().unwrap();
    assert_eq!((exited.cause, exited.asked), (ExitCause::Signal(9), true));
    assert!(!is_alive(pid));
}
