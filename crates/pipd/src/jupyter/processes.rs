//! What the processes of a run show: what they use, which are kernels, what runs in terminals.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;

use os::process::{ProcessInfo, Usage};
use run::tree::Scope;
use wire::TerminalView;

/// The processes of a run at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    /// All of them, those in terminals included.
    pub(crate) all: Vec<ProcessInfo>,
    /// Kernels by what JupyterLab calls them.
    pub(crate) kernels: BTreeMap<String, KernelProcess>,
    /// Processes that are kernels or were started by one.
    pub(crate) below_kernels: HashSet<i32>,
    pub(crate) terminals: Vec<TerminalView>,
    /// All together: memory, and processor time.
    pub(crate) usage: Usage,
}

/// The process of a kernel, with what it has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelProcess {
    pub(crate) pid: i32,
    /// In bytes, of all of them.
    pub(crate) memory: u64,
}

/// Looks at them. Takes milliseconds: never on the loop.
pub(crate) fn look(scope: &Scope) -> Processes {
    let tree = crate::tree::tree(scope);
    let all: Vec<ProcessInfo> = tree.members.into_iter().chain(tree.left_running).collect();
    let usages: HashMap<i32, Usage> = all
        .iter()
        .filter_map(|process| Some((process.pid, os::process::usage(process).ok().flatten()?)))
        .collect();
    let mut found = Processes {
        usage: sum(usages.values()),
        terminals: scope.main.as_ref().map(|main| terminals(&all, main.pid)).unwrap_or_default(),
        ..Processes::default()
    };
    let children = children(&all);
    for (id, pid) in kernels(&all) {
        let below = below(pid, &children);
        let memory = sum(below.iter().filter_map(|pid| usages.get(pid))).memory;
        found.below_kernels.extend(below);
        found.kernels.insert(id, KernelProcess { pid, memory });
    }
    found.all = all;
    found
}

/// Proportional only when each of them is: a sum of both kinds is no better than the worse.
fn sum<'a>(usages: impl Iterator<Item = &'a Usage>) -> Usage {
    usages.fold(Usage { proportional: true, ..Usage::default() }, |all, one| Usage {
        memory: all.memory + one.memory,
        proportional: all.proportional && one.proportional,
        cpu_ms: all.cpu_ms + one.cpu_ms,
    })
}

/// The kernels among them. A child that a kernel forked has the kernel's arguments: the uppermost is the kernel.
fn kernels(all: &[ProcessInfo]) -> Vec<(String, i32)> {
    let named: HashMap<i32, String> = all
        .iter()
        .filter_map(|process| Some((process.pid, kernel_id(&os::process::command(process.pid)?)?)))
        .collect();
    all.iter()
        .filter_map(|process| {
            let id = named.get(&process.pid)?;
            (named.get(&process.ppid) != Some(id)).then(|| (id.clone(), process.pid))
        })
        .collect()
}

/// From the connection file among its arguments: `…/kernel-<id>.json`.
pub(super) fn kernel_id(words: &[OsString]) -> Option<String> {
    words.iter().skip(1).find_map(|word| {
        let word = word.to_str()?;
        let name = word.rsplit('/').next()?;
        let id = name.strip_prefix("kernel-")?.strip_suffix(".json")?;
        (!id.is_empty() && word.len() > name.len()).then(|| id.to_owned())
    })
}

fn children(all: &[ProcessInfo]) -> HashMap<i32, Vec<i32>> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for process in all {
        children.entry(process.ppid).or_default().push(process.pid);
    }
    children
}

/// A process and all that descend from it.
fn below(top: i32, children: &HashMap<i32, Vec<i32>>) -> HashSet<i32> {
    let (mut found, mut pending) = (HashSet::from([top]), vec![top]);
    while let Some(pid) = pending.pop() {
        for &child in children.get(&pid).into_iter().flatten() {
            if found.insert(child) {
                pending.push(child);
            }
        }
    }
    found
}

/// What runs in the terminals that `main` has opened and would end with them: whatever has such a terminal to itself,
/// and jobs in its background that a hang-up ends. What is detached from the terminal lives on.
fn terminals(all: &[ProcessInfo], main: i32) -> Vec<TerminalView> {
    let shells =
        all.iter().filter(|process| process.tty != 0 && process.pid == process.sid && process.ppid == main);
    let mut found = Vec::new();
    for shell in shells {
        let at_work = |process: &&ProcessInfo| {
            process.tty == shell.tty
                && process.sid == shell.pid
                && process.pgid != shell.pgid
                && (process.pgid == shell.foreground
                    || os::process::ignores_hangup(process.pid) != Some(true))
        };
        let mut groups: BTreeMap<i32, &ProcessInfo> = BTreeMap::new();
        for process in all.iter().filter(at_work) {
            // One line for each job: its leader, or the first of it that is left.
            let leader = groups.entry(process.pgid).or_insert(process);
            if process.pid == process.pgid {
                *leader = process;
            }
        }
        found.extend(
            groups
                .values()
                .map(|job| TerminalView { pid: job.pid, command: os::process::command_line(job.pid) }),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use os::process::Liveness;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_kernel_is_known_by_its_connection_file() {
        let id = |line: &str| kernel_id(&words(line));
        assert_eq!(id("python -m ipykernel_launcher -f /run/kernel-5eed-1.json").as_deref(), Some("5eed-1"));
        assert_eq!(id("R --slave -e x --args --f=/run/kernel-5eed.json").as_deref(), Some("5eed"));
        assert_eq!(id("vim kernel-notes.json"), None);
        assert_eq!(id("python -m ipykernel_launcher -f /run/kernel-.json"), None);
        assert_eq!(id("/x/kernel-5eed.json"), None);
    }

    fn process(pid: i32, ppid: i32, pgid: i32, sid: i32, tty: u64, foreground: i32) -> ProcessInfo {
        ProcessInfo { pid, ppid, pgid, sid, start: 1, uid: 0, tty, foreground, state: Liveness::Running }
    }

    #[test]
    fn a_terminal_is_at_work_when_more_than_its_shell_has_it() {
        // Numbers beyond what Linux gives out: nobody has them.
        const BASE: i32 = 1 << 24;
        let (main, shell) = (BASE, BASE + 1);
        let idle = process(shell, main, shell, shell, 5, shell);
        assert_eq!(terminals(&[idle], main), []);
        let busy = process(shell, main, shell, shell, 5, BASE + 2);
        let job = process(BASE + 2, shell, BASE + 2, shell, 5, BASE + 2);
        let part = process(BASE + 3, BASE + 2, BASE + 2, shell, 5, BASE + 2);
        let found = terminals(&[busy, part, job], main);
        assert_eq!(found.iter().map(|one| one.pid).collect::<Vec<_>>(), [BASE + 2]);
        // In the background, and nobody says that it would survive.
        assert_eq!(terminals(&[idle, job], main).len(), 1);
        // A program with terminals of its own, as tmux: its shells are no business of this terminal.
        let inner = process(BASE + 4, 1, BASE + 4, BASE + 4, 6, BASE + 5);
        let deep = process(BASE + 5, BASE + 4, BASE + 5, BASE + 4, 6, BASE + 5);
        assert_eq!(terminals(&[idle, inner, deep], main), []);
    }

    #[test]
    fn a_sum_of_both_kinds_says_so() {
        let one = Usage { memory: 1, proportional: true, cpu_ms: 2 };
        let other = Usage { proportional: false, ..one };
        assert_eq!(sum([one, one].iter()), Usage { memory: 2, proportional: true, cpu_ms: 4 });
        assert!(!sum([one, other].iter()).proportional);
    }
}
