//! What the last setup installed an environment for, kept in the environment: whether the list changed since is a
//! question of its content, not of its date.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

fn file(prefix: &Path) -> PathBuf {
    prefix.join(".pipd-setup")
}

fn content(wants: &Path) -> io::Result<String> {
    let name = wants.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(format!("{name} {:016x}\n", run::layout::fnv1a(&fs::read(wants)?)))
}

/// Whether the list is another one than at the last setup. Without a setup nothing is newer.
pub(crate) fn is_newer(prefix: &Path, wants: &Path) -> bool {
    match (fs::read_to_string(file(prefix)), content(wants)) {
        (Ok(then), Ok(now)) => then != now,
        _ => false,
    }
}

/// Notes that the environment has what the list wants.
pub(crate) fn note(prefix: &Path, wants: &Path) -> io::Result<()> {
    fs::write(file(prefix), content(wants)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_newer_when_it_says_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("requirements.txt");
        fs::write(&list, "six\n").unwrap();
        assert!(!is_newer(dir.path(), &list));
        note(dir.path(), &list).unwrap();
        fs::write(&list, "six\n").unwrap();
        assert!(!is_newer(dir.path(), &list));
        fs::write(&list, "six>=1\n").unwrap();
        assert!(is_newer(dir.path(), &list));
    }
}
