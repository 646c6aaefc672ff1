//! Whether somebody edited a service's sources around a moment. A reloader ends its worker because of an edit and a
//! crash does not; this is what tells them apart.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Time between an edit and the death of the worker that had the old source in it: debouncing, its goodbye, a slow
/// machine.
const BEFORE: Duration = Duration::from_secs(10);

/// Time between reading the sources and an answer made from them: what is saved in between is not in it.
const LOADING: Duration = Duration::from_secs(2);

/// Folders and files looked at, and how deep, when the sources known by name tell nothing.
const MOST_ENTRIES: usize = 5_000;
const DEEPEST: usize = 6;

/// Folders no reloader watches for a person's edits.
const NOT_SOURCES: [&str; 4] = ["node_modules", "__pycache__", "site-packages", "venv"];

/// What a service is made from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Files known by name.
    pub(crate) files: Vec<PathBuf>,
    /// The folder it runs in, of which every Python file may be one.
    pub(crate) folder: Option<PathBuf>,
    /// When the run began: what was saved before is what it was made from.
    pub(crate) begun_at: Option<SystemTime>,
    /// When they were last known to work.
    pub(crate) good_at: Option<SystemTime>,
}

impl Sources {
    /// Whether one was saved or removed shortly before `moment`, or since. Reads folders: not for the loop.
    pub(crate) fn were_edited_about(&self, moment: SystemTime) -> bool {
        let begin = |at: SystemTime, before| at.checked_sub(before).unwrap_or(SystemTime::UNIX_EPOCH);
        let since = begin(moment, BEFORE)
            .max(self.begun_at.unwrap_or(SystemTime::UNIX_EPOCH))
            .max(self.good_at.map_or(SystemTime::UNIX_EPOCH, |at| begin(at, LOADING)));
        self.files.iter().any(|file| is_newer(file, since) || is_gone(file, since))
            || self.folder.as_deref().is_some_and(|folder| any_below(folder, since))
    }
}

fn is_newer(path: &Path, since: SystemTime) -> bool {
    std::fs::metadata(path).and_then(|found| found.modified()).is_ok_and(|modified| modified > since)
}

/// A file that is not there, in a folder that changed: it was removed or renamed.
fn is_gone(path: &Path, since: SystemTime) -> bool {
    !path.exists() && path.parent().is_some_and(|folder| is_newer(folder, since))
}

fn any_below(folder: &Path, since: SystemTime) -> bool {
    let mut open = vec![(folder.to_owned(), 0)];
    let mut seen = 0;
    while let Some((folder, depth)) = open.pop() {
        let Ok(entries) = folder.read_dir() else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MOST_ENTRIES {
                return false;
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if depth < DEEPEST && !name.starts_with('.') && !NOT_SOURCES.contains(&&*name) {
                    open.push((entry.path(), depth + 1));
                }
            } else if name.ends_with(".py") && is_newer(&entry.path(), since) {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_counts_for_a_while() {
        let place = tempfile::tempdir().unwrap();
        let old = |name: &str| {
            let path = place.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = std::fs::File::create(&path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
            path
        };
        let (known, below) = (old("server.py"), old("app/deep/view.py"));
        let hidden = old(".venv/lib/x.py");
        let folder = std::fs::File::open(place.path()).unwrap();
        folder.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let sources = Sources {
            files: vec![known.clone()],
            folder: Some(place.path().to_owned()),
            ..Sources::default()
        };
        let now = SystemTime::now();
        assert!(!sources.were_edited_about(now));
        let touch = |path: &Path| std::fs::File::open(path).unwrap().set_modified(now).unwrap();
        touch(&hidden);
        assert!(!sources.were_edited_about(now), "an installed package is no source");
        touch(&below);
        assert!(sources.were_edited_about(now));
        assert!(!sources.were_edited_about(now + Duration::from_secs(20)), "that was long before");
        let good = |at| Sources { good_at: Some(at), ..sources.clone() };
        assert!(good(now).were_edited_about(now), "saved while it was loaded");
        assert!(
            !good(now + Duration::from_secs(3)).were_edited_about(now),
            "it has answered with that edit in it"
        );
        let begun = |at| Sources { begun_at: Some(at), ..good(now) };
        assert!(!begun(now).were_edited_about(now), "the run was made from it");
        assert!(begun(now - Duration::from_secs(1)).were_edited_about(now));
        std::fs::remove_file(&below).unwrap();
        std::fs::remove_file(&known).unwrap();
        assert!(sources.were_edited_about(now), "removed");
    }
}
