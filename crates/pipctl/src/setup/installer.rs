//! pip, or uv where there is one: what is to be installed, fetching it, installing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use workspace::Wants;

use super::stream::{self, Said};
use super::{Fault, Work};

/// Which program installs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// The environment's own pip; the interpreter that makes environments.
    Pip {
        /// It makes environments.
        python: PathBuf,
    },
    /// uv.
    Uv {
        /// The program.
        uv: PathBuf,
        /// For environments it makes; its own choice when absent.
        python: Option<PathBuf>,
    },
}

/// What is to be installed: names and versions, and whether the project itself comes last.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) packages: Vec<(String, String)>,
    /// A line of a requirements file for each, with the hash of the very file that was chosen where there is one.
    lines: Vec<String>,
    project: bool,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.packages.is_empty() && !self.project
    }
}

/// Fetched packages; the folder goes with it.
pub(super) struct Wheels(PathBuf);

impl Drop for Wheels {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// pip's report of what it would do.
#[derive(Deserialize)]
struct Report {
    install: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    download_info: Download,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

#[derive(Default, Deserialize)]
struct Download {
    #[serde(default)]
    url: String,
    #[serde(default)]
    archive_info: Option<Archive>,
    #[serde(default)]
    vcs_info: Option<serde_json::Value>,
    #[serde(default)]
    dir_info: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct Archive {
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
}

impl Tool {
    /// For people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pip { .. } => "pip",
            Self::Uv { .. } => "uv",
        }
    }

    /// Makes an empty environment.
    pub(super) fn make(&self, work: &mut Work<'_>, prefix: &Path) -> Result<(), Fault> {
        work.bar.stage("making the environment", 0);
        let mut command = match self {
            Self::Pip { python } => {
                let mut command = Command::new(python);
                command.args(["-m", "venv"]).arg(prefix);
                command
            }
            Self::Uv { uv, python } => {
                let mut command = Command::new(uv);
                command.args(["venv", "--allow-existing", "--seed"]);
                if let Some(python) = python {
                    command.arg("--python").arg(python);
                }
                command.arg(prefix);
                command
            }
        };
        stream::run(work, &format!("making {}", prefix.display()), &mut command, |_, _| {}).map(drop)
    }

    /// What is to be installed. Needs the network and changes nothing.
    pub(super) fn resolve(&self, work: &mut Work<'_>, python: &Path, wants: &Wants) -> Result<Plan, Fault> {
        work.bar.stage("looking what is needed", 0);
        let project = matches!(wants, Wants::Project { builds: true, .. });
        if matches!(wants, Wants::Project { dependencies, .. } if dependencies.is_empty()) {
            return Ok(Plan { project, ..Plan::default() });
        }
        match self {
            Self::Pip { .. } => {
                let file = std::env::temp_dir().join(format!("pipctl-setup-{}.json", std::process::id()));
                let mut command = pip(python);
                command.args(["install", "--dry-run", "--quiet", "--report"]).arg(&file);
                wanted(&mut command, wants);
                let ran = stream::run(work, "looking what is needed", &mut command, |_, _| {});
                let text = fs::read_to_string(&file);
                let _ = fs::remove_file(&file);
                ran?;
                let report: Report =
                    serde_json::from_slice(text.map_err(Fault::io("reading pip's report"))?.as_bytes())
                        .map_err(|error| Fault::Program {
                            doing: "reading pip's report".into(),
                            said: error.to_string(),
                        })?;
                Ok(Plan::of(report, project))
            }
            Self::Uv { uv, .. } => {
                let mut command = Command::new(uv);
                command.args(["pip", "install", "--dry-run", "--python"]).arg(python);
                wanted(&mut command, wants);
                let said = stream::run(work, "looking what is needed", &mut command, |_, _| {})?;
                Ok(Plan { packages: added(&said), lines: Vec::new(), project })
            }
        }
    }

    /// Fetches all of it, and builds what comes as source. uv does so itself before it installs.
    pub(super) fn fetch(
        &self,
        work: &mut Work<'_>,
        python: &Path,
        plan: &Plan,
    ) -> Result<Option<Wheels>, Fault> {
        let Self::Pip { .. } = self else { return Ok(None) };
        if plan.packages.is_empty() {
            return Ok(None);
        }
        let prefix = python.parent().and_then(Path::parent).unwrap_or(work.root);
        let folder = prefix.join(".pipd-wheels");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).map_err(Fault::io(format!("making {}", folder.display())))?;
        let wheels = Wheels(folder.clone());
        let list = folder.join("fetch.txt");
        fs::write(&list, plan.lines.join("\n")).map_err(Fault::io(format!("writing {}", list.display())))?;
        work.bar.stage("fetching", plan.packages.len());
        let mut command = pip(python);
        command.args(["wheel", "--no-deps", "--progress-bar", "off", "--wheel-dir"]).arg(&folder);
        command.arg("--requirement").arg(&list);
        stream::run(work, "fetching packages", &mut command, |line, work| {
            let name = line.trim_start().strip_prefix("Collecting ");
            if let Some(name) = name.and_then(|rest| rest.split(['=', ' ', '@']).next()) {
                work.bar.step(name);
            }
        })?;
        Ok(Some(wheels))
    }

