//! What pipd promises, checked on the machine it is installed on: the programs as a person would call them, with
//! stub services that are a hidden verb of `pipctl`, so that nothing else is needed.
//!
//! Every check has a folder, a state folder, ports and a daemon of its own. It never asks for, signals or changes
//! a daemon or service of the user, and it leaves nothing behind.

#![forbid(unsafe_code)]

mod checks;
mod error;
mod ports;
mod processes;
mod programs;
pub mod stub;
mod terminal;
mod ticks;
mod wait;
mod world;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use error::Trouble;
pub use programs::own_program;

/// The hidden verb of `pipctl` that is the stub service.
pub const STUB_VERB: &str = "selftest-stub";

/// One promise and how it is checked. Each lies in a file of its own below `checks/`.
pub(crate) trait Check: Sync {
    /// A word to name it by.
    fn name(&self) -> &'static str;

    /// What is promised, a short sentence.
    fn promise(&self) -> &'static str;

    /// Tries it.
    fn run(&self, world: &world::World<'_>) -> Result<Kept, Trouble>;
}

/// A promise was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it.
    Fully,
    /// All but what this system does not allow.
    Except(&'static str),
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The promise was kept.
    Kept,
    /// It was kept but for what the system does not allow.
    Except(String),
    /// It was not kept, or could not be tried.
    Broken(String),
}

/// One check that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its word.
    pub check: &'static str,
    /// Its sentence.
    pub promise: &'static str,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took, its clearing up included.
    pub took: Duration,
}

/// What to check, and how.
#[derive(Debug)]
pub struct Selftest<'a> {
    /// `pipctl`, with `pipd` and `pipd-shim` beside it.
    pub program: PathBuf,
    /// Only these; all when empty.
    pub only: &'a [String],
    /// The folders of the checks are kept.
    pub keep: bool,
    /// Set by somebody else: clear up and end.
    pub interrupted: &'a AtomicBool,
}

/// Names and promises of all checks, in their order.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    checks::ALL.iter().map(|check| (check.name(), check.promise()))
}

impl Selftest<'_> {
    /// Makes the checks one after the other; each row is handed over as it comes. Returns the folder that was kept.
    ///
    /// # Errors
    /// When no check can be made at all, or somebody interrupts. A promise that is broken is no error but a row.
    pub fn run(&self, mut on_row: impl FnMut(Row) -> bool) -> Result<Option<PathBuf>, Trouble> {
        programs::complete(&self.program)?;
        world::clear_up_after_the_dead();
        let ground = world::Ground::new(&self.program, self.interrupted, self.keep)?;
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        for (number, check) in checks::ALL.iter().enumerate().filter(|(_, check)| wanted(check.name())) {
            let row = one(*check, &ground, number)?;
            if !on_row(row) {
                break;
            }
        }
        Ok(self.keep.then(|| ground.folder().to_owned()))
    }
}

fn one(check: &dyn Check, ground: &world::Ground<'_>, number: usize) -> Result<Row, Trouble> {
    let begun = Instant::now();
    let result = world::World::new(ground, number).and_then(|world| {
        let result = check.run(&world).map_err(|trouble| trouble.with(world.last_words()));
        // What was left behind is worth a word only when all else was well.
        let cleared = world.clear();
        result.and_then(|kept| cleared.map(|()| kept))
    });
    if ground.interrupted().load(Ordering::Relaxed) {
        return Err(Trouble::Interrupted);
    }
    let outcome = match result {
        Ok(Kept::Fully) => Outcome::Kept,
        Ok(Kept::Except(what)) => Outcome::Except(what.to_owned()),
        Err(Trouble::Interrupted) => return Err(Trouble::Interrupted),
        Err(trouble) => Outcome::Broken(trouble.to_string()),
    };
    Ok(Row { check: check.name(), promise: check.promise(), outcome, took: begun.elapsed() })
}

/// The folder below which selftests live. Short, since the path of a socket must be, and independent of `TMPDIR`.
fn base() -> &'static Path {
    Path::new("/tmp")
}
