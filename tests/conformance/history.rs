//! Histories nobody thought of: people, deaths, freezes, damage and leaps of the clock in any order. After each step the world is compared
//! with what was asked for. A history that fails is told by its seed and happens again with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use run::layout::{HostDir, workspace_id};
use testkit::{Port, SHORT, Sandbox, Workspace, alive, sandbox, until};
use wire::Phase;

use crate::machine::clock;
use crate::world::{Chance, answers, living, pair, pass, setting, tell_long_run, try_service};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Start,
    Stop,
    Restart,
    KillService,
    KillShim,
    KillDaemon,
    KillDaemonAndShim,
    FreezeDaemon,
    SuspendMachine,
    ClockLeaps,
    NewDaemon,
    LoseSocket,
    DamageRecord,
    DamageRun,
    StopAndKillDaemon,
    Status,
}

const STEPS: [Step; 16] = [
    Step::Start,
    Step::Stop,
    Step::Restart,
    Step::KillService,
    Step::KillShim,
    Step::KillDaemon,
    Step::KillDaemonAndShim,
    Step::FreezeDaemon,
    Step::SuspendMachine,
    Step::ClockLeaps,
    Step::NewDaemon,
    Step::LoseSocket,
    Step::DamageRecord,
    Step::DamageRun,
    Step::StopAndKillDaemon,
    Step::Status,
];

/// To whoever is still there.
fn signal(pid: i32, signal: Signal) {
    if let Ok(Some(process)) = os::process::ProcessIdentity::of(pid) {
        let _ = process.signal(signal);
    }
}

struct History<'a> {
    sandbox: &'a Sandbox,
    workspace: Workspace<'a>,
    port: &'a Port,
    chance: Chance,
    /// What was asked for last, which is all that a person knows.
    up: BTreeMap<&'static str, bool>,
    told: Vec<String>,
    /// By how many seconds the time of day is wrong for everything of ours; `None` where that cannot be caused.
    clock: Option<PathBuf>,
}

