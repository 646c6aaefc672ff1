//! Servers that somebody starts by hand: recognised, shown, never fought; taken over when they are gone, or adopted.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use testkit::{
    LONG, SHORT, Sandbox, Stack, Workspace, alive, exit, get, kill, sandbox, skip, until, until_some,
};
use wire::{Goal, Owner, Phase};

/// Something that a person runs, in a process group of its own, as a shell gives it one.
struct Hand(Child);

impl Hand {
    fn runs(mut command: Command) -> Self {
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(child.spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    /// What closing the window does: everything in the group gets a signal.
    fn ends(mut self, signal: Signal) {
        let _ = killpg(Pid::from_raw(self.pid()), signal);
        let _ = self.0.wait();
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// An editor: a program of that name which runs a command and ends it with its whole group when it quits.
fn editor(sandbox: &Sandbox, name: &str) -> PathBuf {
    let folder = sandbox.folder().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, "#!/bin/sh\ntrap 'trap \"\" TERM; kill 0; exit 0' TERM\n\"$@\" &\nwait\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The service `web`: a stub on a port, and the command that runs it by hand.
fn web<'a>(sandbox: &'a Sandbox, name: &str, keys: &str) -> (Workspace<'a>, testkit::Port) {
    let port = sandbox.port();
    let workspace = sandbox.workspace(name);
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}\n{keys}"));
    (workspace, port)
}

fn by_hand(sandbox: &Sandbox, workspace: &Workspace<'_>, port: &testkit::Port) -> Command {
    let mut command = workspace.command(sandbox.stub());
    command.args(["--listen", &port.to_string()]);
    command
}

fn in_editor(sandbox: &Sandbox, workspace: &Workspace<'_>, port: &testkit::Port, name: &str) -> Command {
    let mut command = workspace.command(editor(sandbox, name));
    command.arg(sandbox.stub()).args(["--listen", &port.to_string()]);
    command
}

fn answers(port: &testkit::Port) {
    until("it to answer", SHORT, || get(&format!("http://127.0.0.1:{port}/")).is_ok());
}

#[test]
fn a_server_started_by_hand_is_known_and_left_alone() {
    let sandbox = sandbox!();
    let (workspace, port) = web(&sandbox, "hand", "");
    let hand = Hand::runs(in_editor(&sandbox, &workspace, &port, "code"));
    answers(&port);

    workspace.pipctl(&["start"]).ok().says("already running, external").says("VS Code");
    let service = workspace.service("web");
    assert_eq!((service.phase, service.owner, service.goal), (Phase::External, Owner::External, Goal::Up));
    let pid = service.pid.expect("its process");
    assert_ne!(pid, hand.pid(), "the server, not the editor");
    assert_eq!(service.run, None);
    assert!(service.started_ms.is_some() && service.url.is_some(), "{service:?}");
    assert_eq!(service.holders[0].from.as_deref(), Some("VS Code"));
    assert_eq!(service.holders[0].owner, Owner::External);

    // Neither verb touches it.
    workspace.pipctl(&["restart"]).ok().says("external");
    workspace.pipctl(&["stop"]).ok().says("left alone");
    assert!(alive(pid));
    assert_eq!(workspace.service("web").phase, Phase::External);
    // What was stopped stays down when it goes.
    hand.ends(Signal::SIGTERM);
    workspace.await_phase("web", Phase::Down);
}

#[test]
fn a_person_may_end_it_and_start_it_again() {
    let sandbox = sandbox!();
    let (workspace, port) = web(&sandbox, "again", "");
    let hand = Hand::runs(by_hand(&sandbox, &workspace, &port));
    answers(&port);
    workspace.pipctl(&["start"]).ok();
    // Ctrl-C, arrow-up, Enter.
    hand.ends(Signal::SIGINT);
    let quiet = workspace.await_phase("web", Phase::Quiet);
    let wait = quiet.next_try_ms.expect("a countdown") - quiet.since_ms;
    assert!((9_000..=10_000).contains(&wait), "{wait} ms");
    workspace.pipctl(&["status"]).says("if the port stays quiet").says("in ");
    let hand = Hand::runs(by_hand(&sandbox, &workspace, &port));
    answers(&port);
    let service = workspace.await_phase("web", Phase::External);
    assert_eq!(service.pid, Some(hand.pid()));
    // Now it goes for good.
    hand.ends(Signal::SIGTERM);
    let ended = std::time::Instant::now();
    workspace.await_phase("web", Phase::Quiet);
    until("pipd to take over", LONG, || workspace.service("web").phase == Phase::Ready);
    assert!(ended.elapsed() >= Duration::from_millis(9_500), "after {:?}", ended.elapsed());
    assert_eq!(workspace.service("web").owner, Owner::Managed);
}

#[test]
fn a_start_ends_the_countdown_and_a_stop_cancels_it() {
    let sandbox = sandbox!();
    let (workspace, port) = web(&sandbox, "impatient", "");
    for verb in ["stop", "start"] {
        let hand = Hand::runs(by_hand(&sandbox, &workspace, &port));
        answers(&port);
        workspace.pipctl(&["start"]).ok().says("external");
        hand.ends(Signal::SIGTERM);
        workspace.await_phase("web", Phase::Quiet);
        workspace.pipctl(&[verb]).ok();
        let phase = if verb == "stop" { Phase::Down } else { Phase::Ready };
        assert_eq!(workspace.service("web").phase, phase);
    }
}

#[test]
fn with_leave_nothing_follows_by_itself() {
    let sandbox = sandbox!();
    let (workspace, port) = web(&sandbox, "leave", "external = \"leave\"");
    let hand = Hand::runs(by_hand(&sandbox, &workspace, &port));
    answers(&port);
    workspace.pipctl(&["start"]).ok();
    hand.ends(Signal::SIGTERM);
    let quiet = workspace.await_phase("web", Phase::Quiet);
    assert_eq!(quiet.next_try_ms, None, "{quiet:?}");
    workspace.pipctl(&["why", "web"]).ok().says("until you type: pipctl start web");
    // A stranger comes and goes; that is no reason either.
    let stranger = std::net::TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    workspace.await_service("web", "somebody on its port", |service| service.owner == Owner::Foreign);
    drop(stranger);
    let quiet =
        workspace.await_service("web", "nobody on its port", |service| service.owner == Owner::Managed);
    assert_eq!((quiet.phase, quiet.next_try_ms), (Phase::Quiet, None));
}

#[test]
fn a_new_daemon_keeps_to_what_was_agreed_on_the_port() {
    let sandbox = sandbox!();
    let (taken_over, port) = web(&sandbox, "after-a-kill", "");
    let (left, left_port) = web(&sandbox, "left-after-a-kill", "external = \"leave\"");
    let mut hands = Vec::new();
    for (workspace, port) in [(&taken_over, &port), (&left, &left_port)] {
        hands.push(Hand::runs(by_hand(&sandbox, workspace, port)));
        answers(port);
        workspace.pipctl(&["start"]).ok().says("already running, external");
    }
    // While they run a new daemon says so to the first who asks.
    sandbox.kill_daemon();
    taken_over.pipctl(&["daemon", "start"]).ok();
    for workspace in [&taken_over, &left] {
        let service = workspace.service("web");
        assert_eq!((service.phase, service.run), (Phase::External, None), "{service:?}");
    }
    for hand in hands {
        hand.ends(Signal::SIGTERM);
    }
    taken_over.await_phase("web", Phase::Quiet);
    left.await_phase("web", Phase::Quiet);

    // And after their end: a port that is left to others is not taken, the other one not before it was quiet.
    sandbox.kill_daemon();
    taken_over.pipctl(&["daemon", "start"]).ok();
    let quiet = taken_over.service("web");
    assert_eq!(quiet.phase, Phase::Quiet, "{quiet:?}");
    let wait = quiet.next_try_ms.expect("a countdown") - quiet.since_ms;
    assert!((9_000..=10_000).contains(&wait), "{wait} ms");
    let theirs = left.service("web");
    assert_eq!((theirs.phase, theirs.next_try_ms, theirs.run), (Phase::Quiet, None, None), "{theirs:?}");
    until("pipd to take over", LONG, || taken_over.service("web").phase == Phase::Ready);
    assert_eq!(left.service("web").phase, Phase::Quiet);

    // Nobody runs it by hand any more, and that is on record too.
    let run = taken_over.service("web").run;
    kill(taken_over.pid("web"));
    taken_over.await_service("web", "the next run", |now| now.run > run && now.phase == Phase::Ready);
    left.pipctl(&["start"]).ok();
    let daemon = sandbox.kill_daemon();
    sandbox.await_daemon(daemon);
    for workspace in [&taken_over, &left] {
        workspace.await_phase("web", Phase::Ready);
    }
}

#[test]
fn a_reloader_started_by_hand_is_one_line_in_the_status() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("reloader");
    workspace.link_venv(&venv);
    workspace.write("server.py", "from fasthtml.common import *\napp, rt = fast_app()\nserve()\n");
    workspace.config(&format!("[services.jupyter]\nenabled = false\n\n[services.server]\nport = {port}\n"));
    let mut command = workspace.command(workspace.path(".venv/bin/python"));
    command.arg("server.py").env("PORT", port.to_string());
    let hand = Hand::runs(command);
    answers(&port);
    workspace.pipctl(&["start"]).ok().says("already running, external");
    let service = workspace.service("server");
    assert_eq!(service.pid, Some(hand.pid()));
    let pids: Vec<_> = service.holders.iter().map(|holder| holder.pid).collect();
    assert_eq!(pids, [Some(hand.pid())], "its worker has the same socket: {:?}", service.holders);
    let shown = workspace.pipctl(&["status"]).ok().stdout;
    assert_eq!(shown.matches("server.py").count(), 1, "{shown}");
    assert_eq!(shown.matches(&hand.pid().to_string()).count(), 1, "{shown}");
}

#[test]
fn the_run_button_takes_a_port_that_was_given_back() {
    let sandbox = sandbox!();
    let (workspace, port) = web(&sandbox, "handover", "");
    workspace.stub_service("other", "--tick 1000", "");
    workspace.pipctl(&["start"]).ok();
    let other = workspace.pid("other");
    let stopped = workspace.pipctl(&["stop", "web"]).ok();
    let free = std::net::TcpListener::bind(("0.0.0.0", port.number()));
    assert!(free.is_ok(), "the port is not free after {:?}: {free:?}", stopped.took);
    drop(free);
    let hand = Hand::runs(in_editor(&sandbox, &workspace, &port, "cursor"));
    answers(&port);
    // The first look tells.
    let service = workspace.service("web");
    assert_eq!((service.phase, service.goal), (Phase::External, Goal::Down), "{service:?}");
    assert_eq!(service.holders[0].from.as_deref(), Some("Cursor"));
    assert_eq!(workspace.pid("other"), other);
    hand.ends(Signal::SIGTERM);
    workspace.await_phase("web", Phase::Down);
    assert_eq!(workspace.why("web").runs.len(), 1, "nothing was started behind anybody's back");
}

#[test]
fn a_stranger_in_the_same_folder_is_no_service_of_it() {
    let sandbox = sandbox!();
    let (workspace, port) = web(&sandbox, "mistaken", "");
    let mut command = workspace.command(sandbox.stub());
    command.args(["--listen", &format!("127.0.0.1:{port}"), "--status", "404"]);
    let hand = Hand::runs(command);
    answers(&port);
    workspace.pipctl(&["start"]).expect(exit::BLOCKED).says(&hand.pid().to_string());
    assert_eq!(workspace.service("web").owner, Owner::Foreign);
    workspace.pipctl(&["adopt", "web"]).expect(exit::FAILED).says("not started by hand");
    assert_eq!(workspace.service("web").goal, Goal::Up);
    // The service itself comes in the stranger's place.
    hand.ends(Signal::SIGKILL);
    workspace.await_phase("web", Phase::Ready);
}

#[test]
fn adoption_keeps_the_process_and_what_follows_is_a_run_like_every_other() {
    let sandbox = sandbox!();
    let (workspace, port) = web(&sandbox, "adopted", "");
    workspace.pipctl(&["adopt", "web"]).expect(exit::FAILED).says("nobody runs it by hand");
    assert_eq!(workspace.service("web").goal, Goal::Down);
    let hand = Hand::runs(in_editor(&sandbox, &workspace, &port, "zed"));
    answers(&port);
    let pid = until_some("the server", SHORT, || workspace.service("web").pid);

    workspace
        .pipctl(&["adopt", "web"])
        .ok()
        .says("adopted")
        .says("what it prints stays where it was started");
    let service = workspace.service("web");
    assert_eq!((service.phase, service.owner, service.pid), (Phase::Ready, Owner::Managed, Some(pid)));
    assert_eq!((service.goal, service.run), (Goal::Up, Some(1)));
    workspace.pipctl(&["adopt", "web"]).ok().says("already");

    // The next daemon knows it, and so does the next shim.
    let daemon = sandbox.kill_daemon();
    sandbox.await_daemon(daemon);
    workspace.await_service("web", "ready as before", |service| {
        (service.phase, service.pid) == (Phase::Ready, Some(pid))
    });
    kill(workspace.service("web").shim_pid.expect("a shim"));
    workspace.await_service("web", "another shim", |service| service.shim_pid.is_some());
    assert!(alive(pid));

    // It fails: the next one is pipd's own.
    kill(pid);
    let service = workspace
        .await_service("web", "a new run", |service| service.phase == Phase::Ready && service.run == Some(2));
    assert!(service.warnings.is_empty(), "{:?}", service.warnings);
    drop(hand);
    assert_eq!(workspace.service("web").pid, service.pid, "the editor's end is none of its business");
}

#[test]
fn what_was_adopted_is_stopped_by_request_and_its_editor_is_not() {
    let sandbox = sandbox!();
    let (workspace, port) = web(&sandbox, "stopped", "");
    // It takes TERM for nothing, so the whole ladder is walked; its group is its editor's.
    let mut command = workspace.command(editor(&sandbox, "code"));
    command.arg(sandbox.stub()).args(["--listen", &port.to_string()]);
    let hand = Hand::runs(command);
    answers(&port);
    workspace.pipctl(&["start"]).ok().says("external");
    let pid = workspace.pid("web");
    workspace.pipctl(&["adopt", "web"]).ok();
    workspace.pipctl(&["stop", "web"]).ok();
    assert!(!alive(pid));
    assert_eq!(workspace.service("web").phase, Phase::Down);
    let exit = workspace.service("web").last_exit.expect("an end");
    assert!(exit.asked, "{exit:?}");
    // The script that played the editor ends by itself when what it waited for is gone, not by a signal of ours.
    let mut hand = hand;
    let status = hand.0.wait().unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}

/// JupyterLab as a person starts it, on a port of the test's.
fn lab_by_hand(workspace: &Workspace<'_>, port: &testkit::Port, editor: Option<PathBuf>) -> Hand {
    let python = workspace.path(".venv/bin/python");
    let mut command = match editor {
        Some(editor) => {
            let mut command = workspace.command(editor);
            command.arg(python);
            command
        }
        None => workspace.command(python),
    };
    command.args(["-m", "jupyterlab", "--no-browser", &format!("--ServerApp.port={port}")]);
    command.arg("--allow-root");
    Hand::runs(command)
}

#[test]
fn a_jupyterlab_started_by_hand_is_external_with_its_token_and_can_be_adopted() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("lab");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    let hand = lab_by_hand(&workspace, &port, Some(editor(&sandbox, "cursor")));
    until("JupyterLab", LONG, || get(&format!("http://127.0.0.1:{port}/api")).is_ok());

    workspace.pipctl(&["start"]).ok().says("already running, external").says("Cursor");
    let service = workspace.service("jupyter");
    assert_eq!(service.phase, Phase::External);
    let pid = service.pid.expect("its process");
    // The address logs in: it is asked for the kernels with it.
    let jupyter = workspace.jupyter("jupyter");
    assert!(jupyter.token.len() >= 32, "{}", jupyter.token);
    let kernel = jupyter.start_kernel();
    assert_eq!(jupyter.execute(&kernel, "6 * 7"), "42");

    workspace.pipctl(&["adopt", "jupyter"]).ok();
    assert_eq!(workspace.pid("jupyter"), pid);
    // The same kernel, by the address that is shown now.
    let adopted = workspace.jupyter("jupyter");
    assert_eq!(adopted.token, jupyter.token, "the token is the one it was started with");
    assert_eq!(adopted.execute(&kernel, "6 * 7"), "42");
    workspace.pipctl(&["stop", "--force"]).ok();
    assert!(!alive(pid));
    drop(hand);
}

#[test]
fn a_second_jupyterlab_of_the_folder_is_pointed_out() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let (port, other) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("two-labs");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    assert!(
        workspace.service("jupyter").warnings.iter().all(|warning| !warning.contains("another JupyterLab"))
    );
    let hand = lab_by_hand(&workspace, &other, None);
    until("the other JupyterLab", LONG, || get(&format!("http://127.0.0.1:{other}/api")).is_ok());
    let pointed_out = |service: &wire::ServiceView| {
        service.warnings.iter().any(|warning| {
            warning.contains("another JupyterLab of this folder")
                && warning.contains(&other.to_string())
                && warning.contains(&hand.pid().to_string())
        })
    };
    workspace.await_service("jupyter", "a word about the other one", pointed_out);
    hand.ends(Signal::SIGKILL);
    // Its file is still there; it proves nothing.
    workspace.await_service("jupyter", "no word about one that is gone", |service| {
        !service.warnings.iter().any(|warning| warning.contains("another JupyterLab"))
    });
}
