//! One test's own world: home, state, ports, daemon.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use os::process::ProcessIdentity;
use wire::WorkspaceView;

use crate::pipctl::{Finished, finish};
use crate::wait::{LONG, SHORT, until, until_some};
use crate::workspace::Workspace;
use crate::{Failpoints, Port, diagnose, processes};

/// A folder that is home and state of everything started in it. When it is dropped, everything is stopped the
/// way a person would, and the test fails when anything survives that or the daemon logged an error.
#[derive(Debug)]
pub struct Sandbox {
    folder: PathBuf,
    pipctl: PathBuf,
    workspaces: Mutex<Vec<PathBuf>>,
    environment: Mutex<Vec<(String, Option<OsString>)>>,
    errors_expected: AtomicBool,
}

impl Sandbox {
    /// A new one; see [`crate::sandbox!`].
    ///
    /// # Panics
    /// When its folders cannot be made.
    pub fn new(pipctl: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Short, and not below TMPDIR: a socket path holds 103 bytes on macOS.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/tmp/pt{}.{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        make_private(&folder);
        let folder = folder.canonicalize().unwrap();
        for name in ["home", "run", "w"] {
            make_private(&folder.join(name));
        }
        Self {
            folder,
            pipctl: pipctl.to_owned(),
            workspaces: Mutex::default(),
            environment: Mutex::default(),
            errors_expected: AtomicBool::new(false),
        }
    }

    /// The folder everything is in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Root of the daemon's state: where it is by default in this home, so that whoever has the home finds it.
    pub fn state(&self) -> PathBuf {
        self.folder.join("home/.local/state/pipd")
    }

    /// The daemon's folder, once there is one.
    ///
    /// # Panics
    /// When there is none.
    pub fn host(&self) -> PathBuf {
        self.try_host().expect("no daemon has been here yet")
    }

    pub(crate) fn try_host(&self) -> Option<PathBuf> {
        std::fs::read_dir(self.state().join("hosts")).ok()?.flatten().map(|entry| entry.path()).next()
    }

    /// Where `pipctl` is.
    pub fn program(&self) -> &Path {
        &self.pipctl
    }

    /// The stub service.
    pub fn stub(&self) -> &Path {
        crate::stub(&self.pipctl)
    }

    /// A port of this test's own.
    pub fn port(&self) -> Port {
        Port::reserve()
    }

    /// A new workspace: an empty folder.
    ///
    /// # Panics
    /// When it exists.
    pub fn workspace(&self, name: &str) -> Workspace<'_> {
        let root = self.folder.join("w").join(name);
        std::fs::create_dir(&root).unwrap();
        self.adopt_workspace(root)
    }

