//! Companions that can be added to a `pipd.toml`: one file each, in the words of `pipd.toml` itself.
//!
//! A recipe has a table `[recipe]` that says what it is; everything else is what is added, comments included. Those of
//! this project are in `recipes/`, a person's own in a folder of theirs.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::config::{self, Config, PIPD_TOML, PYPROJECT_TOML};
use crate::{Caller, Error, Root};

include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// A companion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Its name: that of its file.
    pub name: String,
    /// What it is, one line.
    pub about: String,
    /// Python packages it needs.
    pub packages: Vec<String>,
    /// Programs it needs on the PATH.
    pub programs: Vec<String>,
    /// Where it comes from, when it is a person's own.
    pub path: Option<PathBuf>,
    /// What is added.
    body: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    recipe: Head,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(default)]
    about: String,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    programs: Vec<String>,
}

impl Recipe {
    fn parse(name: &str, text: &str, path: Option<PathBuf>) -> Result<Self, String> {
        let head: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let body = without_head(text);
        toml::from_str::<Config>(&body)
            .map_err(|error| error.message().lines().next().unwrap_or_default().to_owned())?;
        let Head { about, packages, programs } = head.recipe;
        Ok(Self { name: name.to_owned(), about, packages, programs, path, body })
    }
}

/// Everything but the table `[recipe]`, which ends where a blank line or another table follows.
fn without_head(text: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim() == "[recipe]" {
            inside = true;
        } else if inside && (line.trim().is_empty() || line.trim_start().starts_with('[')) {
            inside = false;
        }
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    format!("{}\n", kept.trim())
}

/// All recipes, a person's own (files of this folder) before those of this project; and what is wrong with some.
#[must_use]
pub fn recipes(own: Option<&Path>) -> (Vec<Recipe>, Vec<String>) {
    let mut found: Vec<Recipe> = Vec::new();
    let mut wrong = Vec::new();
    let mut entries: Vec<PathBuf> = own
        .and_then(|own| fs::read_dir(own).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    entries.sort();
    for path in entries {
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) else {
            continue;
        };
        let parsed = fs::read_to_string(&path).map_err(|error| error.to_string());
        match parsed.and_then(|text| Recipe::parse(name, &text, Some(path.clone()))) {
            Ok(recipe) => found.push(recipe),
            Err(why) => wrong.push(format!("{}: {why}", path.display())),
        }
    }
    for (name, text) in BUILT_IN {
        if found.iter().any(|known| known.name == *name) {
            continue;
        }
        match Recipe::parse(name, text, None) {
            Ok(recipe) => found.push(recipe),
            Err(why) => wrong.push(format!("recipes/{name}.toml: {why}")),
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    (found, wrong)
}

/// A service with the port it wanted and the one it was given.
pub type Moved = (String, u16, u16);

/// A configuration with a recipe in it, not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The file.
    pub path: PathBuf,
    /// What it says now; empty when there is none.
    pub before: String,
    /// What is put at its end.
    pub added: String,
    /// The services that are new.
    pub services: Vec<String>,
    /// Ports that are others than the recipe's, since something here has those: service, wanted, given.
    pub ports: Vec<Moved>,
}

/// Why a recipe cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] Error),
    /// It is there already.
    #[error("{file} has `{name}` already; look: pipctl status")]
    Exists {
        /// The file.
        file: String,
        /// What is there.
        name: String,
    },
    /// With the recipe at its end the file would not be one any more.
    #[error("{file} cannot take more tables at its end ({why}); add these lines yourself:\n{lines}")]
    Shape {
        /// The file.
        file: String,
        /// What the reader says.
        why: String,
        /// What is to be added.
        lines: String,
    },
}

