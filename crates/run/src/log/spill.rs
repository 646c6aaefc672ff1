//! Where output goes while the disk of the log stands still: memory, so that the service never waits for the disk.
//!
//! A spill is a [spool](super::spool) with more room in a file system that is memory. One process reads into it while its
//! writer hangs, and gives it to the writer when the disk goes on ([`super::Writer::absorb`]). A successor of a process
//! that died meanwhile finds it. What there is no room for is dropped in whole lines, and counted.

use std::io;
use std::path::{Path, PathBuf};

use super::spool::Spool;
use super::writer::Source;
use super::{Stream, fault};

/// Room for each stream, in bytes.
#[cfg(not(test))]
const BUFFER_BYTES: usize = 2 << 20;
#[cfg(test)]
const BUFFER_BYTES: usize = 96 << 10;

/// How the files of spills are called, after their number.
const SUFFIX: &str = ".spill";

/// See the module.
pub struct Spill {
    pub(crate) spool: Spool,
    path: Option<PathBuf>,
    /// Whether there was no room any more, by stream, and then whether the last byte dropped left a line unfinished.
    dropping: [Option<bool>; 2],
}

impl Spill {
    /// The folder for the spills of a run, by the path of the run's own; `None` where no file system is known to be
    /// memory.
    pub fn folder(run: &Path) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        let name = format!("{:016x}", crate::layout::fnv1a(run.as_os_str().as_bytes()));
        Some(os::paths::memory_root()?.join(name))
    }

    /// A new one behind those that are in `folder`. Without a folder, or without room in it, it dies with the process.
    pub fn begin(folder: Option<&Path>) -> Self {
        let made = folder.and_then(|folder| {
            os::paths::private_dir(folder.parent()?).ok()?;
            os::paths::private_dir(folder).ok()?;
            let number = numbers(folder).last().map_or(0, |last| last + 1);
            let path = folder.join(format!("{number:06}{SUFFIX}"));
            Some((Spool::open_sized(&path, BUFFER_BYTES).ok()?, path))
        });
        let (spool, path) = match made {
            Some((spool, path)) => (spool, Some(path)),
            None => (Spool::private_sized(BUFFER_BYTES), None),
        };
        Self { spool, path, dropping: [None; 2] }
    }

    /// What a predecessor left, oldest first.
    pub(crate) fn left_behind(folder: &Path) -> Vec<Self> {
        let ours = folder.parent().is_some_and(is_ours) && is_ours(folder);
        let numbers = if ours { numbers(folder) } else { Vec::new() };
        let spills = numbers.into_iter().filter_map(|number| {
            let path = folder.join(format!("{number:06}{SUFFIX}"));
            let spool = Spool::open_sized(&path, BUFFER_BYTES).ok()?;
            Some(Self { spool, path: Some(path), dropping: [None; 2] })
        });
        spills.collect()
    }

    /// Reads once from `source`. 0 when there is nothing to read.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn read(&mut self, stream: Stream, source: &mut impl Source) -> io::Result<usize> {
        let available = source.available()?;
        if available == 0 {
            return Ok(0);
        }
        let dropping = self.dropping[stream.index()].is_some();
        if dropping || self.spool.is_full(stream) {
            return self.drop_some(stream, source);
        }
        let place = self.spool.begin_read(stream, available);
        fault::point();
        let read = source.read(place);
        self.spool.end_read(stream, *read.as_ref().unwrap_or(&0));
        match read {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(0)
            }
            other => other,
        }
    }

    /// There is no room: from here on lines are counted, the one that is cut in two first.
    fn drop_some(&mut self, stream: Stream, source: &mut impl Source) -> io::Result<usize> {
        let unfinished = match self.dropping[stream.index()] {
            Some(unfinished) => unfinished,
            None => self.spool.cut(stream) || self.spool.window(stream).open,
        };
        self.dropping[stream.index()] = Some(unfinished);
        let mut place = [0; 4 << 10];
        let read = source.read(&mut place)?;
        let dropped = &place[..read];
        let lines = memchr::memchr_iter(b'\n', dropped).count() as u64;
        self.spool.set_note(self.spool.note() + lines);
        self.dropping[stream.index()] = Some(dropped.last().map_or(unfinished, |&last| last != b'\n'));
        Ok(read)
    }

    /// Nothing more is read into it: a line of which only the end may still come has lost its beginning.
    pub(crate) fn close(&mut self) {
        let cut = self.dropping.iter_mut().filter_map(Option::take).filter(|&unfinished| unfinished).count();
        self.spool.set_note(self.spool.note() + cut as u64);
    }

    /// All of it is logged.
    pub(crate) fn remove(self) {
        let Some(path) = self.path else { return };
        let _ = std::fs::remove_file(&path);
        // Where it was the last of them.
        for folder in path.ancestors().skip(1).take(2) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

fn numbers(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(SUFFIX)?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether a folder in a place where anybody may make one is ours.
fn is_ours(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw())
}