    /// A folder that is there already, as a workspace of this sandbox.
    pub fn adopt_workspace(&self, root: PathBuf) -> Workspace<'_> {
        self.workspaces.lock().unwrap().push(root.clone());
        Workspace::new(self, root)
    }

    /// Sets (or, with `None`, removes) a variable for everything called from now on.
    pub fn set(&self, name: &str, value: Option<&str>) {
        self.environment.lock().unwrap().push((name.to_owned(), value.map(OsString::from)));
    }

    /// Points at which this sandbox's programs can be made to die. To be asked for before any of them runs.
    ///
    /// # Panics
    /// When the folder for them cannot be made.
    pub fn failpoints(&self) -> Failpoints {
        let points = Failpoints::new(self.folder.join("points"));
        self.set("XDG_PIPD_FAILPOINTS", points.folder().to_str());
        points
    }

    /// This test provokes errors in the daemon's log.
    pub fn expect_errors(&self) {
        self.errors_expected.store(true, Ordering::Relaxed);
    }

    /// A command with the sandbox's environment and nothing of the caller's but the PATH.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.join("home"))
            .env("LANG", "C.UTF-8")
            .env("XDG_RUNTIME_DIR", self.folder.join("run"))
            .current_dir(self.folder.join("home"));
        for (name, value) in self.environment.lock().unwrap().iter() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Runs `pipctl` in the sandbox's home.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    #[track_caller]
    pub fn pipctl(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(&self.pipctl);
        command.args(arguments);
        finish(command, LONG)
    }

    /// Runs any command made with [`Self::command`] to its end.
    ///
    /// # Panics
    /// When it takes longer than `limit`, or leaves something behind that holds its output.
    #[track_caller]
    pub fn run(&self, command: Command, limit: Duration) -> Finished {
        finish(command, limit)
    }

    /// The daemon's process: the one that owns the lock.
    ///
    /// # Panics
    /// When none lives.
    pub fn daemon(&self) -> i32 {
        self.try_daemon().expect("no daemon lives")
    }

    /// The daemon's process, while one lives.
    pub fn try_daemon(&self) -> Option<i32> {
        let lock = self.try_host()?.join("daemon.lock");
        let owner: ProcessIdentity = os::lock::owner(&lock)?;
        (os::lock::is_held(&lock).unwrap() && processes::alive(owner.pid)).then_some(owner.pid)
    }

    /// Kills the daemon with SIGKILL and returns its process id.
    ///
    /// # Panics
    /// When none lives.
    pub fn kill_daemon(&self) -> i32 {
        let pid = self.daemon();
        processes::kill(pid);
        until("the killed daemon to be gone", SHORT, || !processes::alive(pid));
        pid
    }

    /// Waits for a daemon other than `old` that answers.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn await_daemon(&self, old: i32) -> i32 {
        until_some("a new daemon", SHORT, || {
            let pid = self.try_daemon().filter(|&pid| pid != old)?;
            (self.pipctl(&["daemon", "status"]).code == 0).then_some(pid)
        })
    }

    /// All workspaces, as `list --json` tells them.
    ///
    /// # Panics
    /// When no daemon answers.
    #[track_caller]
    pub fn list(&self) -> Vec<WorkspaceView> {
        self.pipctl(&["list", "--json"]).ok().json()
    }

    /// Processor time that a process has used.
    ///
    /// # Panics
    /// When it is gone, or where there is no `/proc`.
    pub fn cpu_time(&self, pid: i32) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // After the name, which may hold anything: user and system time are the 12th and 13th field.
        let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// Resident memory of a process, in KiB.
    ///
    /// # Panics
    /// When it is gone, or where there is no `/proc`.
    pub fn memory(&self, pid: i32) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The daemon's log so far.
    pub fn daemon_log(&self) -> String {
        self.try_host()
            .and_then(|host| std::fs::read_to_string(host.join("pipd.log")).ok())
            .unwrap_or_default()
    }

    /// Living processes that were started in this sandbox, by what they carry in environment or arguments.
    pub fn processes(&self) -> Vec<i32> {
        processes::naming(&self.folder).into_iter().map(|process| process.pid).collect()
    }

    fn stop_everything(&self) {
        if self.try_host().is_none() {
            return;
        }
        for root in self.workspaces.lock().unwrap().iter() {
            let root = root.to_string_lossy();
            self.pipctl(&["stop", "--force", "--all-processes", "-w", &root]);
        }
        self.pipctl(&["daemon", "stop"]);
    }

    fn kill_leftovers(&self) -> Vec<String> {
        let mut told = Vec::new();
        // What is killed may have had children meanwhile.
        for _ in 0..20 {
            let left = processes::naming(&self.folder);
            if left.is_empty() {
                break;
            }
            for process in left {
                told.push(format!("{} {}", process.pid, os::process::command_line(process.pid)));
                let _ = process.signal(nix::sys::signal::Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        told
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", diagnose::report(self));
            self.kill_leftovers();
            if std::env::var_os("PIPD_TEST_KEEP").is_none() {
                let _ = std::fs::remove_dir_all(&self.folder);
            }
            return;
        }
        self.stop_everything();
        let limit = std::time::Instant::now() + SHORT;
        while !processes::naming(&self.folder).is_empty() && std::time::Instant::now() < limit {
            std::thread::sleep(Duration::from_millis(20));
        }
        let leftovers = self.kill_leftovers();
        let errors: Vec<String> =
            self.daemon_log().lines().filter(|line| line.contains(" ERROR ")).map(str::to_owned).collect();
        let report = if leftovers.is_empty() { String::new() } else { diagnose::report(self) };
        let _ = std::fs::remove_dir_all(&self.folder);
        assert!(leftovers.is_empty(), "left behind after stop and daemon stop: {leftovers:#?}\n{report}");
        assert!(
            errors.is_empty() || self.errors_expected.load(Ordering::Relaxed),
            "the daemon logged errors: {errors:#?}"
        );
    }
}

fn make_private(folder: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(folder).unwrap();
}
