//! Which Python: `.venv`, `venv`, `$VIRTUAL_ENV`, `$CONDA_PREFIX`, `python3` on the caller's PATH.
//!
//! An interpreter is known by the path it is found under and never resolved: Python finds its virtual environment
//! by the path it was started with, and `.venv/bin/python` is a link to a Python that knows nothing of it.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::caller::quoted;
use crate::root::is_venv;
use crate::{Caller, Error};

/// The Python of a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Interpreter {
    /// Absolute, not resolved.
    pub(crate) path: PathBuf,
    /// For people: `.venv/bin/python`, or where it comes from.
    pub(crate) label: String,
    /// The folder whose `bin` goes first on the PATH.
    pub(crate) prefix: Option<PathBuf>,
    /// `prefix` is a virtual environment.
    pub(crate) is_venv: bool,
    /// It was made by uv and may have no pip.
    pub(crate) by_uv: bool,
    /// Packages of the Python it was made from are visible too.
    pub(crate) sees_system: bool,
    /// Why it cannot run, and the command that mends it.
    broken: Option<(String, String)>,
}

/// The configured interpreter is not there.
pub(crate) struct Missing(pub(crate) String);

impl Interpreter {
    /// Itself when it can run, else the error that says why not.
    pub(crate) fn usable(&self, root: &Path, caller: &Caller) -> Result<&Self, Error> {
        match &self.broken {
            None => Ok(self),
            Some((what, mend)) => {
                Err(Error::Python { what: what.clone(), command: caller.command_in(root, mend) })
            }
        }
    }

    /// Why it cannot run.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.broken.as_ref().map(|(what, _)| what.as_str())
    }

    /// The command that installs a package for it; `what` is a requirement or `-r file`.
    pub(crate) fn install(&self, root: &Path, what: &str) -> String {
        let python = quoted(self.path.strip_prefix(root).unwrap_or(&self.path));
        if self.by_uv {
            format!("uv pip install --python {python} {what}")
        } else if self.prefix.is_some() {
            format!("{python} -m pip install {what}")
        } else {
            // Never into the system's Python.
            setup_with(root, what)
        }
    }
}

/// Finds the interpreter of a workspace. `Ok(None)` when there is none at all; remarks go to `warnings`.
pub(crate) fn choose(
    root: &Path,
    caller: &Caller,
    configured: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<Option<Interpreter>, Missing> {
    if let Some(name) = configured {
        return named(root, caller, name).map(Some);
    }
    if let Some(name) = [".venv", "venv"].into_iter().find(|name| is_venv(&root.join(name))) {
        return Ok(Some(environment(&root.join(name), root, name)));
    }
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        let Some(prefix) = caller.var_path(variable) else { continue };
        if prefix.is_dir() {
            let mut found = environment(prefix, root, &prefix.to_string_lossy());
            found.label = format!("{} (${variable})", found.label);
            return Ok(Some(found));
        }
        warnings
            .push(format!("${variable} is {}, which does not exist; it was passed over", prefix.display()));
    }
    let Some(path) = on_path(caller, "python3") else { return Ok(None) };
    let label = format!("{} (python3 on the PATH)", path.display());
    Ok(Some(program(path, label)))
}

/// The interpreter `pipd.toml` names: a program, or the folder of an environment.
fn named(root: &Path, caller: &Caller, name: &str) -> Result<Interpreter, Missing> {
    let path: PathBuf = root.join(name).components().collect();
    if path.is_dir() {
        if !is_venv(&path) {
            return Err(Missing(format!("{} is a folder without bin/python", path.display())));
        }
        return Ok(environment(&path, root, name.trim_end_matches('/')));
    }
    if path.symlink_metadata().is_ok() || name.contains('/') {
        return match runnable(&path) {
            Ok(()) => Ok(program(path, name.to_owned())),
            Err(why) => Err(Missing(why)),
        };
    }
    let found = on_path(caller, name).ok_or_else(|| Missing(format!("`{name}` is not on the PATH")))?;
    let label = format!("{} ({name} on the PATH)", found.display());
    Ok(program(found, label))
}

/// An interpreter by its path; when it is in an environment's `bin`, with that environment.
fn program(path: PathBuf, label: String) -> Interpreter {
    let prefix = path.parent().filter(|bin| bin.ends_with("bin")).and_then(Path::parent);
    let config = prefix.and_then(VenvConfig::read);
    Interpreter {
        prefix: prefix.filter(|_| config.is_some()).map(Path::to_path_buf),
        is_venv: config.is_some(),
        by_uv: config.as_ref().is_some_and(|config| config.by_uv),
        sees_system: config.is_none_or(|config| config.sees_system),
        broken: None,
        label,
        path,
    }
}

