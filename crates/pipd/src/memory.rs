//! Memory that runs out: noticed before the system has to kill, and said with who uses most of it.
//!
//! Looked at with the slow look at what is ready, while somebody watches, and every two seconds while it is short. What a
//! look finds is turned into a warning by a pure function.

use std::time::Duration;

use os::memory::{Group, Machine};
use wire::ServiceDetails;

use crate::daemon::{Daemon, Shared};
use crate::input::{Input, Key};

/// While it is short it is looked at so often.
const PERIOD: Duration = Duration::from_secs(2);
/// Services looked at, beside JupyterLabs: each costs a look at the process table.
const MOST_SERVICES: usize = 16;
/// A machine is never short with this much left, in bytes.
const PLENTY: u64 = 2 << 30;

/// Memory is running out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// For people: how much is left, who uses most of it, and what to type.
    pub(crate) sentence: String,
}

/// Where it is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    Machine {
        total: u64,
        left: u64,
    },
    /// The limit of a control group.
    Group {
        limit: u64,
        left: u64,
    },
}

/// Who uses most.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Eater {
    /// "the kernel of train.ipynb (pid 4300)"
    name: String,
    workspace: String,
    bytes: u64,
}

/// Whether memory is short. What was short stays so until there is half as much again, so that nothing flickers.
fn short(machine: Option<Machine>, groups: &[Group], was_short: bool) -> Option<Short> {
    // In thirtieths: three are a tenth.
    let share = |total: u64| total / 30 * if was_short { 9 } else { 6 } / 2;
    let of_group = groups
        .iter()
        .map(|group| Short::Group { limit: group.limit, left: group.limit.saturating_sub(group.used) })
        .filter(|short| matches!(*short, Short::Group { limit, left } if left < share(limit)))
        .min_by_key(|short| match *short {
            Short::Group { left, .. } | Short::Machine { left, .. } => left,
        });
    let of_machine = machine.and_then(|machine| {
        let (total, left) = (machine.total, machine.available);
        let plenty = if was_short { PLENTY / 2 * 3 } else { PLENTY };
        // A machine on which everything waits for memory is short of it twice as early.
        let waits = machine.stalled.is_some_and(|stalled| stalled >= 25);
        let limit = if waits { 2 * share(total) } else { share(total).min(plenty) };
        (left < limit).then_some(Short::Machine { total, left })
    });
    of_group.or(of_machine)
}

/// The kernel or service that uses most of what was gathered.
fn largest(gathered: &[ServiceDetails]) -> Option<Eater> {
    let eaters = gathered.iter().flat_map(|service| {
        let workspace = service.root.as_ref().map(|root| root.to_string_lossy()).unwrap_or_default();
        let kernels = service.jupyter.iter().flat_map(|view| &view.kernels).filter_map(|kernel| {
            let name = kernel.notebook.as_deref().unwrap_or(&kernel.id);
            Some((format!("the kernel of {name} (pid {})", kernel.pid?), kernel.memory_bytes?))
        });
        let kernels: Vec<_> = kernels.collect();
        // What a service uses beside its kernels.
        let rest = service.tree.as_ref().map_or(0, |tree| tree.memory_bytes);
        let rest = rest.saturating_sub(kernels.iter().map(|(_, bytes)| bytes).sum());
        let all = kernels.into_iter().chain([(format!("the service {}", service.name), rest)]);
        all.map(move |(name, bytes)| Eater { name, workspace: workspace.clone(), bytes }).collect::<Vec<_>>()
    });
    eaters.max_by_key(|eater| eater.bytes)
}

fn sentence(short: Short, eater: Option<&Eater>) -> String {
    let (left, all, whose) = match short {
        Short::Machine { total, left } => (left, total, "this machine has"),
        Short::Group { limit, left } => (left, limit, "its control group may use"),
    };
    let most = match eater.filter(|eater| eater.bytes >= all / 20) {
        Some(Eater { name, workspace, bytes }) => format!("{name} in {workspace} uses {}", size(*bytes)),
        None => "nothing that pipd runs uses much of it".into(),
    };
    format!(
        "memory is running out: {} of the {} that {whose} are left; {most}; look: pipctl status --long",
        size(left),
        size(all)
    )
}

/// To two digits, so that a slow change is not a new sentence each time.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        mib @ 0..10 => format!("{mib} MiB"),
        mib @ 10..1000 => format!("{} MiB", mib / 10 * 10),
        mib => format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024),
    }
}

