//! Having a program die, stop or be refused at a named point: the test's side of `os::failpoint!`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The points of one sandbox.
#[derive(Clone, Debug)]
pub struct Failpoints {
    folder: PathBuf,
}

impl Failpoints {
    pub(crate) fn new(folder: PathBuf) -> Self {
        std::fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    /// Where they are armed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From now on the names of all points that are passed are kept.
    ///
    /// # Panics
    /// When they cannot be.
    pub fn trace(&self) {
        std::fs::write(self.folder.join("trace"), "").unwrap();
    }

    /// The points passed since [`Self::trace`], each once.
    pub fn traced(&self) -> BTreeSet<String> {
        let trace = std::fs::read_to_string(self.folder.join("trace")).unwrap_or_default();
        trace.lines().map(str::to_owned).collect()
    }

    /// The next one who passes `point` does `action`, once: `kill`, `pause`, `panic`, `error <number>`.
    ///
    /// # Panics
    /// When it cannot be said.
    pub fn arm(&self, point: &str, action: &str) {
        // In one step: who passes must not find half of it.
        let fresh = self.folder.join("fresh");
        std::fs::write(&fresh, action).unwrap();
        std::fs::rename(fresh, self.folder.join(point)).unwrap();
    }

    /// Takes it back; whether somebody had passed the point.
    pub fn disarm(&self, point: &str) -> bool {
        let _ = std::fs::remove_file(self.folder.join(point));
        std::fs::remove_file(self.folder.join(format!("{point}.taken"))).is_ok()
    }

    /// Whether somebody has passed a point that was armed.
    pub fn was_passed(&self, point: &str) -> bool {
        self.folder.join(format!("{point}.taken")).exists()
    }
}
