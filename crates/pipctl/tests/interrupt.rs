//! Ctrl-C while `start` waits. Concerns the whole process, its main thread first, so this program has a `main` of
//! its own and calls itself.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use client::Locations;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pipctl::{Surroundings, Terminal};
use run::layout::HostDir;
use wire::Request;

const STATE: &str = "PIPCTL_TEST_STATE";
const WORKSPACE: &str = "PIPCTL_TEST_WORKSPACE";

fn main() {
    match (std::env::var_os(STATE), std::env::var_os(WORKSPACE)) {
        (Some(state), Some(workspace)) => start(&state, workspace),
        _ => {
            ctrl_c_ends_the_waiting_and_says_that_services_go_on();
            println!("test ctrl_c_ends_the_waiting_and_says_that_services_go_on ... ok");
        }
    }
}

/// `pipctl start`, when the test below calls this program.
fn start(state: &OsStr, cwd: OsString) {
    let surroundings = Surroundings {
        cwd: PathBuf::from(cwd),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        home: None,
        is_root: false,
        umask: None,
        locations: Some(Locations::at(vec![HostDir::new(Path::new(state), "0123456789ab")])),
        interactive: false,
        catch_interrupts: true,
    };
    let (mut out, mut err, mut input) = (std::io::stdout(), std::io::stderr(), &b""[..]);
    let mut terminal = Terminal { out: &mut out, err: &mut err, input: &mut input };
    let arguments = ["pipctl", "start", "server"].map(OsString::from);
    let exit = pipctl::run(arguments, &surroundings, &mut terminal);
    std::process::exit(exit.number().into());
}

fn ctrl_c_ends_the_waiting_and_says_that_services_go_on() {
    // Never answers `start`.
    let (asked, wait) = std::sync::mpsc::channel();
    let fake = fake::Fake::greeting(move |frame| {
        if matches!(frame.request, Request::Start(_)) {
            let _ = asked.send(());
        }
        Vec::new()
    });
    let workspace = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::write(workspace.path().join("pipd.toml"), "[services.server]\ncommand = [\"sleep\", \"1\"]\n")
        .unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(STATE, fake.host.dir.path())
        .env(WORKSPACE, workspace.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(status.code(), Some(7), "{status}: {said}");
    let last = said.lines().last().unwrap();
    assert_eq!(
        last,
        "interrupted; services go on starting. Look: pipctl status   Stop them: pipctl stop server"
    );
}