/// Puts a recipe at the end of a workspace's configuration; what is there stays byte by byte. `is_free` says whether a port
/// may be used.
///
/// # Errors
/// When something of that name is there, or the file is not what it must be.
pub fn add(
    root: &Root,
    caller: &Caller,
    recipe: &Recipe,
    is_free: impl Fn(u16) -> bool,
) -> Result<Added, AddError> {
    let loaded = config::read(&root.path, caller)?;
    let empty = Config::default();
    let (name, path, before, config) = match &loaded {
        Some(loaded) => (loaded.name, loaded.source.path.clone(), loaded.source.text.clone(), &loaded.config),
        None => (PIPD_TOML, root.path.join(PIPD_TOML), String::new(), &empty),
    };
    let shape =
        |why: String, lines: &str| AddError::Shape { file: name.to_owned(), why, lines: lines.to_owned() };
    let mut body = recipe.body.clone();
    let read = |text: &str| toml::from_str::<Config>(text).map_err(|error| error.message().to_owned());
    let wanted = read(&body).map_err(|why| shape(why, &body))?;
    let services: Vec<String> = wanted.services.keys().map(|name| name.value.clone()).collect();
    let there = services.iter().find(|name| config.services.contains_key(name.as_str()));
    let there = there.or_else(|| {
        wanted.depends.keys().map(|name| &name.value).find(|name| config.depends.contains_key(name.as_str()))
    });
    if let Some(there) = there {
        return Err(AddError::Exists { file: name.to_owned(), name: there.clone() });
    }
    let taken: Vec<u16> = config
        .services
        .values()
        .filter_map(|service| port_of(&service.value))
        .map(|(port, _)| port)
        .collect();
    let mut ports = Vec::new();
    let mut edits: Vec<(Range<usize>, u16)> = Vec::new();
    for (service, table) in &wanted.services {
        let Some((port, span)) = port_of(&table.value) else { continue };
        let fits = |port: &u16| {
            !taken.contains(port) && is_free(*port) && !edits.iter().any(|(_, given)| given == port)
        };
        if let Some(given) = (port..=u16::MAX).find(fits).filter(|given| *given != port) {
            ports.push((service.value.clone(), port, given));
            edits.push((span, given));
        }
    }
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    for (span, port) in edits {
        body.replace_range(span, &port.to_string());
    }
    if name == PYPROJECT_TOML {
        for table in ["services", "depends", "doctor"] {
            body = body.replace(&format!("[{table}."), &format!("[tool.pipd.{table}."));
        }
    }
    let gap = match before.as_str() {
        "" => "",
        text if text.ends_with("\n\n") => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let added = format!("{gap}{body}");
    let whole = format!("{before}{added}");
    let check = if name == PYPROJECT_TOML {
        whole.parse::<toml::Table>().map(drop).map_err(|error| error.message().to_owned())
    } else {
        read(&whole).map(drop)
    };
    check.map_err(|why| shape(why, &body))?;
    Ok(Added { path, before, added, services, ports })
}

fn port_of(service: &config::Service) -> Option<(u16, Range<usize>)> {
    match service.port.as_ref() {
        Some(at) => match at.value {
            config::Port::Number(port) => Some((port, at.span.clone())),
            config::Port::Auto => None,
        },
        None => None,
    }
}

/// Which file a configuration is in, and so what its tables are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `pipd.toml`.
    Own,
    /// `[tool.pipd]` in `pyproject.toml`.
    Shared,
}

impl Form {
    fn read(self, text: &str) -> Result<Config, String> {
        match self {
            Self::Own => toml::from_str(text).map_err(|error| error.message().to_owned()),
            Self::Shared => config::of_pyproject(text),
        }
    }

    fn table(self, service: &str) -> String {
        match self {
            Self::Own => format!("[services.{service}]"),
            Self::Shared => format!("[tool.pipd.services.{service}]"),
        }
    }
}

