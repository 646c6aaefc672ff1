//! Which processes have a socket open: the links in `/proc/<pid>/fd`.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::ptr::NonNull;
use std::thread;

use crate::ports::Listener;

pub(crate) fn holders(listeners: &[Listener], among: Option<&[i32]>) -> io::Result<Vec<(i32, usize)>> {
    if let Some(pids) = among {
        return Ok(look_into_all(pids.iter().copied(), listeners));
    }
    let mut pids: Vec<i32> = Vec::new();
    for entry in fs::read_dir("/proc")? {
        pids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    // Some four microseconds for each descriptor of the machine: two look, where there may be a second thread. Every
    // other process each, for those with many descriptors were often started one after the other.
    let every_other = |first: usize| look_into_all(pids.iter().skip(first).step_by(2).copied(), listeners);
    Ok(thread::scope(|scope| {
        let helper = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || every_other(1));
        let mut found = every_other(0);
        found.extend(match helper {
            Ok(helper) => helper.join().unwrap_or_default(),
            Err(_) => every_other(1),
        });
        found.sort_unstable();
        found
    }))
}

/// Of the second thread, in bytes: it calls the system and nothing else.
const STACK: usize = 128 << 10;

fn look_into_all(pids: impl Iterator<Item = i32>, listeners: &[Listener]) -> Vec<(i32, usize)> {
    let mut found = Vec::new();
    for pid in pids {
        look_into(pid, listeners, &mut found);
    }
    found
}

/// Adds what one process holds; nothing when it is gone or hidden.
fn look_into(pid: i32, listeners: &[Listener], found: &mut Vec<(i32, usize)>) {
    let Ok(path) = CString::new(format!("/proc/{pid}/fd")) else { return };
    let Some(mut folder) = Folder::open(&path) else { return };
    let before = found.len();
    while let Some(socket) = folder.next_socket() {
        for (index, listener) in listeners.iter().enumerate() {
            // A process may hold the same socket at several numbers.
            if listener.socket == socket && socket != 0 && !found[before..].contains(&(pid, index)) {
                found.push((pid, index));
            }
        }
    }
}

/// An open folder. Links are read relative to it: half the cost of reading them by their full path.
struct Folder(NonNull<libc::DIR>);

impl Folder {
    fn open(path: &CStr) -> Option<Self> {
        // SAFETY: a NUL-terminated path; the stream belongs to this value.
        NonNull::new(unsafe { libc::opendir(path.as_ptr()) }).map(Self)
    }

    /// The inode number of the next socket among the links; `None` at the end.
    fn next_socket(&mut self) -> Option<u64> {
        loop {
            // SAFETY: the stream is open. The entry lives until the next call, and is used only before it.
            let entry = NonNull::new(unsafe { libc::readdir(self.0.as_ptr()) })?;
            let mut target = [0_u8; 64];
            // SAFETY: the name is NUL-terminated, the stream is open, the buffer is as long as said.
            let read = unsafe {
                libc::readlinkat(
                    libc::dirfd(self.0.as_ptr()),
                    (&raw const (*entry.as_ptr()).d_name).cast(),
                    target.as_mut_ptr().cast(),
                    target.len(),
                )
            };
            let target = usize::try_from(read).ok().and_then(|read| target.get(..read));
            if let Some(socket) = target.and_then(parse_socket) {
                return Some(socket);
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // SAFETY: our own stream, closed once.
        unsafe { libc::closedir(self.0.as_ptr()) };
    }
}

/// Reads `socket:[4242]`.
fn parse_socket(target: &[u8]) -> Option<u64> {
    let digits = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
