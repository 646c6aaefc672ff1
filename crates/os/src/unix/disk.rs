//! How much room a file system has.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statvfs::{FsFlags, statvfs};

/// A file system, as far as it matters to whoever wants to write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes an ordinary user may still write.
    pub free: u64,
    /// Files that can still be made; `None` where the file system counts none.
    pub inodes: Option<u64>,
    /// Nothing can be written.
    pub read_only: bool,
    /// Which file system it is.
    pub device: u64,
}

/// The folder at which the file system is mounted that a path is on; `None` where the path cannot be looked at.
#[must_use]
pub fn mounted_at(path: &Path) -> Option<std::path::PathBuf> {
    let path = path.canonicalize().ok()?;
    let device = path.metadata().ok()?.dev();
    let within =
        path.ancestors().take_while(|folder| folder.metadata().is_ok_and(|found| found.dev() == device));
    within.last().map(Path::to_owned)
}

/// Of the file system a path is on.
///
/// # Errors
/// What the system says.
pub fn room(path: &Path) -> io::Result<Room> {
    let facts = statvfs(path)?;
    // The types behind these numbers differ from system to system.
    let number = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
    let free = u128::from(facts.blocks_available()) * u128::from(facts.fragment_size());
    Ok(Room {
        free: number(free),
        inodes: (facts.files() > 0).then(|| number(u128::from(facts.files_available()))),
        read_only: facts.flags().contains(FsFlags::ST_RDONLY),
        device: path.metadata()?.dev(),
    })
}
