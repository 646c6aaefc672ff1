//! The numbered files of a log. The highest number is the current one; a rotation makes the next number, so
//! no file is ever renamed and a crash between two system calls leaves nothing to repair.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wire::LogSpec;

#[cfg(test)]
use super::fault;

/// Smallest size of a file: one piece of a line must fit, and a rotation must not be a matter of every line.
const MIN_FILE_BYTES: u64 = 64 << 10;

/// Numbers of the log files in `dir`, rising. None where there is no such folder.
pub(crate) fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log")).filter(|stem| stem.len() == 10);
        numbers.extend(number.and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file with this number.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.log"))
}

struct Current {
    number: u64,
    path: PathBuf,
    file: File,
    inode: (u64, u64),
    offset: u64,
}

/// A write that did not succeed.
#[derive(Debug)]
pub(crate) struct WriteError {
    /// Bytes that are in the file.
    pub(crate) written: usize,
    pub(crate) source: io::Error,
}

/// The writer's side.
pub(crate) struct Files {
    dir: PathBuf,
    file_bytes: u64,
    keep: usize,
    current: Option<Current>,
}

impl Files {
    pub(crate) fn new(dir: &Path, spec: LogSpec) -> Self {
        Self {
            dir: dir.to_owned(),
            file_bytes: spec.file_bytes.max(MIN_FILE_BYTES),
            keep: (spec.files as usize).max(1),
            current: None,
        }
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Makes sure that there is a file to write to, whatever was done to the last one, and says which and
    /// where its end is.
    pub(crate) fn prepare(&mut self) -> io::Result<(u64, u64)> {
        if let Some(current) = &mut self.current {
            match fs::symlink_metadata(&current.path) {
                Ok(found) if (found.dev(), found.ino()) == current.inode && found.len() <= current.offset => {
                    current.offset = found.len(); // shorter: truncated; go on there, never leave a hole
                    return Ok((current.number, current.offset));
                }
                // Somebody wrote behind our end, or took the file away: leave it as it is.
                _ => return self.rotate(),
            }
        }
        match numbers(&self.dir)?.last() {
            Some(&number) => match self.open(number, false) {
                Ok(()) => {
                    let at = self.at();
                    if self.ends_whole() { Ok(at) } else { self.rotate() }
                }
                Err(_) => self.rotate(),
            },
            None => self.rotate(),
        }
    }

    /// Begins the next file and removes the oldest beforehand, so that there are never more than allowed.
    pub(crate) fn rotate(&mut self) -> io::Result<(u64, u64)> {
        let before = self.current.take().map_or(0, |current| current.number);
        let numbers = numbers(&self.dir)?;
        let next = numbers.last().copied().unwrap_or(0).max(before) + 1;
        os::failpoint!("log.rotate", &self.dir)?;
        for &oldest in numbers.iter().take((numbers.len() + 1).saturating_sub(self.keep)) {
            os::failpoint!("log.remove")?;
            fs::remove_file(path(&self.dir, oldest))?;
        }
        self.open(next, true)?;
        Ok(self.at())
    }

    /// For a batch that a predecessor was writing: its file, where that still exists or was to be made, and
    /// where the batch goes.
    pub(crate) fn resume(&mut self, number: u64, offset: u64) -> io::Result<(u64, u64)> {
        let newest = numbers(&self.dir)?.last().copied();
        if newest != Some(number) || self.open(number, false).is_err() {
            return self.prepare();
        }
        if let Some(current) = &mut self.current {
            current.offset = current.offset.min(offset);
        }
        Ok(self.at())
    }

    /// Writes a batch at the end. What is in the file after an error is for the caller to trim.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let fail = |written, source| Err(WriteError { written, source });
        let Some(current) = &mut self.current else {
            return fail(0, io::ErrorKind::NotFound.into());
        };
        let mut written = 0;
        while written < bytes.len() {
            match write_some(current, &bytes[written..], written as u64) {
                Ok(0) => return fail(written, io::ErrorKind::WriteZero.into()),
                Ok(some) => written += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return fail(written, error),
            }
        }
        current.offset += written as u64;
        Ok(())
    }

    /// After a failed write: the file ends behind the first `kept` bytes of it.
    pub(crate) fn trim(&mut self, kept: usize) {
        let Some(current) = &mut self.current else { return };
        current.offset += kept as u64;
        // Where even that fails, the file is found longer than it should be and left for the next one.
        let _ = current.file.set_len(current.offset);
    }

    fn at(&self) -> (u64, u64) {
        self.current.as_ref().map_or((0, 0), |current| (current.number, current.offset))
    }

    fn open(&mut self, number: u64, create: bool) -> io::Result<()> {
        os::failpoint!("log.open")?;
        let path = path(&self.dir, number);
        let open = |path: &Path| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(create)
                .mode(0o600)
                .custom_flags(NO_FOLLOW)
                .open(path)
        };
        let file = match open(&path) {
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
                open(&path)?
            }
            other => other?,
        };
        let found = file.metadata()?;
        let inode = (found.dev(), found.ino());
        self.current = Some(Current { number, path, file, inode, offset: found.len() });
        Ok(())
    }

    /// Whether the last byte ends a line: a machine that lost power may have left half of one.
    fn ends_whole(&self) -> bool {
        let Some(current) = &self.current else { return false };
        let mut last = [0];
        current.offset == 0
            || current.file.read_exact_at(&mut last, current.offset - 1).is_ok() && last == *b"\n"
    }
}

/// No log is written through a link that somebody laid there.
const NO_FOLLOW: i32 = nix::fcntl::OFlag::O_NOFOLLOW.bits();

#[cfg(not(test))]
fn write_some(current: &Current, bytes: &[u8], written: u64) -> io::Result<usize> {
    os::failpoint!("log.write")?;
    let done = current.file.write_at(bytes, current.offset + written);
    let _ = os::failpoint!("log.written");
    done
}

#[cfg(test)]
fn write_some(current: &Current, bytes: &[u8], written: u64) -> io::Result<usize> {
    fault::point();
    let at = current.offset + written;
    let room = fault::space().map_or(usize::MAX, |end| end.saturating_sub(at) as usize);
    if room == 0 {
        return Err(io::Error::from_raw_os_error(28));
    }
    // In two halves, so that a test can die between them.
    let half = bytes.len().div_ceil(2).min(room);
    current.file.write_at(&bytes[..half], at)
}