impl Daemon {
    /// Has a look at how much memory is left. While that is enough it costs a few reads from the kernel, no thread: this
    /// happens in an idle daemon, too.
    pub(crate) fn look_after_memory(&mut self) {
        if self.memory_looked_at {
            return;
        }
        let labs = self.labs();
        let mains = labs
            .iter()
            .filter_map(|key| self.service(key)?.live.as_ref()?.main.as_ref().map(|main| main.pid));
        let own = std::process::id().cast_signed();
        let groups: Vec<Group> = std::iter::once(own).chain(mains).filter_map(os::memory::group).collect();
        let Some(short) = short(os::memory::machine().ok(), &groups, self.shortage.is_some()) else {
            if self.shortage.is_some() {
                self.on_memory(None);
            }
            return;
        };
        let Some(daemon) = self.own.upgrade() else { return };
        self.memory_looked_at = true;
        // Kernels are who it usually is.
        let others = self.keys().into_iter().filter(|key| !labs.contains(key)).take(MOST_SERVICES);
        let keys: Vec<Key> = labs.iter().cloned().chain(others).collect();
        crate::tasks::spawn(async move {
            let found = Some(Shortage { sentence: blame(&daemon, &keys, short).await });
            let inputs = daemon.borrow().inputs.clone();
            let _ = inputs.send(Input::Memory { found: found.map(Box::new) });
        });
    }

    pub(crate) fn on_memory(&mut self, found: Option<Shortage>) {
        self.memory_looked_at = false;
        if found.is_some() {
            let own = self.own.clone();
            crate::tasks::spawn(async move {
                tokio::time::sleep(PERIOD).await;
                if let Some(daemon) = own.upgrade() {
                    daemon.borrow_mut().look_after_memory();
                }
            });
        }
        if self.shortage != found {
            if let (None, Some(found)) = (&self.shortage, &found) {
                tracing::warn!("{}", found.sentence);
            }
            self.shortage = found;
            self.touch();
        }
    }
}

/// Only now, when somebody has to be named, is it gathered who uses what.
async fn blame(daemon: &Shared, keys: &[Key], short: Short) -> String {
    let gathered =
        futures_util::future::join_all(keys.iter().map(|key| crate::details::look(daemon, key))).await;
    let gathered: Vec<ServiceDetails> = gathered.into_iter().flatten().collect();
    sentence(short, largest(&gathered).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{JupyterView, KernelView, TreeView};

    const GIB: u64 = 1 << 30;

    fn machine(total: u64, available: u64, stalled: u32) -> Option<Machine> {
        Some(Machine { total, available, stalled: Some(stalled) })
    }

    #[test]
    fn a_tenth_is_short_but_two_gib_are_plenty() {
        assert_eq!(short(machine(16 * GIB, 2 * GIB, 0), &[], false), None);
        assert!(short(machine(16 * GIB, GIB, 0), &[], false).is_some());
        assert_eq!(short(machine(256 * GIB, 3 * GIB, 0), &[], false), None);
        assert!(short(machine(256 * GIB, GIB, 0), &[], false).is_some());
        // On which everything waits.
        assert!(short(machine(16 * GIB, 3 * GIB, 40), &[], false).is_some());
        assert_eq!(short(None, &[], false), None);
    }

    #[test]
    fn what_was_short_stays_so_until_there_is_more() {
        assert!(short(machine(16 * GIB, 2 * GIB, 0), &[], true).is_some());
        assert_eq!(short(machine(16 * GIB, 4 * GIB, 0), &[], true), None);
    }

    #[test]
    fn the_limit_of_a_group_counts_before_the_machine() {
        let group = |used| Group { limit: GIB, used };
        let full = short(machine(16 * GIB, 8 * GIB, 0), &[group(0), group(GIB - GIB / 20)], false);
        assert!(matches!(full, Some(Short::Group { limit: GIB, .. })), "{full:?}");
        assert_eq!(short(machine(16 * GIB, 8 * GIB, 0), &[group(GIB / 2)], false), None);
        // More than its limit, as for a moment it may be.
        assert!(short(None, &[group(2 * GIB)], false).is_some());
    }

    #[test]
    fn the_kernel_that_eats_it_is_named() {
        let kernel = |notebook: &str, bytes| KernelView {
            notebook: Some(notebook.into()),
            pid: Some(7),
            memory_bytes: Some(bytes),
            ..KernelView::default()
        };
        let gathered = ServiceDetails {
            root: Some("/w".into()),
            name: "jupyter".into(),
            tree: Some(TreeView { memory_bytes: 14 * GIB, ..TreeView::default() }),
            jupyter: Some(JupyterView {
                kernels: vec![kernel("small.ipynb", GIB), kernel("big.ipynb", 12 * GIB)],
                ..JupyterView::default()
            }),
            ..ServiceDetails::default()
        };
        let eater = largest(&[ServiceDetails::default(), gathered]);
        let low = Short::Machine { total: 16 * GIB, left: GIB / 2 };
        assert_eq!(
            sentence(low, eater.as_ref()),
            "memory is running out: 510 MiB of the 16.0 GiB that this machine has are left; the kernel of big.ipynb (pid 7) \
             in /w uses 12.0 GiB; look: pipctl status --long"
        );
        let small = Eater { name: "the service web".into(), workspace: "/w".into(), bytes: GIB / 8 };
        assert!(sentence(low, Some(&small)).contains("nothing that pipd runs uses much of it"));
    }
}
