//! Jupyter configuration of the person or the machine that overrides what pipd tells JupyterLab.
//!
//! What pipd passes on the command line (port, no browser, no retries) goes before every file. Other settings change
//! what the address, the token and the readiness check mean; these are looked for. Files are read as text: they are
//! programs, and running them is JupyterLab's business.

use std::fs;
use std::path::{Path, PathBuf};

use wire::Kind;

use super::{Check, Context, Finding, Level};

/// A setting, and what it does to us.
const SETTINGS: &[(&str, Level, &str)] = &[
    ("token", Level::Warning, "the address that pipctl prints does not log in"),
    ("password", Level::Warning, "JupyterLab asks for a password besides the token"),
    ("hashed_password", Level::Warning, "JupyterLab asks for a password besides the token"),
    ("base_url", Level::Problem, "JupyterLab answers under another path than the one pipd asks for"),
    ("certfile", Level::Warning, "JupyterLab speaks https; the address that pipctl prints says http"),
    ("ip", Level::Warning, "JupyterLab listens elsewhere than on this machine alone"),
    ("sock", Level::Problem, "JupyterLab listens on a socket file instead of a port"),
    ("root_dir", Level::Note, "JupyterLab shows another folder than the workspace"),
    ("notebook_dir", Level::Note, "JupyterLab shows another folder than the workspace"),
    ("allow_remote_access", Level::Note, "JupyterLab answers to other names than localhost"),
    ("disable_check_xsrf", Level::Warning, "any web page you open may use JupyterLab"),
    ("default_url", Level::Note, "JupyterLab opens another page than /lab"),
];

/// Classes whose settings reach the server.
const CLASSES: [&str; 5] =
    ["ServerApp", "NotebookApp", "LabApp", "IdentityProvider", "PasswordIdentityProvider"];

/// Files JupyterLab reads in each of its folders.
const NAMES: [&str; 5] = [
    "jupyter_config",
    "jupyter_server_config",
    "jupyter_lab_config",
    "jupyter_notebook_config",
    "jupyter_labextension_config",
];

pub(super) struct Jupyter;

impl Check for Jupyter {
    fn name(&self) -> &'static str {
        "jupyter"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        if !context.services().iter().any(|service| service.kind == Kind::Jupyter) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for folder in folders(context) {
            for path in files(&folder) {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let json = path.extension().is_some_and(|extension| extension == "json");
                let set = if json { in_json(&text) } else { in_python(&text) };
                for (class, name) in set {
                    let Some((_, level, what)) = SETTINGS.iter().find(|(known, ..)| *known == name) else {
                        continue;
                    };
                    let text = format!("{} sets {class}.{name}: {what}", path.display());
                    found.push(Finding::new(self, *level, text).mend(format!("$EDITOR {}", path.display())));
                }
            }
        }
        if found.is_empty() {
            let text = "no configuration of yours changes what pipd tells JupyterLab";
            found.push(Finding::new(self, Level::Ok, text));
        }
        found
    }
}

/// Where JupyterLab looks, in its own words: `JUPYTER_CONFIG_DIR`, `~/.jupyter`, the environment's and the machine's.
fn folders(context: &Context) -> Vec<PathBuf> {
    let surroundings = context.surroundings();
    let mut found = Vec::new();
    match surroundings.var("JUPYTER_CONFIG_DIR") {
        Some(folder) => found.push(PathBuf::from(folder)),
        None => found.extend(surroundings.home.as_ref().map(|home| home.join(".jupyter"))),
    }
    if let Some(list) = surroundings.var("JUPYTER_CONFIG_PATH") {
        found.extend(std::env::split_paths(list).filter(|path| path.is_absolute()));
    }
    found.extend(surroundings.home.as_ref().map(|home| home.join(".local/etc/jupyter")));
    found.extend(context.python().and_then(|python| python.prefix.as_ref()).map(|p| p.join("etc/jupyter")));
    found.extend(["/usr/local/etc/jupyter", "/etc/jupyter"].map(PathBuf::from));
    found
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let both = |stem: &str| ["py", "json"].map(|extension| folder.join(format!("{stem}.{extension}")));
    let mut found: Vec<PathBuf> = NAMES.iter().flat_map(|stem| both(stem)).collect();
    for stem in NAMES {
        let entries = fs::read_dir(folder.join(format!("{stem}.d"))).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path()));
    }
    found.retain(|path| path.is_file());
    found
}

/// `c.ServerApp.port = 8890`, and what means the same.
fn in_python(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with('#')) {
        let Some(rest) = line.strip_prefix("c.").or_else(|| line.strip_prefix("get_config().")) else {
            continue;
        };
        let Some((target, value)) = rest.split_once('=').filter(|(_, value)| !value.starts_with('=')) else {
            continue;
        };
        if let Some((class, name)) = target.trim().split_once('.')
            && CLASSES.contains(&class)
            && !is_default(name, value.trim())
        {
            found.push((class.to_owned(), name.to_owned()));
        }
    }
    found
}

fn in_json(text: &str) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(root)) = serde_json::from_slice(text.as_bytes()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for class in CLASSES {
        let Some(settings) = root.get(class).and_then(serde_json::Value::as_object) else { continue };
        for (name, value) in settings {
            if !is_default(name, &value.to_string()) {
                found.push((class.to_owned(), name.clone()));
            }
        }
    }
    found
}

/// Settings that are written down with the value they have anyway.
fn is_default(name: &str, value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    match name {
        "ip" => ["localhost", "127.0.0.1"].contains(&value),
        "base_url" => value == "/",
        "default_url" => ["/lab", ""].contains(&value),
        "allow_remote_access" | "disable_check_xsrf" => ["False", "false"].contains(&value),
        "password" | "hashed_password" | "certfile" | "sock" => value.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: Vec<(String, String)>) -> Vec<String> {
        found.into_iter().map(|(class, name)| format!("{class}.{name}")).collect()
    }

    #[test]
    fn settings_are_found_as_people_write_them() {
        let text = "c = get_config()\nc.ServerApp.token = ''\n# c.ServerApp.ip = '*'\nc.ServerApp.ip='0.0.0.0'\n\
                    c.ServerApp.base_url = '/'\nc.LabApp.default_url = \"/tree\"\nc.Spawner.ip = 'x'\n\
                    if c.ServerApp.ip == 'x': pass\n";
        assert_eq!(names(in_python(text)), ["ServerApp.token", "ServerApp.ip", "LabApp.default_url"]);
        let json = r#"{"ServerApp": {"jpserver_extensions": {"x": true}, "password": "", "base_url": "/x/"},
                       "IdentityProvider": {"token": "abc"}}"#;
        let mut found = names(in_json(json));
        found.retain(|name| !name.ends_with("extensions"));
        assert_eq!(found, ["ServerApp.base_url", "IdentityProvider.token"]);
        assert_eq!(in_json("{"), []);
    }
}
