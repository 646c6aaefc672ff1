//! Where the environment is, or is to be made: in its final place, since its scripts name that place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use workspace::Python;

/// What stood in the place before.
const BEFORE: &str = ".venv.before-setup";
/// In an environment that is being made.
const UNFINISHED: &str = ".pipd-unfinished";

/// Where packages go.
#[derive(Debug)]
pub(crate) enum Place {
    /// Into an environment that can run.
    Existing(PathBuf),
    /// Into one to be made here.
    New(PathBuf),
}

impl Place {
    /// The environment the services run with, when there is one that can; else `.venv`.
    pub(crate) fn choose(root: &Path, python: Option<&Python>, fresh: bool) -> Self {
        let usable = python.filter(|python| python.fault.is_none()).and_then(|python| python.prefix.as_ref());
        match usable {
            Some(prefix) if !fresh => Self::Existing(prefix.clone()),
            Some(prefix) if prefix.starts_with(root) => Self::New(prefix.clone()),
            _ => Self::New(
                python
                    .and_then(|p| p.prefix.clone())
                    .filter(|p| p.starts_with(root))
                    .unwrap_or_else(|| root.join(".venv")),
            ),
        }
    }

    pub(super) fn prefix(&self) -> &Path {
        match self {
            Self::Existing(prefix) | Self::New(prefix) => prefix,
        }
    }

    /// Makes room for a new one.
    pub(super) fn begin(&self) -> io::Result<Made> {
        let prefix = self.prefix().to_path_buf();
        let before = prefix.with_file_name(BEFORE);
        let had = prefix.symlink_metadata().is_ok();
        if had {
            fs::rename(&prefix, &before)?;
        }
        let made = Made { prefix, before: had.then_some(before) };
        let marked = fs::create_dir(&made.prefix).and_then(|()| fs::write(made.prefix.join(UNFINISHED), ""));
        match marked {
            Ok(()) => Ok(made),
            Err(error) => {
                made.undo()?;
                Err(error)
            }
        }
    }
}

/// A place where an environment is being made.
#[derive(Debug)]
pub(super) struct Made {
    prefix: PathBuf,
    before: Option<PathBuf>,
}

impl Made {
    /// It is whole. What stood there goes when the person asked for that, or when it was a link; else it is kept.
    pub(super) fn keep(self, fresh: bool) -> io::Result<Option<PathBuf>> {
        fs::remove_file(self.prefix.join(UNFINISHED))?;
        let Some(before) = self.before else { return Ok(None) };
        if before.symlink_metadata()?.is_dir() {
            if !fresh {
                return Ok(Some(before));
            }
            fs::remove_dir_all(&before)?;
        } else {
            fs::remove_file(&before)?;
        }
        Ok(None)
    }

    /// As if nothing had been.
    pub(super) fn undo(self) -> io::Result<()> {
        remove(&self.prefix)?;
        self.before.map_or(Ok(()), |before| fs::rename(before, &self.prefix))
    }
}

/// Takes away what a setup that was killed began, and puts back what it had moved aside.
pub(super) fn recover(root: &Path) -> io::Result<()> {
    for name in [".venv", "venv"] {
        let prefix = root.join(name);
        if prefix.join(UNFINISHED).symlink_metadata().is_ok() {
            remove(&prefix)?;
            let before = prefix.with_file_name(BEFORE);
            if before.symlink_metadata().is_ok() {
                fs::rename(before, &prefix)?;
            }
        }
    }
    Ok(())
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

    fn world() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let venv = dir.path().join(".venv");
        fs::create_dir(&venv).unwrap();
        fs::write(venv.join("old"), "").unwrap();
        (dir, venv)
    }

    #[test]
    fn a_failure_and_a_death_put_the_old_one_back() {
        for dies in [false, true] {
            let (dir, venv) = world();
            let made = Place::New(venv.clone()).begin().unwrap();
            assert!(!venv.join("old").exists());
            if dies {
                recover(dir.path()).unwrap();
            } else {
                made.undo().unwrap();
            }
            assert!(venv.join("old").exists());
            assert!(!dir.path().join(BEFORE).exists());
        }
    }

    #[test]
    fn one_that_was_not_asked_to_go_is_kept() {
        let (dir, venv) = world();
        let kept = Place::New(venv.clone()).begin().unwrap().keep(false).unwrap();
        assert_eq!(kept, Some(dir.path().join(BEFORE)));
        recover(dir.path()).unwrap();
        assert!(venv.exists() && !venv.join("old").exists());
        fs::remove_dir_all(dir.path().join(BEFORE)).unwrap();
        assert_eq!(Place::New(venv).begin().unwrap().keep(true).unwrap(), None);
        assert!(!dir.path().join(BEFORE).exists());
    }
}
