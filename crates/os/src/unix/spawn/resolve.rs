//! Which file a command names.

use std::env::split_paths;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

/// Where programs are looked for when there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/bin:/bin";

/// Finds the file of a program as a shell would: a name with a slash is relative to `cwd`, another one is looked
/// for in `path`. Symbolic links are kept: `.venv/bin/python` must not become the interpreter behind it.
///
/// # Errors
/// `ENOENT` when there is no such file, `EACCES` when there is one that we may not execute.
pub fn resolve(program: &OsStr, path: Option<&OsStr>, cwd: &Path) -> io::Result<PathBuf> {
    if program.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::ENOENT));
    }
    if program.as_bytes().contains(&b'/') {
        let file = cwd.join(program);
        return executable(&file).map(|()| file);
    }
    let mut worst = libc::ENOENT;
    for folder in split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        // An empty entry means the working folder.
        let file = cwd.join(folder).join(program);
        match executable(&file) {
            Ok(()) => return Ok(file),
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => worst = libc::EACCES,
            Err(_) => {}
        }
    }
    Err(io::Error::from_raw_os_error(worst))
}

fn executable(file: &Path) -> io::Result<()> {
    if file.metadata()?.is_dir() {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    Ok(access(file, AccessFlags::X_OK)?)
}
