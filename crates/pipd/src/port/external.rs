//! Which holder of a port is a service of ours that somebody started by hand: Jupyter by the file it writes of
//! itself, everything else by what it runs and where.
//!
//! Only this user's processes, and never a run of the service itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use os::process::{ProcessIdentity, ProcessInfo};
use wire::{HolderView, Kind, Owner, Text};

use super::holder::Holder;
use super::origin;
use super::seeker::Seeker;
use crate::jupyter::server::{self, JpServer};

/// How far upwards from a listener its server is looked for.
const LONGEST_CHAIN: usize = 8;

/// A server that somebody started by hand in the place of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct External {
    /// Its main process.
    pub(crate) main: ProcessIdentity,
    /// When that was started, milliseconds since the Unix epoch.
    pub(crate) started_ms: Option<i64>,
    /// Address for people, and the same with what logs in.
    pub(crate) address: Option<String>,
    pub(crate) url: Option<String>,
    /// What logs in to a JupyterLab.
    pub(crate) token: Option<String>,
    /// A JupyterLab that lets in everybody who finds it.
    pub(crate) open_to_all: bool,
    pub(crate) view: HolderView,
}

/// The server started by hand among those who hold the port.
pub(crate) fn among(holders: &[Holder], seeker: &Seeker) -> Option<External> {
    let me = nix::unistd::geteuid().as_raw();
    let ours = |holder: &&Holder| {
        let of_this_service =
            holder.view.service.as_deref().is_some_and(|marker| marker.starts_with(&seeker.own));
        let main_of_a_run = seeker.runs.iter().any(|run| holder.view.pid == Some(run.pid));
        !of_this_service && !main_of_a_run
    };
    let mut candidates = holders.iter().filter(ours).filter_map(|holder| {
        let process = holder.process.filter(|process| process.uid == me)?;
        Some((holder, process))
    });
    candidates.find_map(|(holder, process)| {
        let jupyter = (seeker.kind == Kind::Jupyter)
            .then(|| server::of(&process, &server::folders_of(process.pid)))
            .flatten();
        match jupyter {
            // It says itself whose notebooks it serves; where it was typed does not matter.
            Some(server) => by_file(holder, &process, &server, seeker),
            None => by_command(holder, &process, seeker),
        }
    })
}

/// A Jupyter server of this workspace's notebooks, as it says itself.
fn by_file(holder: &Holder, process: &ProcessInfo, server: &JpServer, seeker: &Seeker) -> Option<External> {
    if server.port != seeker.port || !server.serves(&seeker.root) {
        return None;
    }
    let mut found = describe(holder, process)?;
    let path = page(process.pid, &seeker.url_path);
    found.address = Some(server.address(&path));
    found.url = Some(server.login_url(&path));
    found.token = Some(server.token.clone());
    found.open_to_all = server.is_open();
    Some(found)
}

/// The classic notebook has its page elsewhere.
fn page(pid: i32, url_path: &str) -> String {
    let words = os::process::command(pid).unwrap_or_default();
    let classic = words.iter().take(4).any(|word| {
        let word = word.to_string_lossy();
        word.ends_with("jupyter-notebook") || word == "notebook"
    });
    if classic { "/tree".to_owned() } else { url_path.to_owned() }
}

/// A process that runs what the service would run.
fn by_command(holder: &Holder, process: &ProcessInfo, seeker: &Seeker) -> Option<External> {
    let mut main = None;
    let mut next = Some(*process);
    for _ in 0..LONGEST_CHAIN {
        let Some(info) = next.filter(|info| info.uid == process.uid && info.pid > 1) else { break };
        // The topmost one: a reloader above its worker, `uv run` above Python.
        if runs_the_same(info.pid, seeker) {
            main = Some(info);
        } else if main.is_some() {
            break;
        }
        next = os::process::info(info.ppid).ok().flatten();
    }
    let main = main?;
    let mut found = describe(holder, &main)?;
    let address = format!("http://localhost:{}{}", seeker.port, seeker.url_path);
    found.url = Some(address.clone());
    found.address = Some(address);
    Some(found)
}

/// Whether a process is this one, or was started by it.
pub(super) fn is_below(pid: i32, main: &ProcessIdentity) -> bool {
    let mut next = pid;
    for _ in 0..LONGEST_CHAIN {
        if next == main.pid {
            return true;
        }
        match os::process::info(next) {
            Ok(Some(info)) if info.ppid > 1 => next = info.ppid,
            Ok(_) | Err(_) => return false,
        }
    }
    false
}

fn describe(holder: &Holder, main: &ProcessInfo) -> Option<External> {
    let view = HolderView {
        pid: Some(main.pid),
        command: Some(os::process::command_line(main.pid)),
        cwd: os::process::cwd(main.pid).ok().map(|path| path.display().to_string()),
        since_ms: os::process::started_ms(main),
        from: origin::of(main),
        owner: Owner::External,
        // It may have been typed in a terminal of another service; that makes it no run of that service.
        service: None,
        ..holder.view.clone()
    };
    Some(External {
        main: main.identity().ok()?,
        started_ms: view.since_ms,
        address: None,
        url: None,
        token: None,
        open_to_all: false,
        view,
    })
}

