//! Where our files live. Never below `TMPDIR`: `nix develop` and direnv rewrite it, and a client in such a shell
//! would look elsewhere than the daemon.

use std::env;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use crate::process::user_name;
use crate::sys;

/// The home folder: `$HOME` when it is absolute, else what the user database says.
#[must_use]
pub fn home() -> Option<PathBuf> {
    absolute_variable("HOME").or_else(|| {
        User::from_uid(geteuid()).ok().flatten().map(|user| user.dir).filter(|home| home.is_absolute())
    })
}

/// Where facts are kept: `$PIPD_STATE_DIR`, else `$XDG_STATE_HOME/pipd`, else `~/.local/state/pipd`.
///
/// # Errors
/// When `PIPD_STATE_DIR` is not an absolute path, or when there is no home folder.
pub fn state_root() -> io::Result<PathBuf> {
    match env::var_os("PIPD_STATE_DIR").filter(|value| !value.is_empty()).map(PathBuf::from) {
        Some(root) if root.is_absolute() => return Ok(root),
        Some(root) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "PIPD_STATE_DIR is {}, which is not an absolute path: export PIPD_STATE_DIR=\"$PWD/{}\", or unset it",
                    root.display(),
                    root.display()
                ),
            ));
        }
        None => {}
    }
    if let Some(state) = absolute_variable("XDG_STATE_HOME") {
        return Ok(state.join("pipd"));
    }
    home().map(|home| home.join(".local/state/pipd")).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "no home folder: export HOME or PIPD_STATE_DIR as an absolute path",
        )
    })
}

/// Where runs go when the state root refuses: a folder that lasts for this boot or this login only. Each state root
/// has one of its own: who looks after one must not find the runs of another.
#[must_use]
pub fn runtime_root() -> PathBuf {
    let root = sys::host::runtime_root();
    match state_root() {
        Ok(state) => root.join(format!("{:016x}", super::host::hash(state.as_os_str().as_encoded_bytes()))),
        Err(_) => root,
    }
}

/// A folder of ours in a file system that is memory, which no disk can hold up; `None` where there is none.
#[must_use]
pub fn memory_root() -> Option<PathBuf> {
    sys::host::memory_root()
}

/// The folder around `path` that the system keeps from programs its user has not let in (macOS); its name, from home.
#[must_use]
pub fn guarded(path: &Path) -> Option<&'static str> {
    guarded_below(path, &home()?, sys::host::GUARDED)
}

fn guarded_below(path: &Path, home: &Path, guarded: &[&'static str]) -> Option<&'static str> {
    let inside = path.strip_prefix(home).ok()?;
    guarded.iter().copied().find(|folder| inside.starts_with(folder))
}

/// Makes `path` a folder that only we can enter.
///
/// Missing components are made with mode 0700. The last one must be a real folder of ours; looser modes of it are
/// tightened.
///
/// # Errors
/// `PermissionDenied`, naming path and owner, when the folder is a symbolic link, not a folder, or somebody else's;
/// else what the file system says.
pub fn private_dir(path: &Path) -> io::Result<()> {
    crate::failpoint!("folder.make", path)?;
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        // What is there already is judged below, with a better message.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(named(path, &error)),
    }
    let folder = open_folder(path)?;
    let facts = folder.metadata().map_err(|error| named(path, &error))?;
    if facts.uid() != geteuid().as_raw() {
        return Err(refused(
            path,
            &format!("belongs to {}, not to {}", user_name(facts.uid()), user_name(geteuid().as_raw())),
        ));
    }
    if facts.mode() & 0o777 != 0o700 {
        folder.set_permissions(Permissions::from_mode(0o700)).map_err(|error| named(path, &error))?;
    }
    Ok(())
}

/// Opens a folder, never through a symbolic link in its last component.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(folder) => Ok(folder),
        Err(error) => {
            let Ok(facts) = path.symlink_metadata() else { return Err(named(path, &error)) };
            let owner = user_name(facts.uid());
            if facts.is_symlink() {
                Err(refused(path, &format!("is a symbolic link of {owner}, not a folder")))
            } else if !facts.is_dir() {
                Err(refused(path, &format!("is a file of {owner}, not a folder")))
            } else if facts.uid() != geteuid().as_raw() {
                Err(refused(path, &format!("belongs to {owner}")))
            } else if facts.mode() & 0o700 != 0o700 {
                // Ours, but closed to ourselves: open it, then look again.
                std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|e| named(path, &e))?;
                OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| named(path, &e))
            } else {
                Err(named(path, &error))
            }
        }
    }
}

/// An environment variable that holds an absolute path.
pub(crate) fn absolute_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("{} {why}: look with `ls -ld {}`", path.display(), path.display()),
    )
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_folder_is_known_by_its_place_in_the_home() {
        let guarded = ["Documents", "Library/Mobile Documents"];
        let of = |path: &str| guarded_below(Path::new(path), Path::new("/Users/ada"), &guarded);
        assert_eq!(of("/Users/ada/Documents/ws"), Some("Documents"));
        assert_eq!(
            of("/Users/ada/Library/Mobile Documents/com~apple~CloudDocs/ws"),
            Some("Library/Mobile Documents")
        );
        assert_eq!(of("/Users/ada/Documents2/ws"), None);
        assert_eq!(of("/Users/bob/Documents"), None);
    }
}
