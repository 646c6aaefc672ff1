//! Where the folders of the workspaces are now. Reads the file system, off the loop; a folder is known by what it is,
//! never by its name, and no file in it is read but the first lines of scripts.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use run::folder::{FolderId, is_absence};

/// Most neighbours of a folder's old place that are looked at.
const NEIGHBOURS: usize = 4_096;
/// Scripts of a Python environment that name the place where it was made.
const SCRIPTS: [&str; 4] = ["pip", "pip3", "jupyter", "uvicorn"];

/// A workspace, as far as its folder goes.
pub(crate) struct Known {
    pub(crate) id: Arc<str>,
    pub(crate) root: PathBuf,
    pub(crate) folder: Option<FolderId>,
    pub(crate) gone: bool,
    /// Where it was before.
    pub(crate) former: Vec<PathBuf>,
    /// Scripts in it are known to name one of those places.
    pub(crate) stale_scripts: bool,
    /// Processes that were started in it.
    pub(crate) pids: Vec<i32>,
}

/// What is not as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It is at its path, and this is the folder.
    Here(FolderId),
    /// It is at another path.
    Moved { to: PathBuf, folder: FolderId },
    /// It is not at its path, and was not found.
    Gone,
    /// Whether scripts in it name a place where it was.
    StaleScripts(bool),
}

/// Looks at every folder. `asked` is one that somebody names: perhaps one of them under another name.
pub(crate) fn look(asked: Option<&Path>, known: &[Known]) -> Vec<(Arc<str>, Finding)> {
    let seen: Vec<_> = known.iter().map(|one| FolderId::of(&one.root)).collect();
    let places: Vec<(&Path, FolderId)> = known
        .iter()
        .zip(&seen)
        .filter_map(|(one, seen)| Some((one.root.as_path(), *seen.as_ref().ok()?)))
        .chain(asked.and_then(|path| Some((path, FolderId::of(path).ok()?))))
        .collect();
    let moves: Vec<Option<(PathBuf, FolderId)>> = known
        .iter()
        .zip(&seen)
        .map(|(one, seen)| {
            let folder = one.folder.filter(|folder| is_lost(folder, seen))?;
            // Without its time of birth one that is elsewhere may be another with the same number.
            let missing = seen.is_err();
            let is_it = |found: &FolderId| *found == folder && (folder.is_certain() || missing);
            let named = places.iter().find(|(path, found)| *path != one.root && is_it(found));
            let to = named.map(|(path, _)| path.to_path_buf());
            Some((
                to.or_else(|| of_a_process(&one.pids, &folder)).or_else(|| neighbour(&one.root, &folder))?,
                folder,
            ))
        })
        .collect();
    // Whether the folder at the place of this one is known to be another workspace.
    let is_anothers = |index: usize, found: &FolderId| {
        let place = &known[index].root;
        let comes = moves.iter().flatten().any(|(to, _)| to == place);
        let others = known.iter().enumerate().filter(|(other, _)| *other != index);
        comes || others.clone().any(|(_, one)| one.root == *place && one.folder.as_ref() == Some(found))
    };
    let mut findings = Vec::new();
    for (index, (one, seen)) in known.iter().zip(&seen).enumerate() {
        let finding = match (&moves[index], seen) {
            (Some((to, folder)), _) => Some(Finding::Moved { to: to.clone(), folder: *folder }),
            (None, Err(error)) => (is_absence(error) && !one.gone).then_some(Finding::Gone),
            (None, Ok(found)) if one.folder.as_ref() == Some(found) && !one.gone => None,
            (None, Ok(found)) if one.folder.as_ref() != Some(found) && is_anothers(index, found) => {
                (!one.gone).then_some(Finding::Gone)
            }
            // Nowhere else is what was here: what is here now goes on as it.
            (None, Ok(found)) => Some(Finding::Here(*found)),
        };
        let root = moves[index].as_ref().map_or(&one.root, |(to, _)| to);
        let mut former: Vec<&Path> = one.former.iter().map(PathBuf::as_path).collect();
        former.extend(moves[index].as_ref().map(|_| one.root.as_path()));
        let stale = !former.is_empty() && names_former(root, &former);
        findings.extend(finding.map(|finding| (Arc::clone(&one.id), finding)));
        if stale != one.stale_scripts {
            findings.push((Arc::clone(&one.id), Finding::StaleScripts(stale)));
        }
    }
    findings
}

/// Whether this folder is not at its path. What cannot be looked at now is not lost.
fn is_lost(folder: &FolderId, seen: &std::io::Result<FolderId>) -> bool {
    match seen {
        Ok(found) => found != folder && !folder.on_renumbered_device(found),
        Err(error) => is_absence(error),
    }
}

/// The current folder of a process moves with it.
fn of_a_process(pids: &[i32], folder: &FolderId) -> Option<PathBuf> {
    pids.iter().find_map(|&pid| {
        let cwd = os::process::cwd(pid).ok()?;
        cwd.ancestors()
            .find(|path| FolderId::of(path).is_ok_and(|found| found == *folder))
            .map(Path::to_path_buf)
    })
}

/// Most folders that are renamed stay where they are.
fn neighbour(root: &Path, folder: &FolderId) -> Option<PathBuf> {
    let entries = std::fs::read_dir(root.parent()?).ok()?.take(NEIGHBOURS).flatten();
    let mut same = entries.filter(|entry| entry.ino() == folder.inode).map(|entry| entry.path());
    same.find(|path| {
        path != root
            && path.symlink_metadata().is_ok_and(|data| data.is_dir())
            && FolderId::of(path).is_ok_and(|found| found == *folder)
    })
}

