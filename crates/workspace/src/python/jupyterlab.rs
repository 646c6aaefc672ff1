//! Whether JupyterLab can be imported: by looking at files, and only where these cannot tell by asking Python.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::Interpreter;
use crate::{Caller, captured_env};

/// How long Python may take to answer. A cold disk needs a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// Its sight must be the service's: the person's packages and PYTHONPATH count, the folder it runs in does not.
const QUESTION: &str = "\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
from importlib.util import find_spec
if find_spec('jupyterlab') is None:
    print('no')
else:
    try:
        from importlib.metadata import version
        print('yes', version('jupyterlab'))
    except Exception:
        print('yes')
";

/// What is known of JupyterLab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JupyterLab {
    /// It is there, with its version where that could be read.
    Importable(Option<String>),
    /// It is not there.
    Absent,
    /// It could not be found out, and why.
    Unknown(String),
}

/// Looks for JupyterLab in the packages of an interpreter.
pub(crate) fn jupyterlab(python: &Interpreter, root: &Path, caller: &Caller) -> JupyterLab {
    let Some(prefix) = &python.prefix else { return ask(python, root, caller, PATIENCE) };
    let folders = site_packages(prefix);
    for folder in &folders {
        if folder.join("jupyterlab/__init__.py").is_file() {
            return JupyterLab::Importable(version(folder));
        }
    }
    // Elsewhere than in the environment's own folders: a visible system Python, PYTHONPATH, `.pth` files.
    let elsewhere = folders.is_empty()
        || !python.is_venv
        || python.sees_system
        || caller.var("PYTHONPATH").is_some()
        || folders.iter().any(|folder| leads_elsewhere(folder));
    if elsewhere { ask(python, root, caller, PATIENCE) } else { JupyterLab::Absent }
}

fn site_packages(prefix: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for lib in ["lib", "lib64"] {
        let Ok(entries) = fs::read_dir(prefix.join(lib)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let packages = entry.path().join("site-packages");
            if (name.starts_with("python3") || name.starts_with("pypy3")) && packages.is_dir() {
                found.push(packages);
            }
        }
    }
    found
}

/// `__version__ = "4.6.6"` from the package's own file.
fn version(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join("jupyterlab/_version.py")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("__version__"))?;
    let quoted = line.trim_start_matches(['=', ' ', '\t']).trim();
    let version = quoted.trim_matches(['"', '\'']);
    let plain = version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".+!-".contains(c));
    plain.then(|| version.to_owned())
}

/// Whether a folder has `.pth` files that may add others: editable installs. Those every environment has do not.
fn leads_elsewhere(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.ends_with(".pth") && name != "distutils-precedence.pth" && name != "_virtualenv.pth"
    })
}

fn ask(python: &Interpreter, root: &Path, caller: &Caller, patience: Duration) -> JupyterLab {
    let label = &python.label;
    let env = captured_env(caller);
    let child = Command::new(&python.path)
        .args(["-c", QUESTION])
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value.as_os_str())))
        .current_dir(root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return JupyterLab::Unknown(format!("{label} cannot be run: {error}")),
    };
    // The answer is read beside, so that a Python that hangs costs no more than our patience.
    let (send, receive) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        thread::spawn(move || {
            let mut answer = String::new();
            let _ = out.take(4096).read_to_string(&mut answer);
            let _ = send.send(answer);
        });
    }
    let answer = receive.recv_timeout(patience);
    if answer.is_err() {
        let _ = child.kill();
    }
    let _ = child.wait();
    match answer.as_deref().map(str::trim) {
        Ok("no") => JupyterLab::Absent,
        Ok("yes") => JupyterLab::Importable(None),
        Ok(text) => match text.strip_prefix("yes ") {
            Some(version) => JupyterLab::Importable(Some(version.to_owned())),
            None => JupyterLab::Unknown(format!("{label} failed when asked for its packages")),
        },
        Err(_) => JupyterLab::Unknown(format!("{label} did not answer within {patience:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::choose;

    #[test]
    fn a_python_that_hangs_is_not_waited_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let caller = Caller { env: vec![("PATH".into(), "/bin:/usr/bin".into())], ..Caller::default() };
        let name = Some("./python-that-hangs");
        let Ok(Some(python)) = choose(&folder, &caller, name, &mut Vec::new()) else { panic!() };
        let answer = ask(&python, &folder, &caller, Duration::from_millis(50));
        let expected = "./python-that-hangs did not answer within 50ms";
        assert_eq!(answer, JupyterLab::Unknown(expected.to_owned()));
    }

    #[test]
    fn versions_are_read_or_left_out() {
        let world = tempfile::tempdir().unwrap();
        let folder = world.path().join("jupyterlab");
        fs::create_dir(&folder).unwrap();
        for (text, expected) in [
            ("__version__ = \"4.6.6\"\n", Some("4.6.6")),
            ("# x\n__version__ = '5.0.0a1'\n", Some("5.0.0a1")),
            ("__version__='1.0'", Some("1.0")),
            ("__version__ = get()\n", None),
            ("version = 1\n", None),
        ] {
            fs::write(folder.join("_version.py"), text).unwrap();
            assert_eq!(version(world.path()).as_deref(), expected, "{text}");
        }
    }
}
