//! Where measuring happens: the release programs, a home and a state folder of their own, a workspace.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::measure::until;
use crate::build;

/// An ordinary user's number, where this one is root.
const ORDINARY: u32 = 65_534;

/// The programs, copied where every user may run them.
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    pub(crate) fn prepare() -> Result<Self> {
        let built = build::release()?;
        let folder = PathBuf::from(format!("/tmp/pipd-bench-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        for program in build::PROGRAMS {
            std::fs::copy(built.join(program), folder.join(program))?;
        }
        let source = build::root().join("xtask/src/bench/service.c");
        let status = Command::new("cc")
            .args(["-static", "-O2", "-o"])
            .arg(folder.join("service"))
            .arg(source)
            .status()
            .context("failed to run cc")?;
        if !status.success() {
            bail!("cc could not build the service");
        }
        Ok(Self { folder })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Living processes of one of our programs.
    pub(crate) fn processes(&self, name: &str) -> Vec<i32> {
        let program = self.path(name);
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program))
            .collect()
    }

    /// Kills one process and returns when, on the clock of the stamps.
    pub(crate) fn kill(&self, pid: i32) -> Result<i64> {
        let output = Command::new(self.path("service")).args(["kill", &pid.to_string()]).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// One workspace with a daemon of its own. Everything in it is ended when it is dropped.
pub(crate) struct Lab<'a> {
    pub(crate) programs: &'a Programs,
    folder: PathBuf,
    user: Option<u32>,
}

/// When a process reached its first instruction.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) pid: i32,
    pub(crate) nanoseconds: i64,
}

impl<'a> Lab<'a> {
    pub(crate) fn new(programs: &'a Programs) -> Result<Self> {
        Self::of_user(programs, None)
    }

    /// As an ordinary user, also where this one is root.
    pub(crate) fn of_ordinary_user(programs: &'a Programs) -> Result<Self> {
        Self::of_user(programs, std::fs::read_dir("/root").is_ok().then_some(ORDINARY))
    }

    /// As another user, where this one is root.
    pub(crate) fn of_user(programs: &'a Programs, user: Option<u32>) -> Result<Self> {
        let folder = programs.folder.join("lab");
        for name in ["", "home", "run", "work"] {
            std::fs::create_dir(folder.join(name))?;
            if let Some(user) = user {
                std::os::unix::fs::chown(folder.join(name), Some(user), Some(user))?;
            }
        }
        Ok(Self { programs, folder, user })
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// Writes `pipd.toml`. Unless it is about JupyterLab, this machine's Python is not asked for one.
    pub(crate) fn config(&self, text: &str) -> Result<()> {
        let quiet =
            if text.contains("services.jupyter") { "" } else { "\n[services.jupyter]\nenabled = false\n" };
        Ok(std::fs::write(self.workspace().join("pipd.toml"), format!("{text}{quiet}"))?)
    }

    /// A table of `pipd.toml` for the C service.
    pub(crate) fn service(&self, name: &str, mode: &str, argument: &str, keys: &str) -> String {
        let (program, stamps) = (self.programs.path("service"), self.stamp_file());
        let argument = if argument.is_empty() { String::new() } else { format!(", {argument:?}") };
        format!("[services.{name}]\ncommand = [{program:?}, {mode:?}, {stamps:?}{argument}]\n{keys}\n")
    }

    fn stamp_file(&self) -> PathBuf {
        self.folder.join("work/stamps")
    }

    pub(crate) fn forget_stamps(&self) {
        let _ = std::fs::remove_file(self.stamp_file());
    }

    pub(crate) fn stamps(&self) -> Vec<Stamp> {
        let text = std::fs::read_to_string(self.stamp_file()).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .filter_map(|line| {
                let (pid, nanoseconds) = line.split_once(' ')?;
                Some(Stamp { pid: pid.parse().ok()?, nanoseconds: nanoseconds.parse().ok()? })
            })
            .collect()
    }

    /// Any program with the environment of this place.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = match self.user {
            None => Command::new(program),
            Some(user) => {
                let mut command = Command::new("setpriv");
                let user = user.to_string();
                command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"]).arg(program);
                command
            }
        };
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.join("home"))
            .env("PIPD_STATE_DIR", self.folder.join("state"))
            .env("XDG_RUNTIME_DIR", self.folder.join("run"))
            .env("LANG", "C.UTF-8")
            .current_dir(self.workspace())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn pipctl(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.command(&self.programs.path("pipctl")).args(arguments).output()?;
        if !output.status.success() {
            bail!(
                "pipctl {} ended with {}:\n{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output)
    }

    /// Stops services and daemon and waits until nothing of ours is left.
    pub(crate) fn end(&self) -> Result<()> {
        let pipctl = self.programs.path("pipctl");
        self.command(&pipctl).args(["stop", "--force", "--timeout", "60s"]).output()?;
        self.command(&pipctl).args(["daemon", "stop"]).output()?;
        until("everything to end", Duration::from_secs(20), || {
            ["pipd", "pipd-shim"].iter().all(|name| self.programs.processes(name).is_empty()).then_some(())
        })
    }

    /// The files of a service's log, oldest first.
    pub(crate) fn log_files(&self, service: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for host in entries(&self.folder.join("state/hosts")) {
            for workspace in entries(&host.join("workspaces")) {
                files.extend(entries(&workspace.join("services").join(service).join("log")));
            }
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "log"));
        files.sort_by_key(|file| file.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
        files
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("  {error:#}");
            // Shims first: they would have a new daemon started.
            for name in ["pipd-shim", "pipd", "service"] {
                for pid in self.programs.processes(name) {
                    let _ = self.programs.kill(pid);
                }
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
