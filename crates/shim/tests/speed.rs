//! Measurements, for people: `cargo test --release -p pipd-shim --test speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use std::time::Instant;

use common::{command, script};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wire::ExitCause;

#[test]
#[ignore = "a measurement: prints times and judges none; run with --release -- --ignored --nocapture"]
fn capture_of_100_byte_lines() {
    let line = "x".repeat(99);
    for gib in [1, 2, 2] {
        let mut run = script(&format!("yes {line} | head -c {gib}G")).start();
        let begun = Instant::now();
        run.started();
        assert_eq!(run.exited().cause, ExitCause::Code(0));
        eprintln!("{:.0} MiB/s", f64::from(gib) * 1024.0 / begun.elapsed().as_secs_f64());
    }
}

#[test]
#[ignore = "a measurement: prints times and judges none; run with --release -- --ignored --nocapture"]
fn from_a_kill_to_the_report_and_from_an_exec_to_the_start() {
    let mut times: Vec<(u128, u128)> = (0..100)
        .map(|_| {
            let run = command(&["/bin/sleep", "1000"]);
            let begun = Instant::now();
            let mut run = run.start();
            let pid = run.started();
            let started = begun.elapsed().as_micros();
            // Until it has settled.
            drop(run.connect());
            let begun = Instant::now();
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            run.exited();
            let exited = begun.elapsed().as_micros();
            run.reap_shim();
            (started, exited)
        })
        .collect();
    times.sort_unstable();
    eprintln!("start p50 {} µs, p99 {} µs", times[50].0, times[98].0);
    times.sort_unstable_by_key(|time| time.1);
    eprintln!("kill to report p50 {} µs, p99 {} µs", times[50].1, times[98].1);
}

#[test]
#[ignore = "a measurement: prints times and judges none; run with --release -- --ignored --nocapture"]
fn memory_of_an_idle_shim() {
    let mut runs: Vec<_> = (0..2).map(|_| script("echo hello; exec sleep 1000").start()).collect();
    for run in &mut runs {
        run.started();
        drop(run.connect());
    }
    for run in &mut runs {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", run.shim)).unwrap();
        let lines = rollup.lines().filter(|line| line.starts_with("Pss") || line.starts_with("Private"));
        eprintln!("{}", lines.collect::<Vec<_>>().join("\n"));
        run.stop();
        run.exited();
    }
}
