//! Making and filling the environment of a workspace, so that whatever goes wrong leaves the old one as it was.
//!
//! Everything that needs the network or a compiler happens before the environment is touched. Then a snapshot of hard links
//! is taken; it goes when all is there, and is put back when anything failed. One that a killed setup left behind is put
//! back by the next.

mod installer;
mod place;
mod progress;
mod snapshot;
pub(crate) mod stamp;
mod stream;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use workspace::{Python, Wants};

use crate::interrupt::Flag;

pub(crate) use installer::Tool;
pub(crate) use place::Place;
pub(crate) use progress::Bar;

/// Why an environment was not made. It is then as it was.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Ctrl-C.
    Interrupted,
    /// A program failed; what it said last.
    Program {
        /// What was being done.
        doing: String,
        /// Its own words.
        said: String,
    },
    /// A file or program could not be used.
    Io {
        /// What was being done.
        doing: String,
        /// What the system says.
        source: io::Error,
    },
}

impl Fault {
    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted"),
            Self::Program { doing, said } => write!(f, "{doing}: {said}"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

/// What all steps share.
pub(crate) struct Work<'a> {
    /// The workspace's folder.
    pub(crate) root: &'a Path,
    /// The caller's environment.
    pub(crate) env: &'a [(std::ffi::OsString, std::ffi::OsString)],
    /// Raised by Ctrl-C.
    pub(crate) flag: &'a Flag,
    /// Everything the programs say.
    pub(crate) log: File,
    /// What a person sees meanwhile.
    pub(crate) bar: Bar<'a>,
}

/// What a setup came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// The environment was made, not only filled.
    pub(crate) made: bool,
    /// Packages that were installed, `name version`.
    pub(crate) installed: Vec<String>,
    /// Where the environment of before is kept.
    pub(crate) kept: Option<PathBuf>,
}

/// Makes the environment where there is none that can run, and installs what is wanted.
///
/// # Errors
/// Everything is then as it was.
pub(crate) fn run(
    work: &mut Work<'_>,
    python: Option<&Python>,
    wants: Option<&Wants>,
    tool: &Tool,
    fresh: bool,
) -> Result<Done, Fault> {
    place::recover(work.root).map_err(Fault::io("putting back what an interrupted setup left"))?;
    let place = Place::choose(work.root, python, fresh);
    let prefix = place.prefix().to_path_buf();
    if let Place::Existing(_) = place {
        snapshot::recover(&prefix).map_err(Fault::io("putting back what an interrupted setup left"))?;
        let installed = fill(work, &prefix, wants, tool, true)?;
        return Ok(Done { made: false, installed, kept: None });
    }
    let made = place.begin().map_err(Fault::io(format!("moving {} aside", prefix.display())))?;
    let filled = tool.make(work, &prefix).and_then(|()| fill(work, &prefix, wants, tool, false));
    match filled {
        Ok(installed) => {
            let kept = made.keep(fresh).map_err(Fault::io("removing the environment of before"))?;
            Ok(Done { made: true, installed, kept })
        }
        Err(fault) => {
            made.undo().map_err(Fault::io(format!("{fault}; and putting the environment back")))?;
            Err(fault)
        }
    }
}

/// Installs what is wanted into an environment that can run. `guard`: it held something before.
fn fill(
    work: &mut Work<'_>,
    prefix: &Path,
    wants: Option<&Wants>,
    tool: &Tool,
    guard: bool,
) -> Result<Vec<String>, Fault> {
    let Some(wants) = wants else { return Ok(Vec::new()) };
    let python = prefix.join("bin/python");
    let plan = tool.resolve(work, &python, wants)?;
    if !plan.is_empty() {
        let wheels = tool.fetch(work, &python, &plan)?;
        let before = if guard {
            Some(snapshot::take(prefix).map_err(Fault::io("taking a snapshot of the environment"))?)
        } else {
            None
        };
        match (tool.install(work, &python, wants, &plan, wheels.as_ref()), before) {
            (Ok(()), Some(before)) => before.drop_it().map_err(Fault::io("removing the snapshot"))?,
            (Ok(()), None) => {}
            (Err(fault), Some(before)) => {
                before.restore().map_err(Fault::io(format!("{fault}; and putting the environment back")))?;
                return Err(fault);
            }
            (Err(fault), None) => return Err(fault),
        }
    }
    // What is not noted is only asked about again.
    let _ = stamp::note(prefix, wants.path());
    Ok(plan.packages.iter().map(|(name, version)| format!("{name} {version}")).collect())
}
