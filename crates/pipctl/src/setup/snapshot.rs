//! An environment as it was, in hard links: installers replace files and never write into them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where it lies: in the environment, so on its file system.
const FOLDER: &str = ".pipd-before";
/// While it is being taken; worth nothing if that was interrupted.
const PARTIAL: &str = ".pipd-before-partial";
/// What is taken away when it is put back.
const FAILED: &str = ".pipd-failed";

/// A snapshot that is whole.
#[derive(Debug)]
pub(super) struct Snapshot {
    prefix: PathBuf,
}

/// What an installer changes in an environment: its packages, scripts and shared data.
fn parts(prefix: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = ["bin", "share", "etc", "include", "man"].map(PathBuf::from).to_vec();
    for lib in ["lib", "lib64"] {
        // In a virtual environment `lib64` is a link to `lib`.
        if prefix.join(lib).symlink_metadata().is_ok_and(|facts| facts.is_symlink()) {
            continue;
        }
        for entry in fs::read_dir(prefix.join(lib)).into_iter().flatten().flatten() {
            parts.push(Path::new(lib).join(entry.file_name()).join("site-packages"));
        }
    }
    parts.retain(|part| prefix.join(part).is_dir());
    parts
}

/// Takes one.
pub(super) fn take(prefix: &Path) -> io::Result<Snapshot> {
    let partial = prefix.join(PARTIAL);
    remove(&partial)?;
    for part in parts(prefix) {
        link_all(&prefix.join(&part), &partial.join(&part))?;
    }
    fs::rename(&partial, prefix.join(FOLDER))?;
    Ok(Snapshot { prefix: prefix.to_path_buf() })
}

fn link_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            link_all(&path, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &target)?;
        } else if fs::hard_link(&path, &target).is_err() {
            // A file system without hard links.
            fs::copy(&path, &target)?;
        }
    }
    fs::set_permissions(to, from.metadata()?.permissions())
}

impl Snapshot {
    /// All went well.
    pub(super) fn drop_it(self) -> io::Result<()> {
        // First out of the way at once: a death in the middle must not leave half of it to be put back.
        let gone = self.prefix.join(FAILED);
        remove(&gone)?;
        fs::rename(self.prefix.join(FOLDER), &gone)?;
        remove(&gone)
    }

    /// Puts the environment back.
    pub(super) fn restore(self) -> io::Result<()> {
        let (before, failed) = (self.prefix.join(FOLDER), self.prefix.join(FAILED));
        remove(&failed)?;
        for part in parts(&before) {
            let (now, aside) = (self.prefix.join(&part), failed.join(&part));
            if let Some(folder) = aside.parent() {
                fs::create_dir_all(folder)?;
            }
            if now.symlink_metadata().is_ok() {
                fs::rename(&now, &aside)?;
            }
            fs::rename(before.join(&part), &now)?;
        }
        remove(&before)?;
        remove(&failed)
    }
}

/// Puts back what a setup that was killed had taken.
pub(super) fn recover(prefix: &Path) -> io::Result<()> {
    remove(&prefix.join(PARTIAL))?;
    if prefix.join(FOLDER).is_dir() {
        Snapshot { prefix: prefix.to_path_buf() }.restore()?;
    }
    remove(&prefix.join(FAILED))
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let site = dir.path().join("lib/python3.11/site-packages/one");
        fs::create_dir_all(&site).unwrap();
        fs::write(site.join("__init__.py"), "old").unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        std::os::unix::fs::symlink("/usr/bin/python3", dir.path().join("bin/python")).unwrap();
        std::os::unix::fs::symlink("lib", dir.path().join("lib64")).unwrap();
        (dir, site)
    }

    /// As installers do it: a new file in the place of the old one.
    fn install(site: &Path) {
        fs::remove_file(site.join("__init__.py")).unwrap();
        fs::write(site.join("__init__.py"), "new").unwrap();
        fs::create_dir(site.with_file_name("two")).unwrap();
    }

    #[test]
    fn what_failed_is_as_it_was() {
        let (dir, site) = environment();
        let before = take(dir.path()).unwrap();
        install(&site);
        before.restore().unwrap();
        assert_eq!(fs::read_to_string(site.join("__init__.py")).unwrap(), "old");
        assert!(!site.with_file_name("two").exists());
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(left.len(), 3, "{left:?}");
    }

    #[test]
    fn what_was_killed_is_put_back_by_the_next_and_what_went_well_is_not() {
        let (dir, site) = environment();
        take(dir.path()).unwrap();
        install(&site);
        recover(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(site.join("__init__.py")).unwrap(), "old");
        let before = take(dir.path()).unwrap();
        install(&site);
        before.drop_it().unwrap();
        recover(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(site.join("__init__.py")).unwrap(), "new");
    }
}
