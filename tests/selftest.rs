//! `pipctl selftest`: what it says of this machine, that it notices a broken promise, and that it touches nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use testkit::{LONG, SHORT, Sandbox, exit, sandbox, until};

#[derive(Debug, Deserialize)]
struct Report {
    version: String,
    system: String,
    kept: usize,
    broken: usize,
    checks: Vec<Line>,
}

#[derive(Debug, Deserialize)]
struct Line {
    check: String,
    promise: String,
    outcome: String,
    detail: Option<String>,
    ms: u64,
}

/// Folders of a selftest that this process made.
fn folder_of(pid: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/pipd-selftest.{pid}"))
}

#[test]
fn every_promise_is_kept_here_without_python_and_nothing_of_the_users_is_touched() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("mine");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    let (before, daemon) = (workspace.service("web"), sandbox.daemon());
    let log = sandbox.daemon_log();

    sandbox.set("PATH", Some("/nonexistent"));
    let mut command = sandbox.command(sandbox.program());
    command.args(["selftest", "--json"]);
    let report: Report = sandbox.run(command, 4 * LONG).ok().json();
    assert_eq!(report.version, env!("CARGO_PKG_VERSION"));
    assert!(!report.system.is_empty());
    assert_eq!(report.broken, 0, "{report:#?}");
    assert!(report.checks.len() >= 16 && report.kept == report.checks.len(), "{report:#?}");
    for line in &report.checks {
        let expected: &[&str] = if cfg!(target_os = "linux") { &["kept"] } else { &["kept", "except"] };
        assert!(expected.contains(&line.outcome.as_str()), "{line:?}");
        assert!(!line.promise.is_empty() && line.ms > 0, "{line:?}");
    }

    let now = workspace.service("web");
    assert_eq!((now.pid, now.run, now.phase), (before.pid, before.run, before.phase));
    assert_eq!((sandbox.daemon(), sandbox.list().len()), (daemon, 1));
    assert_eq!(sandbox.daemon_log(), log, "the user's daemon noticed");
}

#[test]
fn some_checks_are_made_alone_and_unknown_ones_are_refused() {
    let sandbox = sandbox!();
    let listed = sandbox.pipctl(&["selftest", "--list"]).ok();
    assert!(listed.stdout.contains("daemon-killed") && listed.stdout.contains("port-taken"), "{listed}");
    let names: Vec<String> = sandbox.pipctl(&["selftest", "--list", "--json"]).ok().json();
    assert!(names.contains(&"tree".to_owned()), "{names:?}");
    sandbox.pipctl(&["selftest", "nonsense"]).expect(exit::USAGE).says("pipctl selftest --list");
    let one = sandbox.pipctl(&["selftest", "crash"]).ok();
    assert!(one.stdout.contains("1 checked, all kept"), "{one}");
    assert!(!one.stdout.contains("port-taken"), "{one}");
}

/// The programs in a folder of their own, with a `pipd` that leaves a file that everybody may read.
fn careless(sandbox: &Sandbox) -> PathBuf {
    let folder = sandbox.folder().join("careless");
    std::fs::create_dir(&folder).unwrap();
    for name in ["pipctl", "pipd-shim"] {
        std::fs::copy(sandbox.program().with_file_name(name), folder.join(name)).unwrap();
    }
    let real = sandbox.program().with_file_name("pipd");
    let script = format!(
        "#!/bin/sh\nmkdir -p \"$PIPD_STATE_DIR\"\n: >\"$PIPD_STATE_DIR/open\"\n\
         chmod 644 \"$PIPD_STATE_DIR/open\"\nexec {} \"$@\"\n",
        real.display()
    );
    std::fs::write(folder.join("pipd"), script).unwrap();
    std::fs::set_permissions(folder.join("pipd"), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.join("pipctl")
}

#[test]
fn a_broken_promise_is_shown_and_is_the_exit_code() {
    let sandbox = sandbox!();
    let mut command = sandbox.command(careless(&sandbox));
    command.args(["selftest", "private", "crash", "--json"]);
    let finished = sandbox.run(command, LONG).expect(exit::FAILED);
    let report: Report = finished.json();
    assert_eq!((report.kept, report.broken), (1, 1), "{report:#?}");
    let broken = &report.checks[0];
    assert_eq!((broken.check.as_str(), broken.outcome.as_str()), ("private", "broken"));
    assert!(broken.detail.as_ref().unwrap().contains("/open has mode 644"), "{broken:?}");

    // Programs that were not installed together.
    std::fs::remove_file(sandbox.folder().join("careless/pipd-shim")).unwrap();
    let mut command = sandbox.command(sandbox.folder().join("careless/pipctl"));
    command.arg("selftest");
    sandbox.run(command, LONG).expect(exit::FAILED).says("pipd-shim is missing");
}

#[test]
fn an_interrupted_selftest_clears_up_and_a_killed_one_is_cleared_up_after() {
    let sandbox = sandbox!();
    let begin = || {
        let mut command: Command = sandbox.command(sandbox.program());
        command.args(["selftest", "stop", "tree"]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        // Something lives that would stay behind.
        until("a check under way", SHORT, || {
            let worlds = std::fs::read_dir(folder_of(child.id())).into_iter().flatten().flatten();
            worlds.into_iter().any(|world| world.path().join("grandchild").exists())
        });
        child
    };
    let signal = |child: &std::process::Child, signal| {
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    };
    let mut child = begin();
    signal(&child, Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert!(!folder_of(child.id()).exists());

    let mut child = begin();
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    sandbox.pipctl(&["selftest", "crash"]).ok();
    assert!(!folder_of(child.id()).exists());
    until("its processes to be gone", Duration::from_secs(5), || {
        let needle = format!("pipd-selftest.{}/", child.id());
        os::process::table().unwrap().iter().all(|process| {
            let environ = os::process::environ(process.pid).unwrap_or_default();
            !String::from_utf8_lossy(&environ).contains(&needle)
        })
    });
}
