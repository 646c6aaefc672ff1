//! Every reader of what others wrote, tried with any bytes: requests and answers, configuration, records, logs.
//!
//! A target takes bytes and panics when a promise is broken; a refusal is none. This is the one place for targets and
//! for the inputs they begin with. Two engines drive them: [`mutate`] on every change, without knowledge of the code,
//! and libFuzzer in `fuzz/` (`cargo xtask fuzz`), which sees what each input reaches. Development only.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

mod config;
mod folder;
mod log;
pub mod mutate;
mod state;
mod wire_lines;

use std::path::{Path, PathBuf};

/// Something to try with any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Also the name of its corpus, and of the program in `fuzz/`.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Words of its language, for an engine that does not see the code.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: [Target; 4] = [
    Target { name: "wire", run: wire_lines::run, words: wire_lines::WORDS },
    Target { name: "config", run: config::run, words: config::WORDS },
    Target { name: "state", run: state::run, words: state::WORDS },
    Target { name: "log", run: log::run, words: log::WORDS },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

impl Target {
    /// The inputs that are kept for it: each once found a fault, or reaches something else than the others.
    pub fn corpus(&self) -> PathBuf {
        repository().join("fuzz/corpus").join(self.name)
    }

    /// Everything it begins with.
    ///
    /// # Panics
    /// When the corpus cannot be read.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(self.corpus()).unwrap().map(|entry| entry.unwrap().path()).collect();
        // In one order everywhere: a number names the same input.
        files.sort();
        files.iter().map(|file| std::fs::read(file).unwrap()).collect()
    }
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
