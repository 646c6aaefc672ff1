//! Who may speak with the daemon, and what it does when it is spoken to badly.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{Sandbox, Workspace, exit, resume, sandbox, skip, suspend};
use wire::Phase;

fn running(sandbox: &Sandbox) -> Workspace<'_> {
    let workspace = sandbox.workspace("safe");
    let port = sandbox.port();
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    workspace
}

fn connect(sandbox: &Sandbox) -> UnixStream {
    let stream = UnixStream::connect(sandbox.host().join("pipd.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn ask(stream: &mut UnixStream, request: &Value) -> Value {
    writeln!(stream, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
}

fn hello() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "hello",
        "params": {"protocol": {"min": 1, "max": 1}, "client": "test"}})
}

fn assert_unharmed(sandbox: &Sandbox, workspace: &Workspace, daemon: i32) {
    let service = workspace.service("web");
    assert_eq!((service.phase, sandbox.daemon()), (Phase::Ready, daemon));
}

#[test]
fn case_61_another_users_connection_is_refused() {
    if !nobody_can("true", &[]) {
        skip!("needs root and setpriv to become another user");
    }
    let sandbox = sandbox!();
    let workspace = running(&sandbox);
    let daemon = sandbox.daemon();
    // Its doors wide open, as a careless `chmod -R` would leave them.
    let host = sandbox.host();
    let mut opened: Vec<(&Path, u32)> = Vec::new();
    let socket = host.join("pipd.sock");
    for path in
        host.ancestors().take_while(|path| path.starts_with(sandbox.folder())).chain([socket.as_path()])
    {
        opened.push((path, path.metadata().unwrap().permissions().mode()));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let script = "import json, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(5)\n\
                  s.connect(sys.argv[1])\n\
                  try:\n    s.sendall(sys.argv[2].encode() + b'\\n')\n    answer = s.recv(65536)\nexcept ConnectionError:\n    answer = b''\n\
                  sys.exit(0 if not answer or b'error' in answer else answer.decode())";
    let refused =
        nobody_can("/usr/bin/python3", &["-c", script, &socket.to_string_lossy(), &hello().to_string()]);
    for (path, mode) in opened {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode & 0o7777)).unwrap();
    }
    assert!(refused, "another user got an answer");
    assert_unharmed(&sandbox, &workspace, daemon);
}

fn nobody_can(program: &str, arguments: &[&str]) -> bool {
    Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", program])
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn case_53_55_rubbish_is_answered_with_an_error_or_a_closed_door() {
    let sandbox = sandbox!();
    let workspace = running(&sandbox);
    let daemon = sandbox.daemon();

    let code = |answer: &Value| answer["error"]["code"].as_i64();
    let mut stream = connect(&sandbox);
    assert!(ask(&mut stream, &hello())["result"]["protocol"].is_number());
    assert_eq!(
        code(&ask(&mut stream, &json!({"jsonrpc": "2.0", "id": 2, "method": "no.such"}))),
        Some(-32601)
    );
    assert_eq!(
        code(&ask(&mut stream, &json!({"jsonrpc": "2.0", "id": 3, "method": "why", "params": {"root": 7}}))),
        Some(-32602)
    );
    assert!(code(&ask(&mut stream, &json!([1, 2, 3]))).is_some());
    // A connection that made mistakes still works, and unknown fields are nobody's mistake.
    let status = json!({"jsonrpc": "2.0", "id": 4, "method": "status", "params": {"new_in_version_9": true}});
    assert!(ask(&mut stream, &status)["result"]["workspaces"].is_array());

    let newer = json!({"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": {"min": 900, "max": 901}}});
    assert!(code(&ask(&mut connect(&sandbox), &newer)).is_some());

    let deep = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    for rubbish in [deep.as_bytes(), b"\x00\xff\xfe{}\n", b"{\"jsonrpc\":\"2.0\"\n", &[0xa5; 1 << 20]] {
        let mut stream = connect(&sandbox);
        // It may close before it has read everything.
        let _ = stream.write_all(rubbish);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || String::from_utf8_lossy(&answer).contains("error"));
    }
    assert_unharmed(&sandbox, &workspace, daemon);
}

