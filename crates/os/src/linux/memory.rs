//! Pressure, memory cgroups of both versions.

use std::fs;
use std::path::{Path, PathBuf};

use crate::memory::Group;

pub(crate) use super::rest::{rest, share_one_heap};

/// `some avg10=1.53 avg60=…`
pub(crate) fn stalled() -> Option<u32> {
    let text = fs::read_to_string("/proc/pressure/memory").ok()?;
    let average = text.lines().find_map(|line| line.strip_prefix("some avg10="))?;
    average.split(['.', ' ']).next()?.parse().ok()
}

/// The files that say how much a group uses and may use.
struct Hierarchy {
    root: &'static str,
    folder: PathBuf,
    limit: &'static str,
    used: &'static str,
    droppable: &'static str,
    kills: &'static str,
}

/// What a limit is at most; the first version writes an enormous number for "none".
const NO_LIMIT: u64 = 1 << 60;

fn hierarchy(pid: i32) -> Option<Hierarchy> {
    hierarchy_of(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?, |path| path.exists())
}

/// From the lines `5:memory:/a/b` of the first version and `0::/a/b` of the second. Where both are in use, the
/// memory controller is in one of them.
fn hierarchy_of(groups: &str, exists: impl Fn(&Path) -> bool) -> Option<Hierarchy> {
    groups.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        // Outside of what this process may see.
        if path.split('/').any(|part| part == "..") {
            return None;
        }
        let path = path.trim_start_matches('/');
        let found = if controllers.is_empty() {
            let root = "/sys/fs/cgroup";
            Hierarchy {
                root,
                folder: Path::new(root).join(path),
                limit: "memory.max",
                used: "memory.current",
                droppable: "inactive_file ",
                kills: "memory.events",
            }
        } else if controllers.split(',').any(|name| name == "memory") {
            let root = "/sys/fs/cgroup/memory";
            Hierarchy {
                root,
                folder: Path::new(root).join(path),
                limit: "memory.limit_in_bytes",
                used: "memory.usage_in_bytes",
                droppable: "total_inactive_file ",
                kills: "memory.oom_control",
            }
        } else {
            return None;
        };
        // The root group of the second version has no such file, and no limit.
        exists(&found.folder.join(found.kills)).then_some(found)
    })
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn line(path: &Path, name: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

pub(crate) fn group(pid: i32) -> Option<Group> {
    let files = hierarchy(pid)?;
    let upwards = files.folder.ancestors().take_while(|folder| folder.starts_with(files.root));
    upwards
        .filter_map(|folder| {
            let limit = number(&folder.join(files.limit)).filter(|limit| *limit < NO_LIMIT)?;
            let used = number(&folder.join(files.used))?;
            let droppable = line(&folder.join("memory.stat"), files.droppable).unwrap_or(0);
            Some(Group { limit, used: used.saturating_sub(droppable) })
        })
        .min_by_key(|group| group.limit.saturating_sub(group.used))
}

/// The file with the count.
pub(crate) type Counter = PathBuf;

pub(crate) fn counter(pid: i32) -> Option<Counter> {
    hierarchy(pid).map(|files| files.folder.join(files.kills))
}

pub(crate) fn read(counter: &Counter) -> Option<u64> {
    line(counter, "oom_kill ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_group_is_found_in_either_version() {
        let found = |groups| hierarchy_of(groups, |_| true).map(|found| found.folder);
        let first = "9:name=systemd:/x\n4:cpu,memory:/a/b\n0::/x\n";
        assert_eq!(found(first), Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(found("0::/user.slice/a\n"), Some("/sys/fs/cgroup/user.slice/a".into()));
        assert_eq!(found("0::/../elsewhere\n"), None);
        assert_eq!(found("9:name=systemd:/\n"), None);
        assert!(hierarchy_of(first, |_| false).is_none());
    }
}
