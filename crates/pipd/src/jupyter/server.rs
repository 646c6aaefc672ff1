//! What a running Jupyter server has written of itself: under which path it answers and with which token.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Deserialize;

/// `jpserver-<pid>.json`, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Server {
    /// With a slash at both ends.
    #[serde(default)]
    pub(crate) base_url: String,
    #[serde(default)]
    pub(crate) token: String,
    /// It speaks TLS.
    #[serde(default)]
    pub(crate) secure: bool,
}

/// The record of the server with this process. Absent for a server that has not finished its start, or whose folder
/// cannot be found; an older version's may be empty for a moment while it is written.
pub(crate) fn of(pid: i32) -> Option<Server> {
    let environment = os::process::environ(pid).ok()?;
    let variable = |name: &str| {
        use std::os::unix::ffi::OsStringExt;
        let found = environment.split(|byte| *byte == 0).find_map(|entry| {
            entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").filter(|value| !value.is_empty())
        });
        found.map(|value| PathBuf::from(OsString::from_vec(value.to_vec())))
    };
    folders(variable).into_iter().find_map(|folder| {
        let bytes = std::fs::read(folder.join(format!("jpserver-{pid}.json"))).ok()?;
        serde_json::from_slice(&bytes).ok()
    })
}

/// Where servers with such an environment write, on either system.
fn folders(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(folder) = variable("JUPYTER_RUNTIME_DIR") {
        return vec![folder];
    }
    if let Some(folder) = variable("JUPYTER_DATA_DIR") {
        return vec![folder.join("runtime")];
    }
    let home = variable("HOME").or_else(os::paths::home);
    let data = variable("XDG_DATA_HOME").or_else(|| home.as_ref().map(|home| home.join(".local/share")));
    let linux = data.map(|data| data.join("jupyter/runtime"));
    let macos = home.map(|home| home.join("Library/Jupyter/runtime"));
    linux.into_iter().chain(macos).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_where() {
        let with = |set: &'static [(&str, &str)]| {
            folders(move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        assert_eq!(with(&[("JUPYTER_RUNTIME_DIR", "/r"), ("HOME", "/h")]), [PathBuf::from("/r")]);
        assert_eq!(with(&[("JUPYTER_DATA_DIR", "/d"), ("HOME", "/h")]), [PathBuf::from("/d/runtime")]);
        let found = with(&[("HOME", "/h")]);
        assert_eq!(found[0], PathBuf::from("/h/.local/share/jupyter/runtime"));
        assert_eq!(found[1], PathBuf::from("/h/Library/Jupyter/runtime"));
    }
}
