//! Which folder a path leads to, so that one that was moved is known again and one that took its place is not
//! mistaken for it; and what becomes of paths into a folder that was moved.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use wire::Text;

/// A folder, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FolderId {
    /// The device it is on. Some file systems have another number after every boot.
    pub device: u64,
    /// Its number there, which another folder may get once this one is deleted.
    pub inode: u64,
    /// When it was made, in nanoseconds since the Unix epoch, where the file system knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_ns: Option<u64>,
}

impl FolderId {
    /// The folder this path leads to.
    ///
    /// # Errors
    /// When there is none, or it cannot be looked at. May take as long as the file system takes.
    pub fn of(path: &Path) -> io::Result<Self> {
        let data = std::fs::metadata(path)?;
        if !data.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let born = data.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        let born_ns = born.and_then(|born| u64::try_from(born.as_nanos()).ok()).filter(|&ns| ns > 0);
        Ok(Self { device: data.dev(), inode: data.ino(), born_ns })
    }

    /// Whether two that are equal are one folder for certain: without its time of birth it may be another that got
    /// the number of a deleted one.
    pub fn is_certain(&self) -> bool {
        self.born_ns.is_some()
    }

    /// Whether it is this one on a device that has got another number, as some do when the machine is started.
    pub fn on_renumbered_device(&self, seen: &Self) -> bool {
        self.is_certain() && self.inode == seen.inode && self.born_ns == seen.born_ns
    }
}

/// Whether nothing is at a path, as opposed to something that cannot be looked at now.
pub fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What this text is when the folder `from` has become `to`: paths into it lead to the new place, also in a list such
/// as a search path and behind `--option=`. `None` when it names no such path.
pub fn rebased(text: &Text, from: &Path, to: &Path) -> Option<Text> {
    const SEPARATORS: [u8; 2] = [b':', b'='];
    let (from, to) = (from.as_os_str().as_bytes(), to.as_os_str().as_bytes());
    let bytes = text.as_os_str().as_bytes();
    let mut moved = Vec::with_capacity(bytes.len());
    let (mut at, mut changed) = (0, false);
    while at < bytes.len() {
        let begins = at == 0 || SEPARATORS.contains(&bytes[at - 1]);
        let rest = &bytes[at..];
        let ends = |rest: &[u8]| rest.first().is_none_or(|&next| next == b'/' || next == b':');
        match rest.strip_prefix(from) {
            Some(after) if begins && !from.is_empty() && ends(after) => {
                moved.extend_from_slice(to);
                at += from.len();
                changed = true;
            }
            _ => {
                moved.push(bytes[at]);
                at += 1;
            }
        }
    }
    changed.then(|| Text::from(OsString::from_vec(moved)))
}

/// The same in place.
pub fn rebase(text: &mut Text, from: &Path, to: &Path) {
    if let Some(moved) = rebased(text, from, to) {
        *text = moved;
    }
}

/// A path as written, made absolute without asking the file system: what was there may be gone.
pub fn spelled_out(path: &Path, cwd: &Path) -> std::path::PathBuf {
    let mut whole = std::path::PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                whole.pop();
            }
            other => whole.push(AsRef::<OsStr>::as_ref(&other)),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_known_by_another_name_and_told_from_its_successor() {
        let world = tempfile::tempdir().unwrap();
        let (old, new) = (world.path().join("old"), world.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        let id = FolderId::of(&old).unwrap();
        std::fs::rename(&old, &new).unwrap();
        assert!(is_absence(&FolderId::of(&old).unwrap_err()));
        std::fs::create_dir(&old).unwrap();
        assert_eq!(FolderId::of(&new).unwrap(), id);
        assert_ne!(FolderId::of(&old).unwrap(), id);
        std::fs::write(world.path().join("file"), "").unwrap();
        assert!(is_absence(&FolderId::of(&world.path().join("file")).unwrap_err()));
        assert!(is_absence(&FolderId::of(&world.path().join("file/below")).unwrap_err()));
    }

    #[test]
    fn a_renumbered_device_has_the_same_folder() {
        let id = FolderId { device: 1, inode: 2, born_ns: Some(3) };
        assert!(id.on_renumbered_device(&FolderId { device: 9, ..id }));
        assert!(!id.on_renumbered_device(&FolderId { born_ns: Some(4), ..id }));
        let unborn = FolderId { born_ns: None, ..id };
        assert!(!unborn.on_renumbered_device(&unborn), "a number alone proves nothing");
    }

    #[test]
    fn paths_into_a_moved_folder_lead_to_its_new_place() {
        let moved = |text: &str| rebased(&text.into(), Path::new("/a/w"), Path::new("/b/new one"));
        for (text, expected) in [
            ("/a/w", "/b/new one"),
            ("/a/w/.venv/bin/python", "/b/new one/.venv/bin/python"),
            ("--root=/a/w/notebooks", "--root=/b/new one/notebooks"),
            ("/a/w/.venv/bin:/usr/bin:/a/w", "/b/new one/.venv/bin:/usr/bin:/b/new one"),
        ] {
            assert_eq!(moved(text), Some(expected.into()), "{text}");
        }
        for text in ["/a/w2", "/a/www/x", "/x/a/w", "", "python", "/a", "/usr/bin:/a/w-old/bin"] {
            assert_eq!(moved(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_is_spelled_out_without_looking() {
        let spelled = |path: &str| spelled_out(Path::new(path), Path::new("/home/x/gone"));
        assert_eq!(spelled("../other/./w"), Path::new("/home/x/other/w"));
        assert_eq!(spelled("/w/"), Path::new("/w"));
        assert_eq!(spelled(""), Path::new("/home/x/gone"));
        assert_eq!(spelled("/../.."), Path::new("/"));
    }
}
