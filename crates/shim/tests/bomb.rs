//! A service that forks faster than it can be counted. In a program of its own: it takes the machine's time.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use std::time::{Duration, Instant};

use common::{Run, SOON, python, wait_for};

/// Six hundred processes, some in sessions of their own, each forking on and on.
const BOMB: &str = "
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
for n in range(600):
    if os.fork() == 0:
        if n % 3 == 0: os.setsid()
        while True:
            if os.fork() > 0: os._exit(0)
            time.sleep(2)
time.sleep(1000)
";

fn members(run: &Run) -> usize {
    let table = os::process::table().unwrap();
    let marked = table.into_iter().filter(|process| {
        process.state.is_alive()
            && os::process::environ_value(process.pid, "PIPD_RUN")
                .is_ok_and(|value| value.is_some_and(|value| value == *run.spec.marker))
    });
    marked.count()
}

#[test]
fn case_15_a_bomb_is_defused() {
    let mut run = python(BOMB).start();
    run.started();
    wait_for("the bomb", SOON * 2, || (members(&run) > 500).then_some(()));
    let begun = Instant::now();
    run.stop();
    let exited = run.exited();
    eprintln!("defused in {:?}", begun.elapsed());
    assert!(exited.unkillable.is_empty(), "{:?}", exited.unkillable);
    assert_eq!(members(&run), 0);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}
