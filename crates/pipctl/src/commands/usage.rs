//! What the processes of services use, for `status --long`. Read by the client: the daemon measures nothing.

use std::collections::HashMap;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use wire::Snapshot;

use crate::render::{Usage, Usages};

/// Of every service that has a process: it and all its descendants, those of its shim included, because that
/// is where orphans of the run land.
pub(crate) fn of(snapshot: &Snapshot) -> Usages {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    // A table that cannot be read leaves every service with its main process.
    for process in os::process::table().unwrap_or_default() {
        children.entry(process.ppid).or_default().push(process.pid);
    }
    let services = snapshot.workspaces.iter().flat_map(|view| &view.services);
    let trees: Vec<(i32, Vec<i32>)> = services
        .filter_map(|service| {
            let main = service.pid?;
            let mut tree = descendants(main, &children);
            if let Some(shim) = service.shim_pid {
                let orphans = descendants(shim, &children);
                tree.extend(orphans.into_iter().filter(|&pid| pid != shim));
            }
            tree.sort_unstable();
            tree.dedup();
            Some((main, tree))
        })
        .collect();
    measure(&trees)
}

fn descendants(top: i32, children: &HashMap<i32, Vec<i32>>) -> Vec<i32> {
    let mut found = vec![top];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        for &child in children.get(&pid).into_iter().flatten() {
            // A table read while processes come and go may hold a circle.
            if !found.contains(&child) {
                found.push(child);
            }
        }
    }
    found
}

fn measure(trees: &[(i32, Vec<i32>)]) -> Usages {
    let pid = |pid: i32| u32::try_from(pid).ok().map(Pid::from_u32);
    let wanted: Vec<Pid> = trees.iter().flat_map(|(_, tree)| tree).filter_map(|&one| pid(one)).collect();
    // Where the system tells nothing, the columns stay empty.
    let Ok(mut system) = System::new() else { return Usages::new() };
    let what = ProcessRefreshKind::nothing().with_memory().with_cpu().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&wanted), false, what);
    trees
        .iter()
        .map(|(main, tree)| {
            let mut usage = Usage::default();
            for process in tree.iter().filter_map(|&one| system.process(pid(one)?)) {
                usage.processes += 1;
                usage.memory += process.memory();
                usage.cpu_ms += process.accumulated_cpu_time();
            }
            (*main, usage)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let own = i32::try_from(std::process::id()).unwrap();
        let usages = measure(&[(own, vec![own])]);
        assert_eq!(usages[&own].processes, 1);
        assert!(usages[&own].memory > 0);
    }

    #[test]
    fn a_circle_in_the_table_ends() {
        let children = HashMap::from([(1, vec![2]), (2, vec![1, 3])]);
        assert_eq!(descendants(1, &children), [1, 2, 3]);
    }
}
