//! Which folder is the workspace: the walk upwards from where the command was typed.
//!
//! The nearest folder with a sign wins. `server.py` and `requirements.txt` are weak signs: many folders inside a
//! project have one, so a folder above with `pipd.toml`, `[tool.pipd]` or a virtual environment goes before them.
//! The walk ends at the git root, at home and where another file system begins.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{self, PIPD_TOML, PYPROJECT_TOML};
use crate::{Caller, Error};

/// A workspace's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Canonical path.
    pub path: PathBuf,
    /// The sign it was known by: `pipd.toml`, `[tool.pipd] in pyproject.toml`, `.venv`, `venv`, `server.py`, `requirements.txt`.
    pub why: String,
    /// What a person may wonder about, such as a nearer folder that was passed over.
    pub notes: Vec<String>,
}

/// How much a sign says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strength {
    Weak,
    Strong,
}

/// Finds the workspace `start` belongs to. `start` may be a folder, or a file in one.
pub fn find_root(start: &Path, caller: &Caller) -> Result<Root, Error> {
    let given = caller.cwd.join(start);
    let unusable = |source| Error::Start { path: given.clone(), source };
    let mut folder = given.canonicalize().map_err(unusable)?;
    if !folder.is_dir() {
        folder.pop();
    }
    let home = caller.home.as_deref().and_then(|home| home.canonicalize().ok());
    let mut walk = Walk { home, looked: Vec::new(), weak: None };
    let border = match walk.up(folder.clone()) {
        Ended::Found(root) => return Ok(root),
        Ended::Border(border) => border,
    };
    if let Some(root) = walk.weak {
        return Ok(root);
    }
    let command =
        caller.command_in(&folder, "echo jupyterlab > requirements.txt && pipctl setup && pipctl start");
    Err(Error::NoWorkspace { start: folder, looked: walk.looked, border, command })
}

/// How a walk ended.
enum Ended {
    Found(Root),
    Border(String),
}

struct Walk {
    home: Option<PathBuf>,
    looked: Vec<PathBuf>,
    weak: Option<Root>,
}

impl Walk {
    fn up(&mut self, mut folder: PathBuf) -> Ended {
        loop {
            self.looked.push(folder.clone());
            let is_home = self.home.as_deref() == Some(&*folder);
            match if is_home { sign_of_home(&folder) } else { sign(&folder) } {
                Some((Strength::Strong, why)) => return Ended::Found(self.found(folder, why)),
                Some((Strength::Weak, why)) if self.weak.is_none() => {
                    self.weak = Some(Root { path: folder.clone(), why, notes: Vec::new() });
                }
                Some((Strength::Weak, _)) | None => {}
            }
            if is_home {
                return Ended::Border(format!(
                    "the home folder {} (it counts only with a {PIPD_TOML})",
                    folder.display()
                ));
            }
            if folder.join(".git").symlink_metadata().is_ok() {
                return Ended::Border(format!("the git root {}", folder.display()));
            }
            let Some(parent) = folder.parent() else {
                return Ended::Border("the root folder /".to_owned());
            };
            if device(parent) != device(&folder) {
                return Ended::Border(format!("{}, where another file system begins", folder.display()));
            }
            folder = parent.to_path_buf();
        }
    }

    fn found(&mut self, path: PathBuf, why: String) -> Root {
        let mut notes = Vec::new();
        if let Some(nearer) = self.weak.take() {
            let inner = nearer.path.display();
            notes.push(format!(
                "{inner} has {}, but {} above it has {why}; a {PIPD_TOML} in {inner} makes it a workspace of its own",
                nearer.why,
                path.display()
            ));
        }
        Root { path, why, notes }
    }
}

fn device(folder: &Path) -> Option<u64> {
    folder.metadata().ok().map(|meta| meta.dev())
}

/// A home folder often has a `.venv` or a `requirements.txt` that means nothing; only a file made for us counts.
fn sign_of_home(home: &Path) -> Option<(Strength, String)> {
    exists(&home.join(PIPD_TOML)).then(|| (Strength::Strong, PIPD_TOML.to_owned()))
}

fn sign(folder: &Path) -> Option<(Strength, String)> {
    let strong = |why: &str| Some((Strength::Strong, why.to_owned()));
    if exists(&folder.join(PIPD_TOML)) {
        return strong(PIPD_TOML);
    }
    if config::mentions_pipd(&folder.join(PYPROJECT_TOML)) {
        return strong("[tool.pipd] in pyproject.toml");
    }
    if let Some(name) = [".venv", "venv"].into_iter().find(|name| is_venv(&folder.join(name))) {
        return strong(name);
    }
    let mut weak = ["server.py", "requirements.txt"].into_iter();
    weak.find(|name| folder.join(name).is_file()).map(|name| (Strength::Weak, name.to_owned()))
}

/// Links count even when they lead nowhere: the person is better told so than sent to another folder.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether a folder is, or once was, a virtual environment.
pub(crate) fn is_venv(path: &Path) -> bool {
    let Ok(meta) = path.symlink_metadata() else { return false };
    let dangling = meta.is_symlink() && path.metadata().is_err();
    dangling || exists(&path.join("pyvenv.cfg")) || exists(&path.join("bin/python"))
}
