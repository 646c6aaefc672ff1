//! Clients that do not read, ask too much, or ask a daemon that leaves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use testkit::{LONG, SHORT, Sandbox, Workspace, sandbox, until};
use wire::Phase;

struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(sandbox: &Sandbox) -> Self {
        let stream = UnixStream::connect(sandbox.host().join("pipd.sock")).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut client = Self(BufReader::new(stream));
        client.ask("hello", json!({"protocol": {"min": 1, "max": 1}, "client": "test"}), 0);
        assert!(client.answer()["result"]["protocol"].is_number());
        client
    }

    fn ask(&mut self, method: &str, params: Value, id: usize) {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.0.get_mut(), "{request}").unwrap();
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    /// Without taking anything of what was sent.
    fn was_left(&self) -> bool {
        let mut ends = [PollFd::new(self.0.get_ref().as_fd(), PollFlags::empty())];
        poll(&mut ends, PollTimeout::from(50_u8)).unwrap() > 0
    }
}

/// A workspace with a service that takes its time to end.
fn reluctant(sandbox: &Sandbox) -> Workspace<'_> {
    let workspace = sandbox.workspace("reluctant");
    workspace.stub_service("slow", "--ignore TERM --ignore INT", "stop = { grace = \"3s\" }");
    workspace.pipctl(&["start"]).ok();
    workspace
}

#[test]
fn case_58_a_subscriber_that_does_not_read_is_left() {
    let sandbox = sandbox!();
    let workspace = reluctant(&sandbox);
    // More than any socket buffer takes.
    let warning = "x".repeat(3 << 20);
    let mut client = Client::connect(&sandbox);
    let folder = json!({"root": sandbox.folder(), "warnings": [warning]});
    client.ask("start", json!({"workspace": folder}), 1);
    assert!(client.answer()["result"]["services"].is_array());
    client.ask("subscribe", json!({}), 2);
    until("the daemon to hang up", Duration::from_secs(25), || client.was_left());
    workspace.await_phase("slow", Phase::Ready);
}

#[test]
fn a_client_that_asks_and_asks_is_told_to_wait() {
    let sandbox = sandbox!();
    let workspace = reluctant(&sandbox);
    let mut client = Client::connect(&sandbox);
    for id in 1..=65 {
        client.ask("stop", json!({"root": workspace.root(), "force": true}), id);
    }
    let first = client.answer();
    assert_eq!((first["id"].as_u64(), first["error"]["code"].as_i64()), (Some(65), Some(-32600)), "{first}");
    for _ in 1..=64 {
        let answer = client.answer();
        assert_eq!(answer["result"]["services"][0]["outcome"], "stopped", "{answer}");
    }
    client.ask("stop", json!({"root": workspace.root()}), 66);
    assert_eq!(client.answer()["result"]["services"][0]["outcome"], "already");
}

#[test]
fn whoever_waits_for_a_daemon_that_leaves_is_told() {
    let sandbox = sandbox!();
    let workspace = reluctant(&sandbox);
    let mut client = Client::connect(&sandbox);
    client.ask("stop", json!({"root": workspace.root()}), 1);
    workspace.await_phase("slow", Phase::Stopping);
    workspace.pipctl(&["daemon", "stop"]).ok();
    assert_eq!(client.answer()["error"]["code"].as_i64(), Some(-32003));
    until("its socket to be gone", SHORT, || !sandbox.host().join("pipd.sock").exists());
}
