//! Whether the kernel killed something of ours for memory: the count of such kills in our memory cgroup, now
//! and when the run began. Where the count cannot be read, nothing is claimed.

use std::path::{Path, PathBuf};

/// The count at the beginning.
pub(crate) struct Kills {
    file: Option<PathBuf>,
    before: Option<u64>,
}

impl Kills {
    /// Reads the count.
    pub(crate) fn now() -> Self {
        let file = counter();
        let before = file.as_deref().and_then(read);
        Self { file, before }
    }

    /// Goes on from a count that a predecessor kept.
    pub(crate) fn since(before: Option<u64>) -> Self {
        Self { file: counter(), before }
    }

    pub(crate) fn before(&self) -> Option<u64> {
        self.before
    }

    /// Whether there was such a kill since. In a cgroup shared with others it may have hit one of them.
    pub(crate) fn happened(&self) -> Option<bool> {
        Some(read(self.file.as_deref()?)? > self.before?)
    }
}

fn counter() -> Option<PathBuf> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let path = path.trim_start_matches('/');
        let file = match controllers {
            "" => Path::new("/sys/fs/cgroup").join(path).join("memory.events"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                Path::new("/sys/fs/cgroup/memory").join(path).join("memory.oom_control")
            }
            _ => return None,
        };
        read(&file).map(|_| file)
    })
}

/// Both files have a line `oom_kill <count>`.
fn read(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
