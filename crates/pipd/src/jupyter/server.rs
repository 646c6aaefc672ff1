//! What Jupyter servers write down of themselves: `jpserver-PID.json` in the runtime folder.
//!
//! A file proves nothing: it outlives a server that was killed, and its process number may be a stranger's by now.
//! It counts when the process is older than the file and listens on the port.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use os::process::ProcessInfo;
use serde::Deserialize;

/// Largest file read, in bytes.
const MAX_BYTES: u64 = 64 << 10;
/// Most files looked at in one folder.
const MAX_FILES: usize = 256;
/// By how much a clock that was set may make a file older than its process, in milliseconds.
const SLACK_MS: i64 = 2_000;

/// One server, by its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct JpServer {
    pub(crate) pid: i32,
    pub(crate) port: u16,
    pub(crate) token: String,
    pub(crate) password: bool,
    pub(crate) root_dir: String,
    pub(crate) url: String,
    /// With a slash at both ends.
    pub(crate) base_url: String,
    /// It speaks TLS.
    pub(crate) secure: bool,
}

impl JpServer {
    /// Whether anybody who reaches it may do everything.
    pub(crate) fn is_open(&self) -> bool {
        self.token.is_empty() && !self.password
    }

    /// The address for a browser, with what logs in.
    pub(crate) fn login_url(&self, path: &str) -> String {
        let address = self.address(path);
        if self.token.is_empty() { address } else { format!("{address}?token={}", self.token) }
    }

    /// The same without any secret.
    pub(crate) fn address(&self, path: &str) -> String {
        // It names the host it was told to bind, which need not be one that a browser can go to.
        let base = if self.url.is_empty() || self.url.contains("://0.0.0.0") || self.url.contains("://[::]") {
            format!("http://localhost:{}/", self.port)
        } else {
            self.url.clone()
        };
        format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'))
    }

    /// Whether its notebooks are those of `root`.
    pub(crate) fn serves(&self, root: &Path) -> bool {
        let folder = Path::new(&self.root_dir);
        folder.canonicalize().is_ok_and(|folder| folder.starts_with(root))
    }
}

/// Where servers started with this environment write their files, the likeliest first: as Jupyter decides, with both
/// answers where it depends on a setting, and on either system.
pub(crate) fn folders<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Vec<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set("JUPYTER_RUNTIME_DIR") {
        return vec![folder];
    }
    if let Some(data) = set("JUPYTER_DATA_DIR") {
        return vec![data.join("runtime")];
    }
    let Some(home) = set("HOME").or_else(os::paths::home) else { return Vec::new() };
    let data = set("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    let macos = ["Library/Jupyter/runtime", "Library/Application Support/jupyter/runtime"];
    [data.join("jupyter/runtime")].into_iter().chain(macos.map(|folder| home.join(folder))).collect()
}

/// The same for a process that runs.
pub(crate) fn folders_of(pid: i32) -> Vec<PathBuf> {
    let environ = os::process::environ(pid).unwrap_or_default();
    folders(|name| {
        use std::os::unix::ffi::OsStrExt;
        environ
            .split(|&byte| byte == 0)
            .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(OsStr::from_bytes))
    })
}

/// The same for whoever knows no more than a process number. Absent for a server that has not finished its start, or
/// whose folder cannot be found; the file may be empty for a moment while it is written.
pub(crate) fn of_pid(pid: i32) -> Option<JpServer> {
    let process = os::process::info(pid).ok().flatten()?;
    of(&process, &folders_of(pid))
}

/// What the server with this process has written of itself.
pub(crate) fn of(process: &ProcessInfo, folders: &[PathBuf]) -> Option<JpServer> {
    let name = format!("jpserver-{}.json", process.pid);
    folders.iter().find_map(|folder| read(&folder.join(&name), process))
}

/// Every server whose file is true: its process lives and is older than the file.
pub(crate) fn all(folder: &Path) -> Vec<(JpServer, ProcessInfo)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let pid = |name: &str| name.strip_prefix("jpserver-")?.strip_suffix(".json")?.parse::<i32>().ok();
    entries
        .flatten()
        .filter_map(|entry| Some((entry.path(), pid(entry.file_name().to_str()?)?)))
        .take(MAX_FILES)
        .filter_map(|(path, pid)| {
            let process = os::process::info(pid).ok().flatten()?;
            Some((read(&path, &process)?, process))
        })
        .collect()
}

fn read(path: &Path, process: &ProcessInfo) -> Option<JpServer> {
    use std::io::Read;
    let file = std::fs::File::open(path).ok()?;
    let written = file.metadata().ok()?.modified().ok().and_then(milliseconds)?;
    if os::process::started_ms(process).is_some_and(|started| started > written + SLACK_MS) {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    let server: JpServer = serde_json::from_slice(text.as_bytes()).ok()?;
    (server.pid == process.pid).then_some(server)
}

fn milliseconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn folders_with(variables: &[(&str, &str)]) -> Vec<PathBuf> {
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        folders(|name| variables.get(name).map(OsStr::new))
    }

    #[test]
    fn the_runtime_folder_is_found_as_jupyter_finds_it() {
        let all = [("JUPYTER_RUNTIME_DIR", "/r"), ("JUPYTER_DATA_DIR", "/d"), ("HOME", "/home/ada")];
        assert_eq!(folders_with(&all), [PathBuf::from("/r")]);
        assert_eq!(folders_with(&all[1..]), [PathBuf::from("/d/runtime")]);
        // An empty variable is none.
        let empty = [("JUPYTER_RUNTIME_DIR", ""), ("HOME", "/home/ada"), ("XDG_DATA_HOME", "/x")];
        assert_eq!(folders_with(&empty).first(), Some(&PathBuf::from("/x/jupyter/runtime")));
        let standard = folders_with(&[("HOME", "/home/ada")]);
        assert_eq!(standard.first(), Some(&PathBuf::from("/home/ada/.local/share/jupyter/runtime")));
    }

    #[test]
    fn a_file_counts_while_its_process_is_older() {
        let folder = tempfile::tempdir().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let path = folder.path().join(format!("jpserver-{me}.json"));
        let text = format!(
            r#"{{"pid": {me}, "port": 8890, "token": "t", "root_dir": "/", "url": "http://localhost:8890/"}}"#
        );
        std::fs::write(&path, text).unwrap();
        std::fs::write(folder.path().join("jpserver-x.json"), "{}").unwrap();
        let found = all(folder.path());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.login_url("lab"), "http://localhost:8890/lab?token=t");
        assert!(found[0].0.serves(Path::new("/")));
        // Another process has the number now.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
        assert_eq!(all(folder.path()), []);
    }

    #[test]
    fn an_address_is_one_a_browser_can_go_to() {
        let server = JpServer { port: 8890, url: "http://0.0.0.0:8890/".into(), ..JpServer::default() };
        assert_eq!(server.login_url("lab"), "http://localhost:8890/lab");
        let server = JpServer { url: "https://box:8890/base/".into(), ..server };
        assert_eq!(server.address("/lab"), "https://box:8890/base/lab");
    }
}
