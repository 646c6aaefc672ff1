//! What the tests of packages share: the packages themselves, made once, and places to install them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use testkit::{Finished, Sandbox, repository, skipped};

/// For what builds a release.
pub(crate) const LIMIT: Duration = Duration::from_secs(1_800);

/// What was made.
pub(crate) struct Made {
    /// Folder of the release programs.
    pub(crate) programs: PathBuf,
    pub(crate) wheel: PathBuf,
    pub(crate) deb: PathBuf,
}

/// `cargo xtask package …`
pub(crate) fn package(what: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("package").args(what).current_dir(repository());
    command
}

/// The packages, made once; `None`, said loudly, where they are not asked for.
pub(crate) fn wanted() -> Option<&'static Made> {
    static MADE: OnceLock<Made> = OnceLock::new();
    let asked = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if !asked("CI", "true") && !asked("PIPD_TEST_PACKAGES", "1") {
        skipped("packages take minutes to make; PIPD_TEST_PACKAGES=1 makes them");
        return None;
    }
    Some(MADE.get_or_init(|| {
        let output = package(&["all"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        let path = |what: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": "));
            PathBuf::from(line.unwrap_or_else(|| panic!("no {what} in {text}")))
        };
        Made { programs: path("share").parent().unwrap().to_owned(), wheel: path("wheel"), deb: path("deb") }
    }))
}

/// Runs git in a folder.
pub(crate) fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git").current_dir(folder).args(arguments).status().unwrap();
    assert!(status.success(), "git {arguments:?} in {}", folder.display());
}

/// A copy of what git knows of this repository, as the working tree has it: a flake sees nothing else.
pub(crate) fn tracked_files(target: &Path) -> PathBuf {
    std::fs::create_dir(target).unwrap();
    let copy = "git ls-files --cached -z | xargs -0 sh -c 'cp --parents -- \"$@\" \"$0\"' \"$1\"";
    let status =
        Command::new("sh").current_dir(repository()).args(["-c", copy, "sh"]).arg(target).status().unwrap();
    assert!(status.success());
    git(target, &["init", "--quiet"]);
    git(target, &["add", "--all"]);
    target.to_owned()
}

/// A command in a mount namespace in which the programs are also in `/usr/local/bin`, where the stand-in for nixpkgs
/// looks for what a package holds. The command is to be added.
pub(crate) fn with_programs_of_the_system(sandbox: &Sandbox, programs: &Path) -> Command {
    let local = sandbox.folder().join("local");
    std::fs::create_dir(&local).unwrap();
    let script = "cp -a /usr/local/bin/. \"$1\" && for name in pipctl pipd pipd-shim; do \
                  cp \"$2/$name\" \"$1\" || exit 1; done && mount --bind \"$1\" /usr/local/bin && shift 2 && exec \"$@\"";
    let mut command = sandbox.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(local).arg(programs);
    command
}

/// A real systemd with a user `dev`, gone when dropped.
pub(crate) struct SystemdBox {
    tool: PathBuf,
    name: String,
}

impl SystemdBox {
    pub(crate) fn up(tool: PathBuf, name: &str) -> Self {
        let boxed = Self { tool, name: name.to_owned() };
        boxed.call(&["up"]).ok();
        boxed
    }

    /// A shell line as root.
    pub(crate) fn root(&self, line: &str) -> Finished {
        self.call(&["run", "sh", "-c", line])
    }

    /// A shell line in a login session of the user `dev`.
    pub(crate) fn dev(&self, line: &str) -> Finished {
        self.call(&["run-as", "dev", "sh", "-c", line])
    }

    pub(crate) fn copy_in(&self, file: &Path, to: &str) {
        self.call(&["copy-in", file.to_str().unwrap(), to]).ok();
    }

    /// Writes a file of the user's.
    pub(crate) fn write(&self, path: &str, text: &str) {
        self.dev(&format!("cat > {path} <<'END'\n{text}\nEND")).ok();
    }

    fn call(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(&self.tool);
        command.args(arguments).env("SYSTEMD_BOX", &self.name);
        command.env("SYSTEMD_BOX_PACKAGES", testkit::SystemdBox::PACKAGES);
        testkit::run(command, LIMIT)
    }
}

impl Drop for SystemdBox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.root(testkit::SystemdBox::REPORT);
            eprintln!("{}", said.all());
        }
        let _ = Command::new(&self.tool).arg("reset").env("SYSTEMD_BOX", &self.name).status();
    }
}
