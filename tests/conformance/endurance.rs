//! What adds up over weeks: a restart a second, and nothing may grow.

use std::path::Path;
use std::time::{Duration, Instant};

use testkit::{LONG, SHORT, Sandbox, kill, sandbox, until, until_some};
use wire::Phase;

use crate::world::{pair_logging, setting, tell_long_run, try_service};

/// What the daemon, and a shim that lives as long as it, hold at one moment.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    descriptors: [usize; 2],
    /// Resident, in KiB.
    memory: [u64; 2],
    zombies: usize,
    /// Without the notes below, which grow into a bound of their own.
    state_bytes: u64,
    /// The daemon's log, and what it asked the service and when.
    note_bytes: u64,
}

impl Footprint {
    fn of(sandbox: &Sandbox, processes: [i32; 2]) -> Self {
        let zombies = os::process::table().unwrap().into_iter().filter(|process| {
            processes.contains(&process.ppid) && process.state == os::process::Liveness::Zombie
        });
        let is_note = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("pipd.log") || name.starts_with("probes")
        };
        let note_bytes = size_of(&sandbox.state(), &is_note);
        Self {
            descriptors: processes
                .map(|pid| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)),
            memory: processes.map(|pid| sandbox.memory(pid)),
            zombies: zombies.count(),
            state_bytes: size_of(&sandbox.state(), &|path| !is_note(path)),
            note_bytes,
        }
    }

    /// No more than before, but for a buffer and a helper thread that come and go.
    fn is_as_small_as(&self, before: &Self) -> bool {
        let no_more = |index: usize| {
            self.descriptors[index] <= before.descriptors[index] + 4
                && self.memory[index] <= before.memory[index] + 2_048
        };
        no_more(0) && no_more(1) && self.zombies == 0
    }

    fn told(&self) -> String {
        format!(
            "descriptors {} (daemon) and {} (a shim), memory {} and {} KiB, {} zombies, state {} KiB, \
             its notes {} KiB",
            self.descriptors[0],
            self.descriptors[1],
            self.memory[0],
            self.memory[1],
            self.zombies,
            self.state_bytes >> 10,
            self.note_bytes >> 10
        )
    }
}

fn size_of(folder: &Path, counts: &dyn Fn(&Path) -> bool) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path(), counts),
            _ if !counts(&entry.path()) => 0,
            _ => entry.metadata().map_or(0, |facts| facts.len()),
        })
        .sum()
}

/// Half of the restarts are crashes, half are typed. What is measured early is the measure of what comes late.
#[test]
fn case_35_restart_after_restart_nothing_grows() {
    let rounds: u32 = setting("PIPD_SOAK_RESTARTS", 60);
    let pace = Duration::from_millis(setting("PIPD_SOAK_PACE", 0));
    if !cfg!(target_os = "linux") {
        testkit::skip!("descriptors and memory of another process are read from /proc");
    }
    let sandbox = sandbox!();
    let port = sandbox.port();
    // So small that they are full long before the first measure.
    let workspace = pair_logging(&sandbox, &port, "--print 200", "file_size = \"16KiB\", files = 2");
    workspace.pipctl(&["start"]).ok();
    let processes = [sandbox.daemon(), workspace.service("keep").shim_pid.unwrap()];
    let settled = (rounds / 10).max(30);
    let mut early = None;
    let begun = Instant::now();
    for round in 1..=rounds {
        let before = until_some("its process", SHORT, || try_service(&workspace, "web")?.pid);
        if round % 2 == 0 {
            workspace.pipctl(&["restart", "web"]).ok();
        } else {
            kill(before);
        }
        until("another one", SHORT, || {
            try_service(&workspace, "web")
                .is_some_and(|now| now.phase == Phase::Ready && now.pid != Some(before))
        });
        if round == settled {
            early = Some(Footprint::of(&sandbox, processes));
        }
        if round % (rounds / 10).max(30) == 0 {
            let now = Footprint::of(&sandbox, processes);
            println!("{round} restarts in {:?}: {}", begun.elapsed(), now.told());
        }
        std::thread::sleep((pace * round).saturating_sub(begun.elapsed()));
    }
    let took = begun.elapsed();
    let early = early.unwrap();
    // Helper threads and buffers of the last moments are given back.
    let late = until_some("nothing more than before", LONG, || {
        let now = Footprint::of(&sandbox, processes);
        now.is_as_small_as(&early).then_some(now)
    });
    assert!(late.state_bytes <= early.state_bytes + (128 << 10), "the state grew: {early:?}, {late:?}");
    // Two files of 5 MiB and two of 4 MiB.
    assert!(late.note_bytes <= 19 << 20, "the notes have no bound: {late:?}");
    assert_eq!([sandbox.daemon(), workspace.service("keep").shim_pid.unwrap()], processes);
    assert_eq!(workspace.service("keep").run, Some(1));
    tell_long_run(
        35,
        took,
        &format!("{rounds} restarts, half of them crashes"),
        &format!("after {settled}: {}; after {rounds}: {}", early.told(), late.told()),
    );
}

/// A daemon that lives for months beside a service that crashes all the time.
#[test]
fn case_35_the_daemons_own_log_is_bounded_while_it_runs() {
    let sandbox = sandbox!();
    // What it says in months is said in a moment.
    sandbox.set("PIPD_LOG", Some("trace"));
    let workspace = sandbox.workspace("talkative");
    workspace.stub_service("job", "", "ready = \"none\"");
    workspace.pipctl(&["start"]).ok();
    let daemon = sandbox.daemon();
    let log = sandbox.host().join("pipd.log");
    let file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.set_len(6 << 20).unwrap();
    until("it to be set aside", LONG, || {
        workspace.pipctl(&["restart"]).ok();
        log.with_extension("log.1").exists()
    });
    until("a line in the new one", SHORT, || {
        workspace.pipctl(&["restart"]).ok();
        std::fs::metadata(&log).is_ok_and(|facts| facts.len() > 0)
    });
    assert!(std::fs::metadata(&log).unwrap().len() < 1 << 20);
    assert_eq!(sandbox.daemon(), daemon);
}
