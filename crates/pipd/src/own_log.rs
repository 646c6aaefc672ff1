//! The daemon's own log: what it writes to stderr, bounded while it runs.
//!
//! Whoever starts a daemon opens the file for it and sets a long one aside. A daemon may live for months beside a
//! service that crashes all the time, so it does the same itself. Never where stderr is something else: a terminal, a
//! person's file, a manager's journal.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Size at which it is set aside, in bytes; one that was is kept.
pub(crate) const MAX_BYTES: u64 = 5 << 20;

/// How much is written between two looks at the size.
const LOOK_AFTER: u64 = 4 << 10;

/// The file that stderr may be.
static FILE: OnceLock<PathBuf> = OnceLock::new();
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// From now on, if stderr is this file, it is bounded.
pub(crate) fn bound(path: PathBuf) {
    // There is one daemon in a process.
    let _ = FILE.set(path);
}

/// Makes stderr this file.
pub(crate) fn open(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    Ok(nix::unistd::dup2_stderr(&file)?)
}

/// Lines that wait for the disk, in bytes.
const MOST_WAITING: usize = 128 << 10;

/// Where lines are said. The file is on the disk of the state, so they are written by a thread that may wait for it.
pub(crate) struct Lines;

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    dropped: u64,
    being_written: bool,
    /// The daemon ends: nobody else needs this thread.
    at_once: bool,
}

static WAITING: Mutex<Waiting> =
    Mutex::new(Waiting { lines: Vec::new(), dropped: 0, being_written: false, at_once: false });

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = waiting();
        if waiting.lines.len() + line.len() > MOST_WAITING {
            waiting.dropped += 1;
        } else {
            waiting.lines.extend_from_slice(line);
        }
        let idle = !std::mem::replace(&mut waiting.being_written, true);
        let at_once = waiting.at_once;
        drop(waiting);
        if idle && (at_once || !crate::disk::run_aside(write_lines)) {
            write_lines();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_lines() {
    loop {
        let mut waiting = waiting();
        let (lines, dropped) = (std::mem::take(&mut waiting.lines), std::mem::take(&mut waiting.dropped));
        if lines.is_empty() && dropped == 0 {
            waiting.being_written = false;
            return;
        }
        drop(waiting);
        let _ = Stderr.write_all(&lines);
        if dropped > 0 {
            let _ = writeln!(Stderr, "pipd: {dropped} lines were dropped here while the disk did not answer");
        }
    }
}

/// From now on lines are written where they are said, behind those that wait.
pub(crate) fn say_at_once() {
    waiting().at_once = true;
    write_lines();
}

/// Where lines go.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = io::stderr().write(bytes)?;
        let before = WRITTEN.fetch_add(written as u64, Ordering::Relaxed);
        if before + written as u64 >= LOOK_AFTER {
            WRITTEN.store(0, Ordering::Relaxed);
            if let Some(path) = FILE.get() {
                // Refused: it grows until the next look. Saying so would be one more line.
                let _ = set_aside(path);
            }
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Goes on in a new file, when the one that is written is there and long.
fn set_aside(path: &Path) -> io::Result<()> {
    let (there, ours) = (std::fs::metadata(path)?, nix::sys::stat::fstat(io::stderr())?);
    if there.len() <= MAX_BYTES || !is_same(&there, &ours) {
        return Ok(());
    }
    std::fs::rename(path, path.with_extension("log.1"))?;
    open(path)
}

fn is_same(there: &std::fs::Metadata, ours: &nix::sys::stat::FileStat) -> bool {
    // The width and sign of these differ between systems.
    i128::from(there.dev()) == i128::from(ours.st_dev) && i128::from(there.ino()) == i128::from(ours.st_ino)
}
