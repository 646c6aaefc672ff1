//! The world of one check: a home, a state folder, a workspace and whatever daemon is started in it.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use client::{Client, Locations};
use nix::sys::signal::Signal;
use run::layout::HostDir;
use wire::{Phase, ServiceView, WhyAnswer};

use crate::error::ensure;
use crate::wait::{PATIENCE, until_some};
use crate::{STUB_VERB, Trouble, base, processes};

/// What the folders of all selftests begin with; the process that made one comes after it.
const PREFIX: &str = "pipd-selftest.";

/// What is left of the caller's environment: where system programs are, and the language.
const KEPT: [&str; 2] = ["PATH", "LANG"];

/// How long everything of a check may take to be gone.
const CLEARED_WITHIN: Duration = Duration::from_secs(15);

/// What all checks of one call stand on.
#[derive(Debug)]
pub(crate) struct Ground<'a> {
    folder: PathBuf,
    program: &'a Path,
    interrupted: &'a AtomicBool,
    keep: bool,
}

impl<'a> Ground<'a> {
    pub(crate) fn new(program: &'a Path, interrupted: &'a AtomicBool, keep: bool) -> Result<Self, Trouble> {
        let folder = base().join(format!("{PREFIX}{}", std::process::id()));
        make(&folder)?;
        let folder = folder.canonicalize().map_err(Trouble::io(format!("{}", folder.display())))?;
        Ok(Self { folder, program, interrupted, keep })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn interrupted(&self) -> &'a AtomicBool {
        self.interrupted
    }
}

