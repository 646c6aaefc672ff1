//! What a service manager is told of pipd: its program and the few variables that decide where its state is.

use std::path::{Path, PathBuf};

/// Variables that decide where the daemon keeps its state, or how much it tells.
const TELLING: [&str; 3] = ["PIPD_STATE_DIR", "XDG_STATE_HOME", "PIPD_LOG"];

/// pipd as a service manager is to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The program `pipd`, absolute.
    pub program: PathBuf,
    /// Variables it is given beside the manager's own, in order.
    pub environment: Vec<(String, String)>,
}

impl Agent {
    /// For the program as it is called from here: by its stable name, with what decides where its state is.
    #[must_use]
    pub fn for_program(program: &Path) -> Self {
        let mut environment: Vec<(String, String)> = TELLING
            .iter()
            .filter_map(|name| {
                let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
                Some(((*name).to_owned(), value))
            })
            .collect();
        // Someone who lives in another home than the user database says has the state there, too.
        let database =
            nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.dir);
        if let (Some(home), Some(database)) = (os::paths::home(), database)
            && home != database
            && let Some(home) = home.to_str()
        {
            environment.push(("HOME".into(), home.to_owned()));
        }
        environment.sort();
        Self { program: stable(program, std::env::var_os("PATH")), environment }
    }

    /// The same, but by the name that `installed` has, where that leads to the same file.
    #[must_use]
    pub(crate) fn named_as(&self, installed: &Self) -> Self {
        let same = match (self.program.canonicalize(), installed.program.canonicalize()) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        };
        if same { Self { program: installed.program.clone(), ..self.clone() } } else { self.clone() }
    }

    /// Whether the state is where somebody said.
    pub(crate) fn names_state(&self) -> bool {
        self.environment.iter().any(|(name, _)| name == "PIPD_STATE_DIR")
    }

    /// Whether its program can still be run.
    #[must_use]
    pub fn is_there(&self) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(&self.program)
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    }

    /// Whether a daemon started this way would look after the same state.
    #[must_use]
    pub fn same_state(&self, other: &Self) -> bool {
        let telling = |agent: &Self| -> Vec<(String, String)> {
            agent.environment.iter().filter(|(name, _)| name != "PIPD_LOG").cloned().collect()
        };
        telling(self) == telling(other)
    }
}

/// The name on the PATH that leads to the same file, when there is one: it outlives an upgrade where the file's own
/// path carries a version (Nix, pipx).
fn stable(program: &Path, path: Option<std::ffi::OsString>) -> PathBuf {
    let Ok(file) = program.canonicalize() else { return program.to_owned() };
    let Some(name) = program.file_name() else { return program.to_owned() };
    std::env::split_paths(&path.unwrap_or_default())
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.canonicalize().is_ok_and(|found| found == file))
        .unwrap_or_else(|| program.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_name_on_the_path_is_better_than_where_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        for name in ["store-1", "profile", "other"] {
            std::fs::create_dir(folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("store-1/pipd"), "").unwrap();
        std::fs::write(folder.join("other/pipd"), "").unwrap();
        std::os::unix::fs::symlink(folder.join("store-1/pipd"), folder.join("profile/pipd")).unwrap();
        let path = std::env::join_paths([folder.join("other"), folder.join("profile")]).unwrap();
        let program = folder.join("store-1/pipd");
        assert_eq!(stable(&program, Some(path)), folder.join("profile/pipd"));
        assert_eq!(stable(&program, None), program);
    }

    #[test]
    fn where_the_state_is_decides_what_is_the_same() {
        let agent = |pairs: &[(&str, &str)]| Agent {
            program: "/usr/bin/pipd".into(),
            environment: pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        assert!(agent(&[("PIPD_LOG", "debug")]).same_state(&agent(&[])));
        assert!(!agent(&[("PIPD_STATE_DIR", "/x")]).same_state(&agent(&[])));
    }
}
