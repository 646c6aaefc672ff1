//! Who calls: everything this crate wants to know about the process it runs in, as a plain value.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

/// The person's shell at the moment the command was typed.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// Folder the command was typed in.
    pub cwd: PathBuf,
    /// Environment of the command, in its order.
    pub env: Vec<(OsString, OsString)>,
    /// Home folder, where there is one; the walk upwards ends there.
    pub home: Option<PathBuf>,
    /// Effective user is root: JupyterLab then needs to be told that this is meant.
    pub is_root: bool,
    /// The permissions that new files do not get, where it is known.
    pub umask: Option<u32>,
}

impl Caller {
    /// This process. Home and user are the caller's business: asking for them needs the operating system.
    pub fn from_process(home: Option<PathBuf>, is_root: bool) -> io::Result<Self> {
        Ok(Self {
            cwd: std::env::current_dir()?,
            env: std::env::vars_os().collect(),
            home,
            is_root,
            umask: None,
        })
    }

    /// The value of a variable; an empty one counts as unset. The last one wins, as in a shell.
    pub(crate) fn var(&self, name: &str) -> Option<&OsStr> {
        let (_, value) = self.env.iter().rev().find(|(key, _)| key == OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// The same, as an absolute path.
    pub(crate) fn var_path(&self, name: &str) -> Option<&Path> {
        self.var(name).map(Path::new).filter(|path| path.is_absolute())
    }

    /// A command line that works from where the caller is: preceded by `cd` when it is meant for another folder.
    pub(crate) fn command_in(&self, folder: &Path, command: &str) -> String {
        let here = self.cwd.canonicalize().is_ok_and(|cwd| cwd == folder);
        if here { command.to_owned() } else { format!("cd {} && {command}", quoted(folder)) }
    }
}

/// A path as one word of a shell command.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        assert_eq!(quoted(Path::new("/a/b-c_d.e")), "/a/b-c_d.e");
        assert_eq!(quoted(Path::new("/my work/it's")), r"'/my work/it'\''s'");
        assert_eq!(quoted(Path::new("")), "''");
    }

    #[test]
    fn empty_variables_are_unset_and_the_last_one_wins() {
        let pair = |key: &str, value: &str| (OsString::from(key), OsString::from(value));
        let env = vec![pair("A", "1"), pair("A", "2"), pair("B", ""), pair("C", "relative")];
        let caller = Caller { env, ..Caller::default() };
        assert_eq!(caller.var("A"), Some(OsStr::new("2")));
        assert_eq!(caller.var("B"), None);
        assert_eq!(caller.var_path("C"), None);
    }
}
