//! Ending what is left of a tree: TERM and CONT, a grace, then KILL until nothing is left.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use os::process::ProcessInfo;
use os::signals::Signal;

use super::{Scope, Tree, members};

/// First and longest pause between two looks.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// A process that is still there so long after a KILL sleeps in the kernel.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(2);
/// From this size on a set is stopped before it is killed, so that it cannot fork ahead of the killing.
const BOMB: usize = 16;
/// Looks in a row for newcomers of a bomb that is being stopped.
const STOP_ROUNDS: usize = 30;
/// Command lines kept.
const MAX_NAMES: usize = 50;
/// How long a terminal's shell has to follow its terminal before it counts as left running.
const SETTLE: Duration = Duration::from_millis(100);
const SETTLE_ROUNDS: u32 = 3;

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Command lines of what had to be ended.
    pub ended: Vec<String>,
    /// Command lines of what is a person's and still runs.
    pub left_running: Vec<String>,
    /// What would not die.
    pub unkillable: Vec<i32>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Call again at this time, or sooner when a child has ended.
    Again(Instant),
    /// Nothing is left that can be ended.
    Done(Swept),
}

/// A sweep under way. Never waits itself, so that the service's last output can be read meanwhile.
#[derive(Debug)]
pub struct Sweep {
    scope: Scope,
    kill_at: Instant,
    pause: Duration,
    /// Who was signalled, by pid and start, with the time of the first KILL.
    told: HashMap<(i32, u64), Option<Instant>>,
    ended: Vec<String>,
    more: usize,
    settling: u32,
    left: Vec<(i32, u64)>,
}

impl Sweep {
    /// Begins a sweep that kills what is left `grace` after `now`.
    pub fn new(scope: Scope, grace: Duration, now: Instant) -> Self {
        Self {
            scope,
            kill_at: now + grace,
            pause: FIRST_PAUSE,
            told: HashMap::new(),
            ended: Vec::new(),
            more: 0,
            settling: 0,
            left: Vec::new(),
        }
    }

    /// No grace from here on.
    pub fn kill_now(&mut self, now: Instant) {
        self.kill_at = self.kill_at.min(now);
    }

    /// Ends also what a person started.
    pub fn spare_nobody(&mut self) {
        self.scope.spare_terminals = false;
    }

    /// The caller has proof that nothing is left: done without a look.
    pub fn nothing_left(&mut self) -> Step {
        Step::Done(self.swept(&Tree::default(), Vec::new()))
    }

    /// Looks and signals once.
    ///
    /// # Errors
    /// When the process table cannot be read.
    pub fn step(&mut self, now: Instant) -> io::Result<Step> {
        let mut tree = members(&self.scope)?;
        if tree.members.is_empty() {
            return Ok(self.settle(&tree, now));
        }
        if now < self.kill_at {
            for process in &tree.members {
                if self.note(process, None) {
                    signal(process, Signal::SIGTERM);
                    signal(process, Signal::SIGCONT);
                }
            }
        } else {
            if tree.members.len() >= BOMB {
                tree = self.stop_all(tree)?;
                signal_groups(&tree, Signal::SIGKILL);
            }
            let hopeless = self.kill(&tree.members, now);
            if hopeless {
                let pids = tree.members.iter().map(|process| process.pid).collect();
                return Ok(Step::Done(self.swept(&tree, pids)));
            }
        }
        let next = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(Step::Again(if now < self.kill_at { next.min(self.kill_at) } else { next }))
    }

    /// Kills all; whether every one of them was killed long ago and is still there.
    fn kill(&mut self, processes: &[ProcessInfo], now: Instant) -> bool {
        let mut hopeless = true;
        for process in processes {
            if self.note(process, Some(now)) {
                self.pause = FIRST_PAUSE;
            }
            signal(process, Signal::SIGKILL);
            let first = self.told.get(&(process.pid, process.start)).copied().flatten().unwrap_or(now);
            hopeless &= now.saturating_duration_since(first) >= UNKILLABLE_AFTER;
        }
        hopeless
    }

    /// Stops all of them, and whom they made meanwhile, until there is nobody new.
    fn stop_all(&mut self, mut tree: Tree) -> io::Result<Tree> {
        let mut stopped = std::collections::HashSet::new();
        for _ in 0..STOP_ROUNDS {
            let mut anybody_new = false;
            signal_groups(&tree, Signal::SIGSTOP);
            for process in &tree.members {
                if stopped.insert((process.pid, process.start)) {
                    anybody_new = true;
                    signal(process, Signal::SIGSTOP);
                }
            }
            if !anybody_new {
                break;
            }
            tree = members(&self.scope)?;
        }
        Ok(tree)
    }

    /// Notes a process that is signalled; whether it is new.
    fn note(&mut self, process: &ProcessInfo, killed: Option<Instant>) -> bool {
        let key = (process.pid, process.start);
        if let Some(before) = self.told.get_mut(&key) {
            *before = before.or(killed);
            return false;
        }
        self.told.insert(key, killed);
        let is_main = self.scope.main.as_ref().is_some_and(|main| (main.pid, main.start) == key);
        if !is_main {
            if self.ended.len() < MAX_NAMES {
                self.ended.push(os::process::command_line(process.pid));
            } else {
                self.more += 1;
            }
        }
        true
    }

    /// Nothing to end is left. A terminal that has just lost its server is about to end its shell: look again
    /// before calling it left running.
    fn settle(&mut self, tree: &Tree, now: Instant) -> Step {
        let left: Vec<_> = tree.left_running.iter().map(|process| (process.pid, process.start)).collect();
        if left.is_empty() || self.settling >= SETTLE_ROUNDS || (self.settling > 0 && left == self.left) {
            return Step::Done(self.swept(tree, Vec::new()));
        }
        self.settling += 1;
        self.left = left;
        Step::Again(now + SETTLE)
    }

    fn swept(&mut self, tree: &Tree, unkillable: Vec<i32>) -> Swept {
        let mut ended = std::mem::take(&mut self.ended);
        if self.more > 0 {
            ended.push(format!("… and {} more", self.more));
        }
        let left = tree.left_running.iter().take(MAX_NAMES);
        Swept {
            ended,
            left_running: left.map(|process| os::process::command_line(process.pid)).collect(),
            unkillable,
        }
    }
}

/// Sweeps and waits for the end of it, for those who have nothing else to do.
///
/// # Errors
/// When the process table cannot be read.
pub fn sweep(scope: Scope, grace: Duration) -> io::Result<Swept> {
    let mut sweep = Sweep::new(scope, grace, Instant::now());
    loop {
        match sweep.step(Instant::now())? {
            Step::Again(at) => std::thread::sleep(at.saturating_duration_since(Instant::now())),
            Step::Done(swept) => return Ok(swept),
        }
    }
}

/// To whole groups, in one stroke each: a process that forks without end cannot run ahead of it, and thousands
/// of runnable processes leave little time for one signal each. A group has its number as long as anybody is
/// in it, and all of these were members a moment ago.
fn signal_groups(tree: &Tree, signal: Signal) {
    for &group in &tree.groups {
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), signal);
    }
}

/// To this very process. One that is gone or another user's is found, or not, by the next look.
fn signal(process: &ProcessInfo, signal: Signal) {
    if let Ok(identity) = process.identity() {
        let _ = identity.signal(signal);
    }
}