/// Whether a script of the environment in `root` names one of these places.
fn names_former(root: &Path, former: &[&Path]) -> bool {
    let names = |script: PathBuf| {
        let mut head = Vec::new();
        let read = std::fs::File::open(script).and_then(|file| file.take(4_096).read_to_end(&mut head));
        let line = read.ok().and_then(|_| head.split(|&byte| byte == b'\n').next()?.strip_prefix(b"#!"));
        line.is_some_and(|line| {
            let below = |place: &&Path| {
                line.strip_prefix(place.as_os_str().as_bytes())
                    .is_some_and(|rest| rest.first() == Some(&b'/'))
            };
            former.iter().any(below)
        })
    };
    let folders = [".venv/bin", "venv/bin"].into_iter().map(|name| root.join(name));
    folders.into_iter().any(|bin| SCRIPTS.iter().any(|name| names(bin.join(name))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &str, root: &Path) -> Known {
        Known {
            id: id.into(),
            root: root.to_owned(),
            folder: FolderId::of(root).ok(),
            gone: false,
            former: Vec::new(),
            stale_scripts: false,
            pids: Vec::new(),
        }
    }

    fn world() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let world = tempfile::tempdir().unwrap();
        let root = world.path().canonicalize().unwrap();
        let (a, b) = (root.join("a"), root.join("b"));
        for folder in [&a, &b] {
            std::fs::create_dir(folder).unwrap();
        }
        (world, a, b)
    }

    fn moved(id: &str, to: &Path) -> (Arc<str>, Finding) {
        (id.into(), Finding::Moved { to: to.to_owned(), folder: FolderId::of(to).unwrap() })
    }

    #[test]
    fn what_is_where_it_was_is_no_news_and_what_was_never_looked_at_is_learned() {
        let (_world, a, b) = world();
        assert_eq!(look(None, &[known("a", &a), known("b", &b)]), []);
        let old = Known { folder: None, ..known("a", &a) };
        assert_eq!(look(None, &[old]), [("a".into(), Finding::Here(FolderId::of(&a).unwrap()))]);
    }

    #[test]
    fn a_renamed_folder_is_found_beside_its_old_place_and_a_deleted_one_is_gone() {
        let (_world, a, b) = world();
        let all = [known("a", &a), known("b", &b)];
        let c = a.with_file_name("c");
        std::fs::rename(&a, &c).unwrap();
        std::fs::remove_dir(&b).unwrap();
        assert_eq!(look(None, &all), [moved("a", &c), ("b".into(), Finding::Gone)]);
    }

    #[test]
    fn two_that_change_places_are_told_apart() {
        let (_world, a, b) = world();
        let all = [known("a", &a), known("b", &b)];
        let t = a.with_file_name("t");
        for (from, to) in [(&a, &t), (&b, &a), (&t, &b)] {
            std::fs::rename(from, to).unwrap();
        }
        assert_eq!(look(None, &all), [moved("a", &b), moved("b", &a)]);
    }

    #[test]
    fn a_folder_far_away_is_found_when_it_is_named() {
        let (_world, a, b) = world();
        let all = [known("a", &a)];
        let far = b.join("far");
        std::fs::rename(&a, &far).unwrap();
        assert_eq!(look(None, &all), [("a".into(), Finding::Gone)]);
        assert_eq!(look(Some(&far), &all), [moved("a", &far)]);
        // Another folder in its old place takes nothing away from it.
        std::fs::create_dir(&a).unwrap();
        assert_eq!(look(Some(&far), &all), [moved("a", &far)]);
    }

    #[test]
    fn a_folder_made_anew_goes_on_as_what_it_was_unless_that_lives_elsewhere() {
        let (_world, a, _) = world();
        let all = [known("a", &a)];
        std::fs::remove_dir(&a).unwrap();
        std::fs::create_dir(&a).unwrap();
        assert_eq!(look(None, &all), [("a".into(), Finding::Here(FolderId::of(&a).unwrap()))]);
        // One that took the path over as another workspace keeps it.
        let gone = Known { gone: true, folder: all[0].folder, ..known("old", &a) };
        assert_eq!(look(None, &[gone, known("new", &a)]), []);
    }

    #[test]
    fn a_folder_that_comes_back_is_here_again() {
        let (_world, a, _) = world();
        let gone = Known { gone: true, ..known("a", &a) };
        assert_eq!(look(None, &[gone]), [("a".into(), Finding::Here(FolderId::of(&a).unwrap()))]);
    }

    #[test]
    fn a_copy_is_another_folder() {
        let (_world, a, b) = world();
        assert_eq!(look(Some(&b), &[known("a", &a)]), []);
    }

    #[test]
    fn scripts_that_name_the_old_place_are_seen() {
        let (_world, a, _) = world();
        let all = [known("a", &a)];
        std::fs::create_dir_all(a.join(".venv/bin")).unwrap();
        std::fs::write(a.join(".venv/bin/pip"), format!("#!{}/.venv/bin/python\n", a.display())).unwrap();
        let c = a.with_file_name("c");
        std::fs::rename(&a, &c).unwrap();
        assert_eq!(look(None, &all), [moved("a", &c), ("a".into(), Finding::StaleScripts(true))]);
        let after = Known { former: vec![a.clone()], stale_scripts: true, ..known("a", &c) };
        std::fs::write(c.join(".venv/bin/pip"), format!("#!{}/.venv/bin/python\n", c.display())).unwrap();
        assert_eq!(look(None, &[after]), [("a".into(), Finding::StaleScripts(false))]);
    }
}
