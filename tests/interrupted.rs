//! Verbs under which the daemon dies: whoever typed them is answered all the same, truly, and nothing is done twice.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use testkit::{Finished, LONG, SHORT, Sandbox, Workspace, alive, sandbox, until};
use wire::{Phase, ServiceOutcome, VerbAnswer};

/// A verb somebody waits for.
struct Typed(Child);

impl Typed {
    fn new(sandbox: &Sandbox, workspace: &Workspace, arguments: &[&str]) -> Self {
        let mut command = workspace.command(sandbox.program());
        command.args(arguments);
        Self(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn end(self) -> Finished {
        let began = std::time::Instant::now();
        let output = self.0.wait_with_output().unwrap();
        Finished {
            command: "the interrupted verb".into(),
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            took: began.elapsed(),
        }
    }
}

fn outcome(finished: &Finished) -> ServiceOutcome {
    finished.json::<VerbAnswer>().services[0].outcome
}

/// Ends only 1.5 s after it is asked to, and becomes ready 1 s after it is begun.
fn slow<'a>(sandbox: &'a Sandbox, name: &str) -> Workspace<'a> {
    let port = sandbox.port();
    let workspace = sandbox.workspace(name);
    workspace.stub_service(
        "web",
        &format!("--listen {port} --ready-after 1000 --ignore TERM --ignore INT"),
        &format!("port = {port}\nstop = {{ grace = \"1500ms\" }}"),
    );
    workspace.pipctl(&["start"]).ok();
    workspace
}

#[test]
fn a_stop_outlives_its_daemon() {
    let sandbox = sandbox!();
    let workspace = slow(&sandbox, "stopped");
    let pid = workspace.pid("web");
    let typed = Typed::new(&sandbox, &workspace, &["stop", "--json"]);
    workspace.await_phase("web", Phase::Stopping);
    sandbox.kill_daemon();
    let finished = typed.end().ok();
    assert_eq!(outcome(&finished), ServiceOutcome::Stopped, "{finished}");
    assert!(!alive(pid));
    assert_eq!(workspace.service("web").phase, Phase::Down);
    assert_eq!(workspace.why("web").runs.len(), 1);
}

#[test]
fn a_stop_whose_effect_came_while_no_daemon_lived_is_no_lie() {
    let sandbox = sandbox!();
    let workspace = slow(&sandbox, "gone");
    let pid = workspace.pid("web");
    let typed = Typed::new(&sandbox, &workspace, &["stop", "--json"]);
    workspace.await_phase("web", Phase::Stopping);
    // Dead twice, so that the service is gone before anybody is there to see it.
    for _ in 0..2 {
        sandbox.kill_daemon();
        until("the next daemon", SHORT, || sandbox.try_daemon().is_some() || !alive(pid));
        if !alive(pid) {
            break;
        }
    }
    let finished = typed.end().ok();
    assert_eq!(outcome(&finished), ServiceOutcome::Stopped, "{finished}");
    assert!(!alive(pid));
}

#[test]
fn a_restart_outlives_its_daemon_and_happens_once() {
    let sandbox = sandbox!();
    // While the old run ends, and while the new one begins.
    for (name, phase) in [("ending", Phase::Stopping), ("beginning", Phase::Starting)] {
        let workspace = slow(&sandbox, name);
        let before = workspace.service("web");
        let typed = Typed::new(&sandbox, &workspace, &["restart", "--json"]);
        workspace.await_phase("web", phase);
        sandbox.kill_daemon();
        let finished = typed.end().ok();
        assert_eq!(outcome(&finished), ServiceOutcome::Ready, "killed while {name}: {finished}");
        let after = workspace.service("web");
        assert_eq!(after.phase, Phase::Ready);
        assert_ne!(after.pid, before.pid);
        assert_eq!(workspace.why("web").runs.len(), 2, "restarted once, killed while {name}");
        assert_eq!(after.restarts, 0);
    }
}

/// The daemon dies between the effect and the answer: what the client sends again then.
#[test]
fn a_restart_that_is_sent_again_after_it_was_done_does_nothing() {
    let sandbox = sandbox!();
    let workspace = slow(&sandbox, "done");
    let before = workspace.service("web");
    workspace.pipctl(&["restart"]).ok();
    let done = workspace.service("web");
    let mut pipd = BufReader::new(UnixStream::connect(sandbox.host().join("pipd.sock")).unwrap());
    pipd.get_ref().set_read_timeout(Some(LONG)).unwrap();
    let mut ask = |method: &str, params: Value| -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        writeln!(pipd.get_mut(), "{request}").unwrap();
        let mut line = String::new();
        pipd.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    ask("hello", json!({"protocol": {"min": 1, "max": 1}, "client": "test"}));
    // As the workspace is recorded, so that nothing about the service is new.
    let record = sandbox.host().join("workspaces").join(workspace.status().id).join("workspace.json");
    let record = std::fs::read_to_string(record).unwrap();
    let record: Value = serde_json::from_str(&record[record.find('{').unwrap()..]).unwrap();
    let spec = find(&record, "spec").expect("the record has the service's specification").clone();
    let again = |seen: u64| {
        json!({
            "workspace": {"root": workspace.root(), "services": [spec]},
            "seen_runs": {"web": seen},
        })
    };
    let answer = ask("restart", again(before.run.unwrap()));
    assert_eq!(answer["result"]["services"][0]["outcome"], "ready", "{answer}");
    assert_eq!(workspace.service("web").pid, done.pid, "nothing was done twice");
    // With the run there is now it has not happened yet.
    let answer = ask("restart", again(done.run.unwrap()));
    assert_eq!(answer["result"]["services"][0]["outcome"], "ready", "{answer}");
    assert_ne!(workspace.service("web").pid, done.pid);
}

/// The first value with this key, wherever it is.
fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    match value {
        Value::Object(map) => map.get(key).or_else(|| map.values().find_map(|inner| find(inner, key))),
        Value::Array(values) => values.iter().find_map(|inner| find(inner, key)),
        _ => None,
    }
}
