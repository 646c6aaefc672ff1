//! Memory that is a file: what is written there outlives the process that wrote it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use crate::sys;

/// A file mapped into memory, shared with whoever maps it too, of a length that never changes.
///
/// One process at a time may use it (the lock of the run says which): the slices below are plain memory to the
/// compiler. The file must not be shortened while it is mapped.
#[derive(Debug)]
pub struct SharedMapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain memory that belongs to this value and to no thread.
unsafe impl Send for SharedMapping {}

impl SharedMapping {
    /// Makes a file of `len` zero bytes, with mode 0600, in place of what is at `path`, and maps it. Its blocks are
    /// allocated here: a full disk is an error now, not a SIGBUS later.
    ///
    /// # Errors
    /// `StorageFull`, `InvalidInput` for a length of zero; else what the file system says.
    pub fn create(path: &Path, len: usize) -> io::Result<Self> {
        crate::failpoint!("mapping.make", path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let fresh = Path::new(&name);
        match fs::remove_file(fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
            .open(fresh)?;
        // Renamed when whole: whoever opens the path finds all of it.
        let mapping = allocate(&file, len).and_then(|()| Self::map(&file, len));
        let mapping = mapping.and_then(|mapping| crate::failpoint!("mapping.rename", path).map(|()| mapping));
        let done = mapping.and_then(|mapping| fs::rename(fresh, path).map(|()| mapping));
        if done.is_err() {
            let _ = fs::remove_file(fresh);
        }
        done
    }

    /// Maps a file that [`create`](Self::create) made.
    ///
    /// # Errors
    /// `NotFound`; `InvalidData` for an empty file; else what the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NOFOLLOW;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is empty", path.display())));
        }
        Self::map(&file, len)
    }

    fn map(file: &File, len: usize) -> io::Result<Self> {
        use std::os::fd::AsRawFd;
        // SAFETY: a new mapping at a place the kernel chooses; the descriptor is open and may be closed afterwards.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_fd().as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start =
            NonNull::new(start.cast()).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        Ok(Self { start, len })
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: a mapping has at least one byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it, to read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping has this length and lives as long as `self`; other processes keep away (see above).
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// All of it, to write. It is in the file at once, whatever happens to this process.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// Eight bytes of it as one number, which a death of the process can never leave half written.
    ///
    /// # Panics
    /// When `offset` is no multiple of eight or there are no eight bytes there.
    #[must_use]
    pub fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && self.len >= 8 && offset <= self.len - 8, "no number at {offset}");
        // SAFETY: within the mapping and aligned: a mapping starts at a page.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }
}

impl Drop for SharedMapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and no borrow of it is left.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// Gives an empty file its blocks.
fn allocate(file: &File, len: usize) -> io::Result<()> {
    if len == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a mapping needs at least one byte"));
    }
    if sys::allocate(file, len)? {
        return Ok(());
    }
    let zeros = [0_u8; 4096];
    let mut left = len;
    let mut file = file;
    while left > 0 {
        let part = left.min(zeros.len());
        file.write_all(&zeros[..part])?;
        left -= part;
    }
    Ok(())
}