    /// Installs it.
    pub(super) fn install(
        &self,
        work: &mut Work<'_>,
        python: &Path,
        wants: &Wants,
        plan: &Plan,
        wheels: Option<&Wheels>,
    ) -> Result<(), Fault> {
        let count = plan.packages.len() + usize::from(plan.project);
        work.bar.stage("installing", count);
        if let (Self::Pip { .. }, Some(Wheels(folder))) = (self, wheels) {
            let pinned: Vec<String> =
                plan.packages.iter().map(|(name, version)| format!("{name}=={version}")).collect();
            let list = folder.join("install.txt");
            fs::write(&list, pinned.join("\n")).map_err(Fault::io(format!("writing {}", list.display())))?;
            let mut command = pip(python);
            command.args(["install", "--no-index", "--no-deps", "--progress-bar", "off", "--find-links"]);
            command.arg(folder).arg("--requirement").arg(&list);
            stream::run(work, "installing packages", &mut command, |line, work| {
                if let Some(rest) = line.trim_start().strip_prefix("Processing ") {
                    let file = rest.rsplit('/').next().unwrap_or(rest);
                    work.bar.step(file.split('-').next().unwrap_or(file));
                }
            })?;
        }
        if let (Self::Uv { uv, .. }, false) = (self, plan.packages.is_empty()) {
            let mut command = Command::new(uv);
            command.args(["pip", "install", "--python"]).arg(python);
            wanted(&mut command, wants);
            stream::run(work, "installing packages", &mut command, |line, work| {
                if let Some((name, _)) =
                    line.trim_start().strip_prefix("+ ").and_then(|rest| rest.split_once("=="))
                {
                    work.bar.step(name);
                }
            })?;
        }
        if plan.project {
            let mut command = match self {
                Self::Pip { .. } => pip(python),
                Self::Uv { uv, .. } => {
                    let mut command = Command::new(uv);
                    command.arg("pip");
                    command
                }
            };
            command.args(["install", "--no-deps"]);
            if matches!(self, Self::Uv { .. }) {
                command.arg("--python").arg(python);
            }
            command.args(["--editable", "."]);
            stream::run(work, "installing the project", &mut command, |_, _| {})?;
            work.bar.step("the project");
        }
        Ok(())
    }
}

impl Plan {
    fn of(report: Report, project: bool) -> Self {
        let hash = |item: &Item| {
            let archive = item.download_info.archive_info.as_ref()?;
            archive.hashes.get("sha256").cloned()
        };
        // Hashes are all or nothing: with one of them pip demands one of each.
        let all = report.install.iter().all(|item| hash(item).is_some() && is_plain(item));
        let lines = report
            .install
            .iter()
            .map(|item| {
                let Metadata { name, version } = &item.metadata;
                match hash(item) {
                    Some(hash) if all => format!("{name}=={version} --hash=sha256:{hash}"),
                    _ if is_plain(item) => format!("{name}=={version}"),
                    _ => format!("{name} @ {}", source(&item.download_info)),
                }
            })
            .collect();
        let packages =
            report.install.into_iter().map(|item| (item.metadata.name, item.metadata.version)).collect();
        Self { packages, lines, project }
    }
}

/// Comes from an index, not from an address that the list names.
fn is_plain(item: &Item) -> bool {
    item.download_info.vcs_info.is_none() && item.download_info.dir_info.is_none()
}

fn source(download: &Download) -> String {
    let commit = download.vcs_info.as_ref();
    let kind = commit.and_then(|vcs| vcs.get("vcs")).and_then(serde_json::Value::as_str);
    let id = commit.and_then(|vcs| vcs.get("commit_id")).and_then(serde_json::Value::as_str);
    match (kind, id) {
        (Some(kind), Some(id)) => format!("{kind}+{}@{id}", download.url),
        _ => download.url.clone(),
    }
}

fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip"]);
    command
}

fn wanted(command: &mut Command, wants: &Wants) {
    match wants {
        Wants::Requirements(path) => command.arg("--requirement").arg(path),
        Wants::Project { dependencies, .. } => command.args(dependencies),
    };
}

/// ` + six==1.17.0`, as uv says it.
fn added(said: &Said) -> Vec<(String, String)> {
    let lines = said.err.iter().chain(&said.out);
    let added = lines.filter_map(|line| line.trim_start().strip_prefix("+ ")?.split_once("=="));
    added.map(|(name, version)| (name.to_owned(), version.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_lines_that_name_the_very_files() {
        let item = |name: &str, info: serde_json::Value| serde_json::json!({ "metadata": { "name": name, "version": "1.0" }, "download_info": info });
        let hashed = || serde_json::json!({ "url": "https://x/a.whl", "archive_info": { "hashes": { "sha256": "ab" } } });
        let report = |items: Vec<serde_json::Value>| -> Report {
            serde_json::from_value(serde_json::json!({ "install": items })).unwrap()
        };
        let plan = Plan::of(report(vec![item("a", hashed())]), false);
        assert_eq!(plan.lines, ["a==1.0 --hash=sha256:ab"]);
        let vcs =
            serde_json::json!({ "url": "https://x/b", "vcs_info": { "vcs": "git", "commit_id": "c0ffee" } });
        let plan = Plan::of(report(vec![item("a", hashed()), item("b", vcs)]), true);
        assert_eq!(plan.lines, ["a==1.0", "b @ git+https://x/b@c0ffee"]);
        assert!(!plan.is_empty() && Plan::default().is_empty());
    }

    #[test]
    fn what_uv_says_is_read() {
        let err = ["Would install 1 package", " + six==1.17.0", " - idna==3.0"].map(String::from).to_vec();
        let said = Said { out: Vec::new(), err };
        assert_eq!(added(&said), [("six".to_owned(), "1.17.0".to_owned())]);
    }
}