#[test]
fn case_54_a_line_without_end_is_cut_off() {
    let sandbox = sandbox!();
    let workspace = running(&sandbox);
    let daemon = sandbox.daemon();
    let mut stream = connect(&sandbox);
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent < 64 && stream.write_all(&chunk).is_ok() {
        sent += 1;
    }
    assert!(sent < 64, "64 MiB without a newline were taken");
    assert_unharmed(&sandbox, &workspace, daemon);
}

#[test]
fn case_57_idle_and_silent_connections_are_in_nobodys_way() {
    let sandbox = sandbox!();
    let workspace = running(&sandbox);
    let daemon = sandbox.daemon();
    let idle: Vec<UnixStream> = (0..200).map(|_| connect(&sandbox)).collect();
    // One that asks and never reads.
    let mut deaf = connect(&sandbox);
    deaf.set_nonblocking(true).unwrap();
    for _ in 0..10_000 {
        if writeln!(deaf, "{}", json!({"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}})).is_err()
        {
            break;
        }
    }
    let asked = Instant::now();
    workspace.pipctl(&["status"]).ok();
    assert!(asked.elapsed() < Duration::from_secs(2), "status took {:?}", asked.elapsed());
    drop(idle);
    assert_unharmed(&sandbox, &workspace, daemon);
}

#[test]
fn case_29_a_frozen_daemon_is_told_of_in_time() {
    let sandbox = sandbox!();
    let workspace = running(&sandbox);
    let daemon = sandbox.daemon();
    suspend(daemon);
    let asked = workspace.pipctl(&["status"]);
    resume(daemon);
    let asked = asked.expect(exit::UNREACHABLE);
    assert!(asked.took < Duration::from_secs(5), "{asked}");
    assert!(asked.all().contains(&daemon.to_string()), "the process expected in {asked}");
    assert_unharmed(&sandbox, &workspace, daemon);
}

/// Where pipd's own folder would be lies a link to a folder of ours that others may write to.
#[test]
fn case_61_a_linked_or_open_folder_is_not_used_as_it_is() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("linked");
    workspace.stub_service("web", "", "");
    let hosts = sandbox.state().join("hosts");
    let own = hosts.join(os::host::host_key().unwrap());
    let elsewhere = sandbox.folder().join("elsewhere");
    std::fs::create_dir_all(&hosts).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(&elsewhere, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &own).unwrap();
    let finished = workspace.pipctl(&["start", "--timeout", "5s"]);
    // Refused by name: nothing is written through the link.
    assert_ne!(finished.code, exit::OK, "{finished}");
    assert!(finished.all().contains(&*own.to_string_lossy()), "the folder expected in {finished}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "something was written through a link");
    // One that was left open is closed before it is used.
    std::fs::remove_file(&own).unwrap();
    std::fs::create_dir(&own).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o777)).unwrap();
    let finished = workspace.pipctl(&["start", "--timeout", "5s"]);
    assert!(finished.code != exit::OK || mode(&own) == 0o700, "{:o}: {finished}", mode(&own));
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o700)).unwrap();
    workspace.pipctl(&["start"]).ok();
}

#[test]
fn case_61_a_state_folder_of_somebody_else_is_not_trusted() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("foreign");
    workspace.stub_service("web", "", "");
    let state = sandbox.state();
    let theirs = state.join("hosts").join(os::host::host_key().unwrap());
    std::fs::create_dir_all(&theirs).unwrap();
    if std::os::unix::fs::chown(&theirs, Some(65_534), None).is_err() {
        skip!("needs root to make another user's folder");
    }
    let refused = workspace.pipctl(&["start", "--timeout", "5s"]);
    let written = std::fs::read_dir(&theirs).unwrap().count();
    std::fs::remove_dir_all(&theirs).unwrap();
    assert_eq!(written, 0, "something was written into another user's folder");
    assert_ne!(refused.code, exit::OK, "{refused}");
    assert!(refused.all().contains(&*theirs.to_string_lossy()), "the folder expected in {refused}");
}
