//! The daemon killed at moments without a pattern, while its services are busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use testkit::{Port, SHORT, get, kill, sandbox, until, until_some};
use wire::Phase;

use crate::world::{Chance, assert_ticks, births, pair_logging, pass, setting, tell_long_run};

/// Asks on and on; counts what was answered and what was not.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    worker: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    /// About `rate` requests a second.
    pub(crate) fn begin(port: &Port, rate: u64) -> Self {
        let url = format!("http://127.0.0.1:{port}/");
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&asked));
        let worker = std::thread::spawn(move || {
            let mut failed = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                match get(&url) {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => failed.push(answer.head),
                    Err(error) => failed.push(error.to_string()),
                }
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(1_000_000 / rate));
            }
            failed
        });
        Self { stop, asked, worker: Some(worker) }
    }

    /// How many were asked, and what went wrong.
    pub(crate) fn end(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.worker.take().unwrap().join().unwrap();
        (self.asked.load(Ordering::Relaxed), failed)
    }
}

#[test]
fn case_23_24_a_hundred_kills_under_load_cost_nothing() {
    let kills: u32 = setting("PIPD_SOAK_KILLS", 100);
    let sandbox = sandbox!();
    let port = sandbox.port();
    // Room for every line of the whole run, in small files: kills meet rotations, and none may cost a line.
    let files = (30 + kills).min(1_000);
    let workspace =
        pair_logging(&sandbox, &port, "--tick 5", &format!("file_size = \"64KiB\", files = {files}"));
    workspace.pipctl(&["start"]).ok();
    let begun = Instant::now();
    let before = (workspace.pid("web"), workspace.pid("keep"));
    let load = Load::begin(&port, 200);
    let mut chance = Chance::new("PIPD_TEST_SEED");
    let socket = sandbox.host().join("pipd.sock");
    for number in 0..kills {
        let daemon = until_some("a daemon", SHORT, || sandbox.try_daemon());
        // Mostly one that serves; now and then one that still reads its state. Two of those in a row are given time
        // by the shims before the next one, which is theirs to decide and not the matter here.
        if number % 4 != 0 {
            until("it to serve", SHORT, || std::os::unix::net::UnixStream::connect(&socket).is_ok());
            pass(Duration::from_micros(chance.below(60_000)));
        }
        kill(daemon);
        until("it to be gone", SHORT, || sandbox.try_daemon() != Some(daemon));
    }
    until("a daemon that answers", SHORT, || workspace.pipctl(&["status"]).code == 0);
    let (asked, failed) = load.end();
    let took = begun.elapsed();
    println!("{kills} kills, {asked} requests, {} failed, seed {}", failed.len(), chance.seed);
    assert!(failed.is_empty(), "{} of {asked} requests failed: {:?}", failed.len(), failed.first());
    assert!(asked > u64::from(kills), "only {asked} requests");
    let mut logged = 0;
    for (name, pid) in [("web", before.0), ("keep", before.1)] {
        let service = workspace.service(name);
        assert_eq!((service.pid, service.run, service.restarts), (Some(pid), Some(1), 0));
        assert_eq!((service.phase, births(&workspace, name)), (Phase::Ready, vec![pid]));
        let lines = workspace.stdout_lines(name);
        assert!(lines.iter().any(|line| line == "tick 0"), "the first line of {name} is gone");
        assert_ticks(&lines);
        logged += lines.len();
    }
    tell_long_run(
        24,
        took,
        &format!("{kills} kills of the daemon at random instants, seed {}", chance.seed),
        &format!("{asked} requests, none failed; {logged} lines, none lost; no service restarted"),
    );
}