/// The interpreter of a virtual or conda environment.
fn environment(prefix: &Path, root: &Path, name: &str) -> Interpreter {
    let config = VenvConfig::read(prefix);
    let program =
        ["python", "python3"].into_iter().find(|program| is_there(&prefix.join("bin").join(program)));
    let path = prefix.join("bin").join(program.unwrap_or("python"));
    let fault = environment_fault(prefix, name, &path, config.as_ref());
    Interpreter {
        label: format!("{name}/bin/{}", program.unwrap_or("python")),
        is_venv: config.is_some(),
        by_uv: config.as_ref().is_some_and(|config| config.by_uv),
        sees_system: config.as_ref().is_some_and(|config| config.sees_system),
        broken: fault.map(|fault| (fault, mend(prefix, root, config.as_ref()))),
        prefix: Some(prefix.to_path_buf()),
        path,
    }
}

fn environment_fault(
    prefix: &Path,
    name: &str,
    python: &Path,
    config: Option<&VenvConfig>,
) -> Option<String> {
    if !prefix.exists() {
        let target = last_link(prefix);
        return Some(format!("{name} is a link to {}, which does not exist", target.display()));
    }
    if !is_there(python) {
        return Some(format!("{name} is broken: it has no bin/python"));
    }
    if let Err(why) = runnable(python) {
        return Some(format!("{name} is broken: {why}"));
    }
    let home = config.and_then(|config| config.home.as_deref()).filter(|home| !home.is_dir())?;
    Some(format!("{name} is broken: it was made from the Python in {}, which is gone", home.display()))
}

/// The command that makes an environment anew. What is to be in it is known, or it is what most people come for.
fn mend(prefix: &Path, root: &Path, config: Option<&VenvConfig>) -> String {
    if config.is_some_and(|config| config.by_uv) && root.join("uv.lock").is_file() {
        return format!("uv venv --clear {} && uv sync", quoted(prefix.strip_prefix(root).unwrap_or(prefix)));
    }
    if root.join("pyproject.toml").is_file() || root.join("requirements.txt").is_file() {
        return "pipctl setup".to_owned();
    }
    setup_with(root, "jupyterlab")
}

/// The command that makes an environment and has a package in it, by name or with `-r requirements.txt`.
pub(crate) fn setup_with(root: &Path, what: &str) -> String {
    let list = root.join("requirements.txt");
    match fs::read_to_string(&list) {
        _ if what.starts_with("-r ") => "pipctl setup".to_owned(),
        Ok(text) if text.contains(what) => "pipctl setup".to_owned(),
        // A last line that has no end would get the name at its end.
        Ok(text) if !text.is_empty() && !text.ends_with('\n') => {
            format!("printf '\\n%s\\n' {what} >> requirements.txt && pipctl setup")
        }
        Ok(_) => format!("echo {what} >> requirements.txt && pipctl setup"),
        Err(_) => format!("echo {what} > requirements.txt && pipctl setup"),
    }
}

/// What `pyvenv.cfg` says.
struct VenvConfig {
    home: Option<PathBuf>,
    by_uv: bool,
    sees_system: bool,
}

impl VenvConfig {
    fn read(prefix: &Path) -> Option<Self> {
        let bytes = fs::read(prefix.join("pyvenv.cfg")).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let value = |wanted: &str| {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let mut values = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(wanted));
            values.next().map(|(_, value)| value.trim().to_owned())
        };
        Some(Self {
            home: value("home").map(PathBuf::from).filter(|home| home.is_absolute()),
            by_uv: value("uv").is_some(),
            sees_system: value("include-system-site-packages")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }
}

/// A program of this name on the caller's PATH, under the path it is found by.
fn on_path(caller: &Caller, name: &str) -> Option<PathBuf> {
    let path = caller.var("PATH")?;
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(name)).find(|candidate| runnable(candidate).is_ok())
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn runnable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match path.metadata() {
        Err(_) if is_there(path) => {
            Err(format!("{shown} is a link to {}, which does not exist", last_link(path).display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{shown} does not exist")),
        Err(error) => Err(format!("{shown}: {error}")),
        Ok(meta) if !meta.is_file() => Err(format!("{shown} is not a file")),
        Ok(meta) if meta.permissions().mode() & 0o111 == 0 => Err(format!("{shown} is not executable")),
        Ok(_) => Ok(()),
    }
}

/// Where a chain of links breaks off.
fn last_link(path: &Path) -> PathBuf {
    let mut at = path.to_path_buf();
    for _ in 0..40 {
        let Ok(target) = at.read_link() else { break };
        at = at.parent().map_or(target.clone(), |folder| folder.join(&target));
    }
    at
}