impl Drop for Ground<'_> {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Ends and removes what selftests left behind that were killed themselves. Only this user's.
pub(crate) fn clear_up_after_the_dead() {
    let Ok(entries) = std::fs::read_dir(base()) else { return };
    let user = nix::unistd::geteuid().as_raw();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse::<i32>().ok());
        let ours =
            std::fs::symlink_metadata(entry.path()).is_ok_and(|data| data.is_dir() && data.uid() == user);
        // A folder that was kept on purpose has nobody living in it.
        if let (Some(maker), true) = (maker, ours)
            && !processes::alive(maker)
            && let Ok(folder) = entry.path().canonicalize()
            && end_all(&folder)
        {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Kills everything that names the folder; whether there was anything.
fn end_all(folder: &Path) -> bool {
    let mut found = false;
    // What is killed may be replaced, or have had children, meanwhile.
    for _ in 0..50 {
        let left = processes::naming(folder);
        if left.is_empty() {
            break;
        }
        found = true;
        for process in left {
            let _ = process.signal(Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    found
}

fn make(folder: &Path) -> Result<(), Trouble> {
    DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .map_err(Trouble::io(format!("make the folder {}", folder.display())))
}

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// What was called.
    pub(crate) words: String,
    /// Its exit code; -1 for a signal.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Said {
    /// Fails the check unless it ended with this code.
    pub(crate) fn expect(self, code: i32) -> Result<Self, Trouble> {
        ensure(self.code == code, || {
            let Self { words, code: got, out, err } = &self;
            format!("pipctl {words} ended with {got}, not {code}\n{out}{err}")
        })?;
        Ok(self)
    }
}

/// A program that runs, its output in files.
pub(crate) struct Running {
    words: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct World<'a> {
    ground: &'a Ground<'a>,
    folder: PathBuf,
    locations: Locations,
    outputs: AtomicU32,
}

impl<'a> World<'a> {
    pub(crate) fn new(ground: &'a Ground<'a>, number: usize) -> Result<Self, Trouble> {
        let folder = ground.folder.join(number.to_string());
        for path in
            [folder.clone(), folder.join("home"), folder.join("run"), folder.join("w"), folder.join("o")]
        {
            make(&path)?;
        }
        let host = os::host::host_key().map_err(Trouble::io("which host this is"))?;
        let locations = Locations::at(vec![HostDir::new(&folder.join("state"), &host)]);
        let world = Self { ground, folder, locations, outputs: AtomicU32::new(0) };
        // No server that this machine's Python happens to have is of interest.
        world.write("w/pipd.toml", "[services.jupyter]\nenabled = false\n")?;
        Ok(world)
    }

    /// The folder everything is in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Root of the daemon's state.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Trouble> {
        let path = self.path(name);
        std::fs::write(&path, text).map_err(Trouble::io(format!("write {}", path.display())))
    }

    /// Adds a service: the stub with these arguments, and more keys of `pipd.toml`.
    pub(crate) fn service(&self, name: &str, arguments: &[&str], keys: &str) -> Result<(), Trouble> {
        let path = self.path("w/pipd.toml");
        let before =
            std::fs::read_to_string(&path).map_err(Trouble::io(format!("read {}", path.display())))?;
        let program = self.ground.program.to_string_lossy().into_owned();
        let words: Vec<String> =
            [program.as_str(), STUB_VERB].iter().chain(arguments).map(|word| format!("{word:?}")).collect();
        self.write(
            "w/pipd.toml",
            &format!("{before}\n[services.{name}]\ncommand = [{}]\n{keys}\n", words.join(", ")),
        )
    }

    /// A service `web` that serves on a port of its own and prints a line every few milliseconds.
    pub(crate) fn web(&self) -> Result<u16, Trouble> {
        let port = crate::ports::free()?;
        self.service("web", &["--listen", &port.to_string(), "--tick", "5"], &format!("port = {port}"))?;
        Ok(port)
    }

    /// `pipctl` with these arguments in the workspace, with an environment that names nothing of the user's.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.ground.program);
        command
            .args(arguments)
            .env_clear()
            .envs(KEPT.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?))))
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("PIPD_STATE_DIR", self.state())
            // A service manager is everybody's; what runs under it is not to be touched.
            .env("PIPD_MANAGER", "none")
            .current_dir(self.path("w"))
            .stdin(Stdio::null());
        command
    }

    /// Starts a command made with [`Self::command`].
    pub(crate) fn spawn(&self, mut command: Command) -> Result<Running, Trouble> {
        let number = self.outputs.fetch_add(1, Ordering::Relaxed);
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let words = words.join(" ");
        let [out, err] = ["out", "err"].map(|end| self.path(&format!("o/{number}.{end}")));
        let file = |path: &Path| File::create(path).map_err(Trouble::io(format!("make {}", path.display())));
        let child = command
            .stdout(file(&out)?)
            .stderr(file(&err)?)
            .spawn()
            .map_err(Trouble::io(format!("run pipctl {words}")))?;
        Ok(Running { words, child, out, err })
    }

    /// Waits for its end.
    pub(crate) fn finish(&self, mut running: Running) -> Result<Said, Trouble> {
        let what = format!("pipctl {} to end", running.words);
        let ended = self.until_some(&what, || running.child.try_wait().transpose());
        let status = match ended {
            Ok(status) => status.map_err(Trouble::io(what))?,
            Err(trouble) => {
                let _ = running.child.kill();
                let _ = running.child.wait();
                return Err(trouble);
            }
        };
        let text =
            |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        Ok(Said {
            words: running.words,
            code: status.code().unwrap_or(-1),
            out: text(&running.out),
            err: text(&running.err),
        })
    }

    /// Runs `pipctl` to its end.
    pub(crate) fn pipctl(&self, arguments: &[&str]) -> Result<Said, Trouble> {
        self.finish(self.spawn(self.command(arguments))?)
    }

    /// `pipctl start`, which must succeed.
    pub(crate) fn start(&self) -> Result<(), Trouble> {
        self.pipctl(&["start"])?.expect(0).map(drop)
    }

    /// The service as the daemon shows it; an error too while no daemon answers.
    pub(crate) fn view(&self, name: &str) -> Result<ServiceView, Trouble> {
        let broken = |error: &dyn std::fmt::Display| Trouble::Broken(format!("status: {error}"));
        let mut client = Client::connect(&self.locations).map_err(|error| broken(&error))?;
        let snapshot = client.status(None).map_err(|error| broken(&error))?;
        let mut views = snapshot.workspaces.into_iter().flat_map(|workspace| workspace.services);
        views.find(|view| view.name == name).ok_or_else(|| broken(&format!("no service {name}")))
    }

    /// The service, which must run now: with its process and shim.
    pub(crate) fn running(&self, name: &str) -> Result<Living, Trouble> {
        let view = self.view(name)?;
        match (view.pid, view.shim_pid) {
            (Some(pid), Some(shim)) => Ok(Living { pid, shim, view }),
            _ => Err(Trouble::Broken(format!("{name} has no process; it is {:?}", view.phase))),
        }
    }

    /// The timeline of a service.
    pub(crate) fn why(&self, name: &str) -> Result<WhyAnswer, Trouble> {
        let said = self.pipctl(&["why", name, "--json"])?.expect(0)?;
        serde_json::from_slice(said.out.as_bytes())
            .map_err(|error| Trouble::Broken(format!("why --json is no JSON: {error}\n{}", said.out)))
    }

    /// The daemon's process.
    pub(crate) fn daemon(&self) -> Result<i32, Trouble> {
        let client = Client::connect(&self.locations)
            .map_err(|error| Trouble::Broken(format!("no daemon answers: {error}")))?;
        Ok(client.daemon().pid)
    }

    /// Waits for a condition.
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) -> Result<(), Trouble> {
        self.until_some(what, || condition().then_some(()))
    }

    /// Waits for a value.
    pub(crate) fn until_some<T>(&self, what: &str, attempt: impl FnMut() -> Option<T>) -> Result<T, Trouble> {
        until_some(what, PATIENCE, self.ground.interrupted, attempt)
    }

    /// Waits until a service is as wanted. Moments without a daemon are waited through.
    pub(crate) fn until_view(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&ServiceView) -> bool,
    ) -> Result<ServiceView, Trouble> {
        self.until_some(&format!("{name}: {what}"), || self.view(name).ok().filter(|view| wanted(view)))
    }

    /// Waits until a service is ready.
    pub(crate) fn until_ready(&self, name: &str) -> Result<ServiceView, Trouble> {
        self.until_view(name, "ready", |view| view.phase == Phase::Ready)
    }

    /// Somebody else's process, of no daemon: a stub with these arguments.
    pub(crate) fn stranger(&self, arguments: &[&str]) -> Result<Stranger, Trouble> {
        let words: Vec<&str> = std::iter::once(STUB_VERB).chain(arguments.iter().copied()).collect();
        let child = self
            .command(&words)
            // In the workspace's folder it would be the workspace's own, started by hand.
            .current_dir(self.path("home"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Trouble::io("start a stub"))?;
        Ok(Stranger(child))
    }

    /// What the daemon complained of, for the report of a failed check.
    pub(crate) fn last_words(&self) -> String {
        let log = self.locations.hosts().first().map(HostDir::daemon_log).unwrap_or_default();
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> =
            text.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    /// Stops everything the way a person would, and fails when something is left.
    pub(crate) fn clear(self) -> Result<(), Trouble> {
        if self.state().is_dir() && !self.ground.interrupted.load(Ordering::Relaxed) {
            let _ = self.pipctl(&["stop", "--force", "--all-processes"]);
            let _ = self.pipctl(&["daemon", "stop"]);
        }
        let begun = Instant::now();
        let mut left = processes::naming(&self.folder);
        while !left.is_empty() && begun.elapsed() < CLEARED_WITHIN {
            if self.ground.interrupted.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            left = processes::naming(&self.folder);
        }
        let names: Vec<String> = left
            .iter()
            .map(|process| format!("pid {} {}", process.pid, os::process::command_line(process.pid)))
            .collect();
        end_all(&self.folder);
        if !self.ground.keep {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        ensure(names.is_empty(), || {
            format!("left behind after `pipctl stop` and `pipctl daemon stop`: {}", names.join(", "))
        })
    }
}

/// A service that runs.
#[derive(Clone, Debug)]
pub(crate) struct Living {
    pub(crate) pid: i32,
    pub(crate) shim: i32,
    pub(crate) view: ServiceView,
}

impl Living {
    /// Fails the check unless `now` is the same run in the same process.
    pub(crate) fn same(&self, now: &ServiceView) -> Result<(), Trouble> {
        ensure((now.pid, now.run) == (Some(self.pid), self.view.run), || {
            format!(
                "{} was run {} in process {}, and is run {} in process {}",
                now.name,
                number(self.view.run),
                self.pid,
                number(now.run),
                number(now.pid)
            )
        })
    }
}

fn number(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A process of nobody's, ended when this is dropped.
pub(crate) struct Stranger(Child);

impl Stranger {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap_or(0)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