impl History<'_> {
    fn step(&mut self) {
        let step = STEPS[self.chance.below(STEPS.len() as u64) as usize];
        // What dies again and again has to wait longer and longer, unless it is configured as `web` is.
        let dies = matches!(step, Step::KillService | Step::FreezeDaemon);
        let name = if !dies && self.chance.below(3) == 0 { "keep" } else { "web" };
        self.told.push(format!("{step:?} {name}"));
        let service = try_service(&self.workspace, name);
        let (pid, shim) = service.map_or((None, None), |found| (found.pid, found.shim_pid));
        match step {
            Step::Start => self.ask("start", name, Some(true)),
            Step::Stop => self.ask("stop", name, Some(false)),
            Step::Restart => self.ask("restart", name, Some(true)),
            Step::KillService => pid.into_iter().for_each(|pid| signal(pid, Signal::SIGKILL)),
            Step::KillShim => shim.into_iter().for_each(|pid| signal(pid, Signal::SIGKILL)),
            Step::KillDaemon => self.kill_daemon(),
            Step::KillDaemonAndShim => {
                shim.into_iter().for_each(|pid| signal(pid, Signal::SIGSTOP));
                self.kill_daemon();
                shim.into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
            }
            Step::FreezeDaemon => {
                if let Some(daemon) = self.sandbox.try_daemon() {
                    signal(daemon, Signal::SIGSTOP);
                    if self.chance.below(2) == 0 {
                        pid.into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
                    }
                    pass(Duration::from_millis(self.chance.below(600)));
                    signal(daemon, Signal::SIGCONT);
                }
            }
            Step::SuspendMachine => {
                // All stand still, and when they go on, time has passed for all of them.
                let all = self.sandbox.processes();
                all.iter().for_each(|&pid| signal(pid, Signal::SIGSTOP));
                pass(Duration::from_millis(self.chance.below(1_500)));
                all.iter().for_each(|&pid| signal(pid, Signal::SIGCONT));
            }
            Step::ClockLeaps => {
                const YEAR: i64 = 365 * 86_400;
                let shift = [0, YEAR, -YEAR, 3_600, -3_600, 5][self.chance.below(6) as usize];
                self.told.push(format!("  by {shift} s"));
                if let Some(clock) = &self.clock {
                    std::fs::write(clock, shift.to_string()).unwrap();
                }
            }
            Step::NewDaemon => {
                self.sandbox.pipctl(&["daemon", "restart"]);
            }
            Step::LoseSocket => {
                let _ = std::fs::remove_file(self.sandbox.host().join("pipd.sock"));
            }
            Step::DamageRecord => {
                // Its goals are lost with it; those of what lives are what lives.
                self.settle();
                let path = self.host().workspace(&self.id()).record();
                self.kill_daemon();
                self.damage(&path);
                for (name, up) in &mut self.up {
                    *up = !living(&self.workspace, name).is_empty();
                }
            }
            Step::DamageRun => {
                self.settle();
                let folder = self.host().workspace(&self.id()).service(name);
                let Some(number) = folder.run_numbers().unwrap_or_default().pop() else { return };
                let run = folder.run(number);
                let files = [run.spec(), run.started(), run.spool(), run.ready()];
                let path = &files[self.chance.below(files.len() as u64) as usize];
                self.kill_daemon();
                self.damage(path);
            }
            Step::StopAndKillDaemon => {
                let mut command = self.workspace.command(self.sandbox.program());
                command.args(["stop", name]).stdout(std::process::Stdio::null());
                let mut typed = command.stderr(std::process::Stdio::null()).spawn().unwrap();
                pass(Duration::from_millis(self.chance.below(80)));
                self.kill_daemon();
                typed.wait().unwrap();
                // Whether it was recorded before the death is chance; said again it is so.
                self.ask("stop", name, Some(false));
            }
            Step::Status => {
                self.workspace.pipctl(&["status"]);
            }
        }
    }

    /// Types a verb until it is taken: a person would do the same.
    fn ask(&mut self, verb: &str, name: &'static str, up: Option<bool>) {
        let begun = Instant::now();
        loop {
            let finished = self.workspace.pipctl(&[verb, name]);
            // A service whose record was lost while it was down is known again once it is started.
            let unknown =
                || living(&self.workspace, name).is_empty() && try_service(&self.workspace, name).is_none();
            if finished.code == 0 || verb == "stop" && unknown() {
                break;
            }
            assert!(begun.elapsed() < 2 * SHORT, "{finished}\nafter {:#?}", self.told);
            // Who is told that pipd is not running types what it says there.
            self.somebody_comes();
        }
        if let Some(up) = up {
            self.up.insert(name, up);
        }
    }

    fn kill_daemon(&self) {
        if let Some(daemon) = self.sandbox.try_daemon() {
            signal(daemon, Signal::SIGKILL);
            until("the daemon to be gone", SHORT, || !alive(daemon));
        }
    }

    /// Where the last shim died together with the daemon nobody is left to bring one back: the next verb does.
    fn somebody_comes(&self) {
        let is_ours = |&pid: &i32| os::process::command_line(pid).contains("/pipd");
        if self.sandbox.try_daemon().is_none() && !self.sandbox.processes().iter().any(is_ours) {
            self.sandbox.pipctl(&["daemon", "start"]);
        }
    }

    fn host(&self) -> HostDir {
        HostDir::at(self.sandbox.host())
    }

    fn id(&self) -> String {
        workspace_id(self.workspace.root())
    }

    /// Cut off, or a bit of it flipped.
    fn damage(&mut self, path: &std::path::Path) {
        let Ok(mut bytes) = std::fs::read(path) else { return };
        if bytes.is_empty() {
            return;
        }
        let at = self.chance.below(bytes.len() as u64) as usize;
        // A format there may be one day is a matter of its own: it is refused.
        if self.chance.below(2) == 0 || at == "pipd ".len() {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << self.chance.below(8);
        }
        self.told.push(format!("  {} at {at}", path.display()));
        std::fs::write(path, bytes).unwrap();
    }

    /// One of each that is wanted, none of what is not: whatever happened.
    fn settle(&self) {
        let as_wanted = |name: &str, up: bool| {
            let here = living(&self.workspace, name);
            assert!(here.len() <= 1, "{here:?} are {name}, after {:#?}", self.told);
            let Some(service) = try_service(&self.workspace, name) else { return !up && here.is_empty() };
            if up {
                let served = name != "web" || answers(self.port);
                service.phase == Phase::Ready && service.pid.is_some_and(|pid| here == [pid]) && served
            } else {
                here.is_empty() && matches!(service.phase, Phase::Down | Phase::Finished)
            }
        };
        let begun = Instant::now();
        while !self.up.iter().all(|(name, up)| as_wanted(name, *up)) {
            self.somebody_comes();
            let now = self.workspace.pipctl(&["status"]);
            // Both places that told how it is started are damaged: a person types what is said there.
            if now.stdout.contains("its records cannot be read; type: pipctl start") {
                self.workspace.pipctl(&["start", "web"]);
            }
            assert!(
                begun.elapsed() < 2 * SHORT,
                "{:?} wanted, {now}\nafter {:#?}\nagain: PIPD_TEST_SEED={}",
                self.up,
                self.told,
                self.chance.seed
            );
        }
    }
}

#[test]
fn case_22_24_32_a_history_of_everything_ends_as_it_was_asked_for() {
    let steps: u32 = setting("PIPD_SOAK_STEPS", 40);
    let sandbox = sandbox!();
    let port = sandbox.port();
    // Everything that is started from here on, the daemon's successors too, asks this clock.
    let clock = clock(&sandbox).map(|(library, shift)| {
        sandbox.set("LD_PRELOAD", library.to_str());
        sandbox.set("XDG_PIPD_CLOCK", shift.to_str());
        shift
    });
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let up = BTreeMap::from([("web", true), ("keep", true)]);
    let chance = Chance::new("PIPD_TEST_SEED");
    let begun = Instant::now();
    let mut history =
        History { sandbox: &sandbox, workspace, port: &port, chance, up, told: Vec::new(), clock };
    for _ in 0..steps {
        history.step();
        // Mostly the next thing happens when this one is over, now and then in the middle of it.
        if history.chance.below(4) != 0 {
            history.settle();
        }
    }
    history.settle();
    println!("{steps} steps: {:?}", history.told);
    let took = begun.elapsed();
    // Nothing is so broken that it could not be stopped and begun once more.
    for verb in ["stop", "start"] {
        for name in ["web", "keep"] {
            history.ask(verb, name, Some(verb == "start"));
        }
        history.settle();
    }
    if history.clock.is_some() {
        let told = os::process::environ_value(sandbox.daemon(), "LD_PRELOAD").unwrap();
        assert!(told.is_some(), "the daemon asks another clock than its forerunners");
    }
    let kinds = STEPS.len();
    tell_long_run(
        24,
        took,
        &format!("a random history of {steps} steps of {kinds} kinds, seed {}", history.chance.seed),
        "after each one of each service that was asked for, none of what was not",
    );
}
