//! `pipctl new`: a workspace of its own, from the template that comes with pipd or from somebody's repository.
//!
//! It is made beside its place and moved there when all is well: a failure half-way leaves nothing.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::find;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::holders;
use crate::interrupt::Flag;
use crate::template;
use crate::terminal::{Surroundings, Terminal};

/// What belongs to one working copy and never to another, should somebody have let git track it.
const STATE: [&str; 10] = [
    ".venv",
    "venv",
    ".env",
    ".sesskey",
    ".direnv",
    ".ipynb_checkpoints",
    "__pycache__",
    "nohup.out",
    ".jupyter",
    ".pipd",
];

/// Variables of a git that runs this; they would send us to its repository.
const OF_GIT: [&str; 6] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"];

/// The folder while it is being made; goes with everything in it unless it is moved to its place.
struct Half(PathBuf);

impl Drop for Half {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn run(
    args: &cli::New,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let (target, name) = target(args, surroundings)?;
    let flag = Flag::begin(surroundings.catch_interrupts);
    let git = Git { surroundings, flag: &flag };
    git.is_there()?;
    let parent = target.parent().unwrap_or(&surroundings.cwd);
    let half = Half(parent.join(format!(".{name}.pipctl-new-{}", std::process::id())));
    fs::create_dir(&half.0).map_err(|error| failed(&half.0, &error))?;
    match &args.from {
        Some(from) => copy(&git, from, &half.0, surroundings, terminal)?,
        None => template::write(&half.0, &name).map_err(|error| failed(&half.0, &error))?,
    }
    let ports = own_ports(&half.0, surroundings)?;
    let commit = git.begin(&half.0, &name, terminal)?;
    if flag.is_raised() {
        return Err(interrupted());
    }
    if target.symlink_metadata().is_ok() {
        return Err(exists(&target));
    }
    fs::rename(&half.0, &target).map_err(|error| failed(&target, &error))?;
    let from = args.from.as_deref().unwrap_or("the template of pipd");
    terminal.print(&format!("made {} from {from}, first commit {commit}\n", target.display()))?;
    for (service, wanted, given) in ports {
        terminal.print(&format!("{service} gets port {given}: {wanted} is taken\n"))?;
    }
    terminal.print(&format!("next: cd {} && pipctl setup && pipctl start\n", args.name.display()))?;
    Ok(Exit::Ok)
}

fn target(args: &cli::New, surroundings: &Surroundings) -> Result<(PathBuf, String), Failure> {
    let target = surroundings.cwd.join(&args.name);
    let name = target.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let Some(name) = name.filter(|name| !name.starts_with('-') && !name.chars().any(char::is_control)) else {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} is no name for a folder; type: pipctl new forecast", args.name.display()),
        ));
    };
    if target.symlink_metadata().is_ok() {
        return Err(exists(&target));
    }
    if !target.parent().is_some_and(Path::is_dir) {
        let parent = target.parent().unwrap_or(&target).display();
        return Err(Failure::new(Exit::Usage, format!("{parent} is no folder; type: mkdir -p {parent}")));
    }
    Ok((target, name))
}

fn exists(target: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("{} is there already; take another name", target.display()))
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}; nothing was made", path.display()))
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted; nothing was made")
}

/// What git tracks at the other's present commit, without its history.
fn copy(
    git: &Git<'_>,
    from: &str,
    into: &Path,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let local = surroundings.cwd.join(from);
    let mut words: Vec<OsString> = vec!["clone".into(), "--quiet".into(), "--template=".into()];
    if local.is_dir() {
        if !git.say(&local, &["status", "--porcelain"]).unwrap_or_default().trim().is_empty() {
            terminal.tell(&format!("what is not committed in {} does not come along\n", local.display()));
        }
        words.extend(["--no-hardlinks".into(), "--".into(), local.into_os_string()]);
    } else {
        words.extend(["--depth=1".into(), "--".into(), from.into()]);
    }
    words.push(into.into());
    git.run(&surroundings.cwd, &words).map_err(|failure| match failure.exit {
        Exit::Interrupted => failure,
        _ => Failure::new(
            failure.exit,
            format!("{from} cannot be copied: {}; nothing was made", failure.message),
        ),
    })?;
    fs::remove_dir_all(into.join(".git")).map_err(|error| failed(into, &error))?;
    let mut dropped = Vec::new();
    for name in STATE {
        let path = into.join(name);
        let Ok(facts) = path.symlink_metadata() else { continue };
        let removed = if facts.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|error| failed(&path, &error))?;
        dropped.push(name);
    }
    if !dropped.is_empty() {
        terminal.tell(&format!("left behind, as they belong to the other one: {}\n", dropped.join(", ")));
    }
    Ok(())
}

