//! Killed at every point at which the daemon or a shim asks the system for something that stays: files, processes,
//! connections. Which points there are is found out by running each scenario once.

use std::path::Path;
use std::time::{Duration, Instant};

use testkit::{Failpoints, Port, SHORT, Sandbox, Workspace, alive, sandbox, until, until_some};
use wire::Phase;

use crate::world::{answers, assert_ticks, births, living, pair, serves_once, try_service};

/// Two seconds on a machine of its own; four times that on one that others use, too.
const SETTLES_WITHIN: Duration = Duration::from_secs(8);

/// What is asked for, and what must be the case when it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scenario {
    Start,
    Stop,
    Restart,
    Crash,
    NewDaemon,
}

struct Stage<'a> {
    sandbox: &'a Sandbox,
    workspace: Workspace<'a>,
    points: Failpoints,
    port: &'a Port,
    keep: i32,
    slowest: Duration,
}

impl<'a> Stage<'a> {
    fn new(sandbox: &'a Sandbox, port: &'a Port) -> Self {
        let points = sandbox.failpoints();
        let workspace = pair(sandbox, port, "--print 2000");
        workspace.pipctl(&["start"]).ok();
        let keep = workspace.pid("keep");
        Self { sandbox, workspace, points, port, keep, slowest: Duration::ZERO }
    }

    fn prepare(&self, scenario: Scenario) {
        let verb = if scenario == Scenario::Start { "stop" } else { "start" };
        self.workspace.pipctl(&[verb, "web"]).ok();
    }

    fn run(&self, scenario: Scenario) {
        let verb: &[&str] = match scenario {
            Scenario::Start => &["start", "web"],
            Scenario::Stop => &["stop", "web"],
            Scenario::Restart => &["restart", "web"],
            Scenario::NewDaemon => &["daemon", "restart"],
            Scenario::Crash => {
                let pid = until_some("its process", SHORT, || try_service(&self.workspace, "web")?.pid);
                testkit::kill(pid);
                until("it to be gone", SHORT, || !alive(pid));
                return;
            }
        };
        // Who dies may take the answer along: what counts is what becomes of it.
        self.workspace.pipctl(verb);
    }

    /// What was asked for is so, whoever died on the way.
    fn settle(&mut self, scenario: Scenario, point: &str) {
        let begun = Instant::now();
        let stopped = scenario == Scenario::Stop;
        let settled = || {
            if stopped {
                living(&self.workspace, "web").is_empty()
                    && try_service(&self.workspace, "web").is_some_and(|now| now.phase == Phase::Down)
            } else {
                serves_once(&self.workspace, self.port)
            }
        };
        let what = format!("{scenario:?} to be done although somebody died at {point}");
        let limit = begun + SHORT;
        let mut asked_again = false;
        while !settled() {
            assert!(living(&self.workspace, "web").len() <= 1, "two at once after a death at {point}");
            assert!(Instant::now() < limit, "waited {SHORT:?} in vain for: {what}");
            // A request that died with the daemon before it was recorded is the client's to repeat.
            let a_request = matches!(scenario, Scenario::Start | Scenario::Stop | Scenario::Restart);
            if !asked_again && a_request && begun.elapsed() > Duration::from_secs(3) {
                asked_again = true;
                self.run(scenario);
            }
        }
        self.slowest = self.slowest.max(begun.elapsed());
        let keep = try_service(&self.workspace, "keep").unwrap();
        assert_eq!((keep.pid, keep.run), (Some(self.keep), Some(1)), "disturbed by a death at {point}");
    }

    fn points_of(&self, scenario: Scenario, program: &str) -> Vec<String> {
        self.prepare(scenario);
        self.points.trace();
        self.run(scenario);
        if scenario == Scenario::Stop {
            self.workspace.await_phase("web", Phase::Down);
        } else {
            until("it to serve", SHORT, || serves_once(&self.workspace, self.port));
        }
        let prefix = format!("{program}.");
        let found = self.points.traced();
        let _ = std::fs::remove_file(self.points.folder().join("trace"));
        found.into_iter().filter(|name| name.starts_with(&prefix)).collect()
    }
}

/// Each run prints `line 0`, `line 1`, …: none missing, none twice, though a run may be cut short.
fn assert_lines(lines: &[String]) {
    let mut lines = lines.iter().filter_map(|line| line.strip_prefix("line ")?.parse::<u64>().ok());
    // What was rotated away is gone.
    let mut next = lines.next().unwrap_or_default() + 1;
    for number in lines {
        assert!(number == next || number == 0, "line {number} where line {next} was expected");
        next = number + 1;
    }
}