fn runs_the_same(pid: i32, seeker: &Seeker) -> bool {
    let Some(words) = os::process::command(pid) else { return false };
    let cwd = os::process::cwd(pid).unwrap_or_default();
    is_the_same(&words, &cwd, seeker)
}

/// Whether this command, typed in this folder, is the service's: the same script or module, or word for word.
fn is_the_same(words: &[OsString], cwd: &Path, seeker: &Seeker) -> bool {
    let inside = cwd.canonicalize().is_ok_and(|cwd| cwd.starts_with(&seeker.root));
    let scripts = scripts(&seeker.argv, seeker.cwd.as_path());
    let typed: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    for (index, word) in typed.iter().enumerate() {
        let after_m = index > 0 && typed.get(index - 1).is_some_and(|before| before == "-m");
        for script in &scripts {
            if cwd.join(word).canonicalize().is_ok_and(|path| path == *script) {
                return true;
            }
            let stem = script.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            // `uvicorn server:app`, `python -m server`.
            let module = word.split_once(':').is_some_and(|(module, _)| module == stem);
            if inside && (module || (after_m && *word == stem)) {
                return true;
            }
        }
        if inside && seeker.kind == Kind::Jupyter && is_jupyter(word, after_m) {
            return true;
        }
    }
    inside && word_for_word(words, &seeker.argv)
}

fn is_jupyter(word: &str, after_m: bool) -> bool {
    let name = word.rsplit('/').next().unwrap_or(word);
    matches!(name, "jupyter-lab" | "jupyter-notebook" | "jupyter-server")
        || (after_m && matches!(word, "jupyterlab" | "notebook" | "jupyter_server"))
}

/// The Python files among the words of a command.
fn scripts(argv: &[Text], cwd: &Path) -> Vec<PathBuf> {
    argv.iter()
        .skip(1)
        .map(Text::as_path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .filter_map(|path| cwd.join(path).canonicalize().ok())
        .collect()
}

/// The same arguments; the program by its name, for a virtual environment has three for one Python.
fn word_for_word(words: &[OsString], argv: &[Text]) -> bool {
    let name = |path: &Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("python") { "python".to_owned() } else { name }
    };
    let (Some(program), Some(ours)) = (words.first(), argv.first()) else { return false };
    name(Path::new(program)) == name(ours.as_path())
        && words.len() == argv.len()
        && words
            .iter()
            .skip(1)
            .zip(argv.iter().skip(1))
            .all(|(word, ours)| word.as_os_str() == ours.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeker(root: &Path, kind: Kind, argv: &[&str]) -> Seeker {
        Seeker {
            port: 5001,
            kind,
            root: root.to_owned(),
            cwd: Text::from(root),
            argv: argv.iter().map(|&word| word.into()).collect(),
            url_path: "/".into(),
            own: "w.server.".into(),
            runs: Vec::new().into(),
        }
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_run_button_and_the_shell_are_the_same_service() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::write(root.join("server.py"), "").unwrap();
        std::fs::create_dir(root.join("sub")).unwrap();
        let server = seeker(&root, Kind::Web, &["/w/.venv/bin/python", "server.py"]);
        let path = root.join("server.py").display().to_string();
        for line in [
            "python server.py".to_owned(),
            "/usr/bin/python3.12 ./server.py --reload".to_owned(),
            format!("/opt/debugpy/python /opt/debugpy/launcher 5678 -- {path}"),
            "/w/.venv/bin/python /w/.venv/bin/uvicorn server:app --port 5001".to_owned(),
            "python -m server".to_owned(),
        ] {
            assert!(is_the_same(&words(&line), &root, &server), "{line}");
        }
        // By its path it is the same from wherever it was typed; by its name only here.
        assert!(is_the_same(&words(&format!("python {path}")), Path::new("/"), &server));
        assert!(is_the_same(&words("python ../server.py"), &root.join("sub"), &server));
        assert!(!is_the_same(&words("python -m server"), Path::new("/"), &server));
        for line in ["python -m http.server 5001", "python other.py", "vim server", "python"] {
            assert!(!is_the_same(&words(line), &root, &server), "{line}");
        }
    }

    #[test]
    fn a_command_of_ones_own_is_known_word_for_word() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let other =
            seeker(&root, Kind::Command, &[".venv/bin/python", "-m", "tensorboard.main", "--port=5001"]);
        assert!(is_the_same(&words("python3 -m tensorboard.main --port=5001"), &root, &other));
        assert!(!is_the_same(&words("python3 -m tensorboard.main --port=5002"), &root, &other));
        assert!(!is_the_same(&words("python3 -m tensorboard.main --port=5001"), Path::new("/"), &other));
    }

    #[test]
    fn a_jupyter_without_a_file_is_known_by_its_command() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let lab = seeker(&root, Kind::Jupyter, &["/w/.venv/bin/python", "-m", "jupyterlab"]);
        assert!(is_the_same(&words("python /w/.venv/bin/jupyter-lab --no-browser"), &root, &lab));
        assert!(is_the_same(&words("python -m jupyterlab"), &root, &lab));
        assert!(!is_the_same(&words("python -m jupyterlab"), Path::new("/"), &lab));
    }
}