/// Ports that nobody listens on and no workspace has, written into `pipd.toml`, or into `pyproject.toml` where the
/// configuration is there: a file beside it would hide it.
fn own_ports(folder: &Path, surroundings: &Surroundings) -> Result<Vec<workspace::Moved>, Failure> {
    let (name, form, before) = configuration(folder)?;
    let known: Vec<u16> = match find::daemon_if_any(surroundings) {
        Ok(Some(mut client)) => client.status(None).map(|snapshot| ports(&snapshot)).unwrap_or_default(),
        Ok(None) | Err(_) => Vec::new(),
    };
    let free = |port: u16| !known.contains(&port) && holders::is_free(port);
    let (text, changed) = workspace::with_free_ports(&before, form, free).map_err(|why| {
        Failure::new(Exit::Failed, format!("its {name} cannot be read: {why}; nothing was made"))
    })?;
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    Ok(changed)
}

/// The file that has or is to have the configuration, how it is written there, and what is in it.
fn configuration(folder: &Path) -> Result<(&'static str, workspace::Form, String), Failure> {
    let path = folder.join("pipd.toml");
    match fs::read_to_string(&path) {
        Ok(text) => return Ok(("pipd.toml", workspace::Form::Own, text)),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&path, &error)),
        Err(_) => {}
    }
    let shared = fs::read_to_string(folder.join("pyproject.toml")).ok();
    Ok(match shared.filter(|text| text.contains("[tool.pipd")) {
        Some(text) => ("pyproject.toml", workspace::Form::Shared, text),
        None => {
            let text = "# What pipd runs here; every key: docs/configuration.md\n".to_owned();
            ("pipd.toml", workspace::Form::Own, text)
        }
    })
}

fn ports(snapshot: &wire::Snapshot) -> Vec<u16> {
    snapshot
        .workspaces
        .iter()
        .flat_map(|workspace| &workspace.services)
        .filter_map(|service| service.port)
        .collect()
}

/// git, without what another git around us says.
struct Git<'a> {
    surroundings: &'a Surroundings,
    flag: &'a Flag,
}

impl Git<'_> {
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new("git");
        command.env_clear().envs(self.surroundings.env.iter().map(|(name, value)| (name, value)));
        for name in OF_GIT {
            command.env_remove(name);
        }
        command.current_dir(folder);
        command
    }

    fn is_there(&self) -> Result<(), Failure> {
        match self.say(&self.surroundings.cwd, &["--version"]) {
            Some(_) => Ok(()),
            None => Err(Failure::new(Exit::Blocked, "git is missing; install it, then type it again")),
        }
    }

    /// What a git command prints; `None` when it fails.
    fn say(&self, folder: &Path, words: &[&str]) -> Option<String> {
        let ended =
            self.command(folder).args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        ended.status.success().then(|| String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    /// Runs git in the foreground, since it may ask for a password on the terminal.
    fn run(&self, folder: &Path, words: &[OsString]) -> Result<(), Failure> {
        let mut command = self.command(folder);
        command.args(words).stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::piped());
        let ended = command.output().map_err(|error| Failure::new(Exit::Failed, format!("git: {error}")))?;
        if self.flag.is_raised() {
            return Err(interrupted());
        }
        if ended.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let mut lines = said.lines().filter(|line| !line.trim().is_empty());
        let first = lines.clone().find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
        let why = first.or_else(|| lines.next_back()).unwrap_or("it failed").trim();
        Err(Failure::new(
            Exit::Failed,
            format!("git: {}", why.trim_start_matches("fatal: ").trim_start_matches("error: ")),
        ))
    }

    /// A repository with one commit; says which.
    fn begin(&self, folder: &Path, name: &str, terminal: &mut Terminal<'_>) -> Result<String, Failure> {
        let nothing_made = |failure: Failure| match failure.exit {
            Exit::Interrupted => failure,
            exit => Failure::new(exit, format!("{}; nothing was made", failure.message)),
        };
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        self.run(folder, &words(&["init", "--quiet", "--initial-branch=main"])).map_err(nothing_made)?;
        // Everything here is to be tracked, also what the other one had added against its own .gitignore.
        self.run(folder, &words(&["add", "--all", "--force"])).map_err(nothing_made)?;
        let mut commit = Vec::new();
        if self.say(folder, &["config", "user.email"]).is_none()
            || self.say(folder, &["config", "user.name"]).is_none()
        {
            let user = os::process::user_name(nix::unistd::geteuid().as_raw());
            commit.extend(words(&[
                "-c",
                &format!("user.name={user}"),
                "-c",
                &format!("user.email={user}@localhost"),
            ]));
            terminal.tell(&format!(
                "git does not know who you are: the first commit is by {user}@localhost. To change that:\n  \
                 git config --global user.name \"…\"; git config --global user.email …; git commit --amend --reset-author --no-edit\n"
            ));
        }
        commit.extend(words(&["commit", "--quiet", "--no-verify", "--message", &format!("Begin {name}")]));
        self.run(folder, &commit).map_err(nothing_made)?;
        let commit = self.say(folder, &["rev-parse", "--short", "HEAD"]).unwrap_or_default();
        Ok(commit.trim().to_owned())
    }
}