fn killed_everywhere(scenario: Scenario, program: &str, at_least: usize) {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let mut stage = Stage::new(&sandbox, &port);
    let points = stage.points_of(scenario, program);
    assert!(points.len() >= at_least, "only {points:?}");
    let mut passed = 0;
    for point in &points {
        stage.prepare(scenario);
        let before = births(&stage.workspace, "web").len();
        stage.points.arm(point, "kill");
        stage.run(scenario);
        stage.settle(scenario, point);
        passed += usize::from(stage.points.disarm(point));
        // A daemon that dies starts nothing anew; a shim that dies takes at most the run that it was making.
        let born = births(&stage.workspace, "web").len() - before;
        let most = if scenario == Scenario::Stop || scenario == Scenario::NewDaemon { 0 } else { 2 };
        assert!(born <= most, "{born} births after a death at {point}");
    }
    assert!(passed * 10 >= points.len() * 8, "{passed} of {} points were passed again", points.len());
    println!("{scenario:?}: {program} killed at {passed} points, settled within {:?}", stage.slowest);
    assert!(stage.slowest < SETTLES_WITHIN, "it took {:?}", stage.slowest);
    assert_ticks(&stage.workspace.stdout_lines("keep"));
    assert_lines(&stage.workspace.stdout_lines("web"));
    assert!(!answers(&port) || scenario != Scenario::Stop);
    assert!(stage.sandbox.try_daemon().is_some());
}

/// The points are for tests: what is released has neither the code nor a name of them, even when asked to.
#[test]
fn a_release_build_has_no_points() {
    let contains = |program: &Path, needle: &str| {
        let bytes = std::fs::read(program).unwrap();
        bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
    };
    let repository = testkit::repository();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("points");
    std::fs::create_dir_all(&folder).unwrap();
    let source = folder.join("probe.rs");
    let module = repository.join("crates/os/src/failpoint.rs");
    let text = format!(
        "#[path = {module:?}]\npub mod failpoint;\nfn main() {{ println!(\"{{:?}}\", crate::failpoint!(\"needle.point\")); }}\n"
    );
    std::fs::write(&source, text).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = std::process::Command::new(rustc)
        .args(["--edition", "2024", "-O", "--cfg", "feature=\"failpoints\"", "-o"])
        .arg(folder.join("probe"))
        .arg(&source)
        .status();
    assert!(built.unwrap().success());
    assert!(!contains(&folder.join("probe"), "needle.point"));
    // And that they would be found: the programs under test have them.
    let under_test = Path::new(env!("CARGO_BIN_EXE_pipd"));
    assert_eq!(contains(under_test, "XDG_PIPD_FAILPOINTS"), cfg!(debug_assertions));
    let manifest = std::fs::read_to_string(repository.join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("debug-assertions"), "a release with debug assertions may have points");
    let released = under_test.ancestors().nth(2).unwrap().join("release/pipd");
    assert!(!released.exists() || !contains(&released, "XDG_PIPD_FAILPOINTS"), "{}", released.display());
}

#[test]
fn case_24_25_the_daemon_killed_at_every_point_of_a_start() {
    killed_everywhere(Scenario::Start, "pipd", 15);
}

#[test]
fn case_24_the_daemon_killed_at_every_point_of_a_stop() {
    killed_everywhere(Scenario::Stop, "pipd", 4);
}

#[test]
fn case_24_the_daemon_killed_at_every_point_of_a_restart() {
    killed_everywhere(Scenario::Restart, "pipd", 15);
}

#[test]
fn case_24_the_daemon_killed_at_every_point_of_an_automatic_restart() {
    killed_everywhere(Scenario::Crash, "pipd", 10);
}

#[test]
fn case_24_91_the_daemon_killed_at_every_point_of_its_own_replacement() {
    killed_everywhere(Scenario::NewDaemon, "pipd", 10);
}

#[test]
fn case_25_32_a_shim_killed_at_every_point_of_a_start() {
    killed_everywhere(Scenario::Start, "pipd-shim", 15);
}

#[test]
fn case_32_a_shim_killed_at_every_point_of_a_stop() {
    killed_everywhere(Scenario::Stop, "pipd-shim", 5);
}

#[test]
fn case_32_86_a_shim_killed_at_every_point_of_a_crash_and_of_its_log() {
    killed_everywhere(Scenario::Crash, "pipd-shim", 20);
}
