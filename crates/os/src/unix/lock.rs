//! Locks on files that live as long as an open file does.
//!
//! A lock is `flock(2)` on an open file description: a child that inherits the descriptor holds the same lock, and
//! it ends when the last of them is closed, by exit, crash or `kill -9`. A lock file is never unlinked here: two
//! processes could then hold "the" lock on two different files.
//!
//! A child forked by another thread has a copy of every open lock until it execs: a lock that was dropped meanwhile
//! may count as held for a millisecond.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::process::ProcessIdentity;

/// How often a lock is tried while somebody merely looks at it.
const TRIES: u32 = 50;

/// How long a look at a lock takes at most, in all likelihood.
const LOOK: Duration = Duration::from_micros(200);

/// Most bytes read of what an owner wrote.
const MAX_OWNER_BYTES: u64 = 4096;

/// A lock that is held. Dropping it closes the descriptor; the lock lasts while another process has it open too.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Takes the lock if nobody has it; makes the file (mode 0600) if there is none.
    ///
    /// # Errors
    /// What the file system says. A lock that somebody holds is `Ok(None)`.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        crate::failpoint!("lock.take", path)?;
        for _ in 0..TRIES {
            let file = open_to_take(path)?;
            match file.try_lock() {
                Ok(()) => {
                    // Between open and lock the file may have been replaced: then the lock would be on nothing.
                    if is_still_at(&file, path)? {
                        crate::failpoint!("lock.taken", path)?;
                        return Ok(Some(Self(file)));
                    }
                }
                Err(TryLockError::WouldBlock) => {
                    // Shared: only someone in `is_held`, for a moment.
                    match file.try_lock_shared() {
                        Ok(()) => drop(file),
                        Err(TryLockError::WouldBlock) => return Ok(None),
                        Err(TryLockError::Error(error)) => return Err(error),
                    }
                    thread::sleep(LOOK);
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A lock that was inherited as an open descriptor.
    #[must_use]
    pub fn from_fd(descriptor: OwnedFd) -> Self {
        Self(File::from(descriptor))
    }

    /// Writes into the locked file who holds it, as one line of JSON. For people and for [`owner`]; the lock itself
    /// is the only proof.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_owner(&self, owner: &ProcessIdentity) -> io::Result<()> {
        let mut line = serde_json::to_vec(owner)?;
        line.push(b'\n');
        crate::failpoint!("lock.owner")?;
        self.0.write_all_at(&line, 0)?;
        self.0.set_len(line.len() as u64)
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<FileLock> for OwnedFd {
    fn from(lock: FileLock) -> Self {
        lock.0.into()
    }
}

/// Whether somebody holds the lock. No file: nobody does.
///
/// # Errors
/// What the file system says.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match open_to_look(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Who wrote its name into the lock file last; it need not hold the lock any more, nor be alive.
#[must_use]
pub fn owner(path: &Path) -> Option<ProcessIdentity> {
    let mut text = Vec::new();
    open_to_look(path).ok()?.take(MAX_OWNER_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(text.split(|byte| *byte == b'\n').next()?).ok()
}

/// Opened first as it is: on a disk that stands still even the offer to make it would wait.
fn open_to_take(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => options.create(true).open(path),
        other => other,
    }
}

fn open_to_look(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match path.symlink_metadata() {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
