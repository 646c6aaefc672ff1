//! A workspace of a sandbox and what one does in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use wire::{
    DetailsAnswer, JupyterView, Phase, ServiceDetails, ServiceView, Snapshot, WhyAnswer, WorkspaceView,
};

use crate::Sandbox;
use crate::pipctl::{Finished, finish};
use crate::wait::{LONG, SHORT, until_some};

/// A folder with services.
#[derive(Clone, Debug)]
pub struct Workspace<'a> {
    sandbox: &'a Sandbox,
    root: PathBuf,
}

impl<'a> Workspace<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox, root: PathBuf) -> Self {
        Self { sandbox, root }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes a file in it.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Reads a file in it; empty while it is not there.
    pub fn read(&self, name: &str) -> String {
        std::fs::read(self.path(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Writes `pipd.toml`. A JupyterLab that this machine's Python happens to have stays out of it.
    pub fn config(&self, text: &str) -> &Self {
        let quiet =
            if text.contains("services.jupyter") { "" } else { "\n[services.jupyter]\nenabled = false\n" };
        self.write("pipd.toml", &format!("{text}{quiet}"))
    }

    /// Writes a `pipd.toml` with one service: the stub with these arguments, and more keys.
    pub fn stub_service(&self, name: &str, arguments: &str, keys: &str) -> &Self {
        let text = format!("{}\n{}", self.read("pipd.toml"), self.stub_table(name, arguments, keys));
        self.config(&text)
    }

    fn stub_table(&self, name: &str, arguments: &str, keys: &str) -> String {
        let words: Vec<String> = std::iter::once(self.sandbox.stub().to_string_lossy().into_owned())
            .chain(words(arguments))
            .map(|word| format!("{word:?}"))
            .collect();
        format!("[services.{name}]\ncommand = [{}]\n{keys}\n", words.join(", "))
    }

    /// A command in this folder with the sandbox's environment.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.sandbox.command(program);
        command.current_dir(&self.root);
        command
    }

    /// Runs `pipctl` in this folder.
    ///
    /// # Panics
    /// When it takes longer than two minutes.
    #[track_caller]
    pub fn pipctl(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(self.sandbox.program());
        command.args(arguments);
        finish(command, 2 * LONG)
    }

    /// Runs any command made with [`Self::command`] to its end.
    ///
    /// # Panics
    /// When it takes longer than `limit`.
    #[track_caller]
    pub fn run(&self, command: Command, limit: Duration) -> Finished {
        finish(command, limit)
    }

    /// This workspace, as `status --json` tells it.
    ///
    /// # Panics
    /// When `status` fails or does not know it.
    #[track_caller]
    pub fn status(&self) -> WorkspaceView {
        // Its exit code tells of the services: any is fine here.
        let finished = self.pipctl(&["status", "--json"]);
        let snapshot: Snapshot = finished.json();
        let found = snapshot
            .workspaces
            .into_iter()
            .find(|workspace| workspace.root.as_ref().is_some_and(|root| root.as_path() == self.root));
        found.unwrap_or_else(|| panic!("{} expected in {finished}", self.root.display()))
    }

    /// One service, as `status --json` tells it.
    ///
    /// # Panics
    /// When there is none of that name.
    #[track_caller]
    pub fn service(&self, name: &str) -> ServiceView {
        let view = self.status();
        let found = view.services.iter().find(|service| service.name == name).cloned();
        found.unwrap_or_else(|| panic!("no service {name} in {view:#?}"))
    }

    /// Waits until a service is in a phase.
    ///
    /// # Panics
    /// When it is not within fifteen seconds.
    #[track_caller]
    pub fn await_phase(&self, name: &str, phase: Phase) -> ServiceView {
        self.await_service(name, &format!("{phase:?}"), |service| service.phase == phase)
    }

    /// Waits until a service is as wanted.
    ///
    /// # Panics
    /// When it is not within fifteen seconds.
    #[track_caller]
    pub fn await_service(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&ServiceView) -> bool,
    ) -> ServiceView {
        until_some(&format!("service {name}: {what}"), SHORT, || {
            let service = self.service(name);
            wanted(&service).then_some(service)
        })
    }

    /// The process of a service.
    ///
    /// # Panics
    /// When it has none.
    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        let service = self.service(name);
        service.pid.unwrap_or_else(|| panic!("no process in {service:#?}"))
    }

    /// The timeline of a service.
    ///
    /// # Panics
    /// When `why` fails.
    #[track_caller]
    pub fn why(&self, name: &str) -> WhyAnswer {
        self.pipctl(&["why", name, "--json"]).ok().json()
    }

    /// What is gathered only when somebody asks, of one service, as `status --long --json` tells it.
    ///
    /// # Panics
    /// When `status` fails or knows nothing of that service's processes.
    #[track_caller]
    pub fn details(&self, name: &str) -> ServiceDetails {
        let said: serde_json::Value = self.pipctl(&["status", "--long", "--json"]).json();
        let details: DetailsAnswer = serde_json::from_value(said["details"].clone()).unwrap();
        let found = details.services.iter().find(|service| {
            service.name == name && service.root.as_ref().is_some_and(|root| root.as_path() == self.root)
        });
        found.cloned().unwrap_or_else(|| panic!("no details of {name} in {said}"))
    }

    /// What a JupyterLab says of its kernels and terminals now.
    ///
    /// # Panics
    /// When `name` is no JupyterLab that was ready.
    #[track_caller]
    pub fn kernels(&self, name: &str) -> JupyterView {
        self.details(name).jupyter.unwrap_or_else(|| panic!("{name} is no JupyterLab that was ready"))
    }

    /// The lines of a service's log files, oldest first, as the files have them.
    ///
    /// # Panics
    /// When the service or its files cannot be found.
    #[track_caller]
    pub fn log_lines(&self, name: &str) -> Vec<LogLine> {
        let folder = self.service(name).log_dir.expect("a log folder");
        // A file that is rotated away while they are read: once more.
        let bytes = until_some("log files that stay", SHORT, || read_logs(folder.as_path()));
        bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| LogLine::parse(&String::from_utf8_lossy(line)))
            .collect()
    }

    /// The texts of a service's standard output, oldest first.
    ///
    /// # Panics
    /// When the service or its files cannot be found.
    #[track_caller]
    pub fn stdout_lines(&self, name: &str) -> Vec<String> {
        self.log_lines(name)
            .into_iter()
            .filter(|line| line.stream == "stdout")
            .map(|line| line.text)
            .collect()
    }
}

/// All log files of a folder, oldest first; `None` when one vanished meanwhile.
fn read_logs(folder: &Path) -> Option<Vec<u8>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort_by_key(|path| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
    let mut bytes = Vec::new();
    for file in files {
        bytes.extend(std::fs::read(file).ok()?);
    }
    Some(bytes)
}

/// One line of a log file: `time stream P|F text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// As written, RFC 3339.
    pub time: String,
    /// `stdout`, `stderr`, or what the shim has to say.
    pub stream: String,
    /// `F`: the line is whole or its last part; `P`: it goes on.
    pub tag: String,
    /// The rest.
    pub text: String,
}

impl LogLine {
    fn parse(line: &str) -> Self {
        let mut parts = line.splitn(4, ' ').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        Self { time: part(), stream: part(), tag: part(), text: part() }
    }
}

/// Words separated by blanks; `'…'` keeps blanks together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in text.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}