/// Gives the services of a configuration ports that are free, where theirs are not: the customary ones of `jupyter` and
/// `server` included. What else is in the text stays. Returns the new text, and service, wanted, given for each.
///
/// # Errors
/// What the reader says.
pub fn with_free_ports(
    text: &str,
    form: Form,
    is_free: impl Fn(u16) -> bool,
) -> Result<(String, Vec<Moved>), String> {
    let config = form.read(text)?;
    let auto = config.workspace.ports.as_ref().is_some_and(|ports| ports.value == config::Ports::Auto);
    let mut wanted: Vec<(String, u16, Option<Range<usize>>)> = config
        .services
        .iter()
        .filter_map(|(name, service)| {
            port_of(&service.value).map(|(port, span)| (name.value.clone(), port, Some(span)))
        })
        .collect();
    for (name, port) in [("jupyter", 8888), ("server", 5001)] {
        let service = config.services.get(name).map(|service| &service.value);
        let says = service.is_some_and(|service| {
            service.port.is_some() || service.enabled.as_ref().is_some_and(|enabled| !enabled.value)
        });
        if !says && !auto {
            wanted.push((name.to_owned(), port, None));
        }
    }
    wanted.sort_by_key(|(_, port, _)| *port);
    let mut given: Vec<u16> = Vec::new();
    let mut changed = Vec::new();
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut tail = String::new();
    let all: Vec<u16> = wanted.iter().map(|(_, port, _)| *port).collect();
    for (name, port, span) in wanted {
        let fits = |candidate: &u16| {
            is_free(*candidate)
                && !given.contains(candidate)
                && (*candidate == port || (!all.contains(candidate) && ![5000, 7000].contains(candidate)))
        };
        let Some(new) = (port..=u16::MAX).find(fits) else { continue };
        given.push(new);
        if new == port {
            continue;
        }
        match span {
            Some(span) => edits.push((span, new.to_string())),
            None => match header(text, &form.table(&name)) {
                Some(at) => edits.push((at..at, format!("port = {new}\n"))),
                None => tail.push_str(&format!("\n{}\nport = {new}\n", form.table(&name))),
            },
        }
        changed.push((name, port, new));
    }
    edits.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
    let mut text = text.to_owned();
    for (span, new) in edits {
        text.replace_range(span, &new);
    }
    text.push_str(&tail);
    form.read(&text)?;
    Ok((text, changed))
}

/// Where the line after a table's header begins.
fn header(text: &str, table: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        if line.trim() == table && line.ends_with('\n') {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let root = Root { path: dir.path().to_path_buf(), why: String::new(), notes: Vec::new() };
        (dir, root)
    }

    fn recipe(name: &str) -> Recipe {
        let (all, wrong) = recipes(None);
        assert_eq!(wrong, [""; 0]);
        all.into_iter().find(|recipe| recipe.name == name).unwrap()
    }

    #[test]
    fn every_recipe_of_ours_says_what_it_is_and_can_be_added() {
        let (all, wrong) = recipes(None);
        assert_eq!(wrong, [""; 0]);
        let names: Vec<&str> = all.iter().map(|recipe| recipe.name.as_str()).collect();
        assert_eq!(names, ["dask", "marimo", "mlflow", "ollama", "streamlit", "tensorboard"]);
        for recipe in all {
            assert!(!recipe.about.is_empty() && !recipe.body.contains("[recipe]"), "{recipe:?}");
            assert!(!recipe.packages.is_empty() || !recipe.programs.is_empty());
            let (_dir, root) = world(&[]);
            let added = add(&root, &Caller::default(), &recipe, |_| true).unwrap();
            assert!(added.path.ends_with("pipd.toml") && added.ports.is_empty(), "{added:?}");
        }
    }

    #[test]
    fn what_is_there_stays_and_ports_that_are_taken_are_not_given_twice() {
        let text = "# mine\n[services.other] # here\nport = 6006\ncommand = [\"x\"]";
        let (_dir, root) = world(&[("pipd.toml", text)]);
        let added = add(&root, &Caller::default(), &recipe("tensorboard"), |port| port != 6007).unwrap();
        assert_eq!(added.before, text);
        assert_eq!(added.ports, [("tensorboard".to_owned(), 6006, 6008)]);
        assert!(
            added.added.starts_with("\n\n# TensorBoard") && added.added.ends_with("port = 6008\n"),
            "{}",
            added.added
        );
    }

    #[test]
    fn nothing_is_added_twice_and_a_table_in_pyproject_has_its_place() {
        let (_dir, root) = world(&[("pipd.toml", "[depends.ollama]\nurl = \"http://gpu:1\"\n")]);
        let error = add(&root, &Caller::default(), &recipe("ollama"), |_| true).unwrap_err();
        assert_eq!(error.to_string(), "pipd.toml has `ollama` already; look: pipctl status");
        let (_dir, root) = world(&[("pyproject.toml", "[tool.pipd.services.a]\ncommand = [\"x\"]\n")]);
        let added = add(&root, &Caller::default(), &recipe("dask"), |_| true).unwrap();
        assert!(added.added.contains("[tool.pipd.services.dask-worker]"), "{}", added.added);
        let (_dir, root) = world(&[("pipd.toml", "services = { a = { command = [\"x\"] } }\n")]);
        let error = add(&root, &Caller::default(), &recipe("tensorboard"), |_| true).unwrap_err();
        assert!(error.to_string().contains("add these lines yourself"), "{error}");
    }

    #[test]
    fn a_persons_own_goes_before_ours_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("dask.toml"),
            "[recipe]\nabout = \"mine\"\n[services.d]\ncommand = [\"d\"]\n",
        )
        .unwrap();
        fs::write(dir.path().join("bad.toml"), "[services.x]\nprot = 1\n").unwrap();
        let (all, wrong) = recipes(Some(dir.path()));
        let dask = all.iter().find(|recipe| recipe.name == "dask").unwrap();
        assert_eq!((dask.about.as_str(), dask.body.as_str()), ("mine", "[services.d]\ncommand = [\"d\"]\n"));
        assert!(wrong.len() == 1 && wrong[0].contains("bad.toml: unknown field `prot`"), "{wrong:?}");
    }

    #[test]
    fn a_copy_gets_ports_of_its_own() {
        let text = "# mine\n[services.server]\nready = \"tcp\"\n\n[services.x]\ncommand = [\"x\"]\nport = 6000 # x\n";
        let taken = |port: u16| ![8888, 8889, 5001, 6000].contains(&port);
        let (new, changed) = with_free_ports(text, Form::Own, taken).unwrap();
        assert_eq!(
            new,
            "# mine\n[services.server]\nport = 5002\nready = \"tcp\"\n\n[services.x]\ncommand = [\"x\"]\nport = 6001 # x\n\
             \n[services.jupyter]\nport = 8890\n"
        );
        assert_eq!(changed.len(), 3);
        assert_eq!(with_free_ports(text, Form::Own, |_| true).unwrap(), (text.to_owned(), Vec::new()));
        assert!(
            with_free_ports("[workspace]\nports = \"auto\"\n", Form::Own, |_| false).unwrap().1.is_empty()
        );
    }

    #[test]
    fn ports_in_pyproject_are_moved_in_its_own_table() {
        let text = "[project]\nname = \"x\"\n\n[tool.pipd.services.jupyter]\nenabled = true # yes\n\n\
                    [tool.pipd.services.web]\nport = 5001 # ours\n\n[tool.other]\nport = 5001\n";
        let taken = |port: u16| ![8888, 5001].contains(&port);
        let (new, changed) = with_free_ports(text, Form::Shared, taken).unwrap();
        let (web, jupyter) = (new_port(&changed, "web"), new_port(&changed, "jupyter"));
        let expected = text
            .replace("port = 5001 # ours", &format!("port = {web} # ours"))
            .replace("services.jupyter]\n", &format!("services.jupyter]\nport = {jupyter}\n"));
        assert_eq!(new.strip_prefix(expected.as_str()).map(str::is_empty), Some(false), "{new}");
        assert!(new.ends_with("\n[tool.pipd.services.server]\nport = 5003\n"), "{new}");
        assert!(with_free_ports("[project]\n", Form::Shared, taken).is_err());
    }

    fn new_port(changed: &[Moved], service: &str) -> u16 {
        changed.iter().find(|(name, _, _)| name == service).map(|(_, _, new)| *new).unwrap()
    }
}
