//! What people see, state by state. Snapshots are in `snapshots/`; after a change on purpose:
//! `INSTA_UPDATE=always cargo test -p pipctl`.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Value, json};
use wire::{ServiceView, Snapshot, VerbAnswer, WhyAnswer, WorkspaceSpec, WorkspaceView};

use super::Verb;
use crate::commands::uses::Uses;

/// 2026-01-31T12:00:00Z
const NOW: i64 = 1_769_860_800_000;

fn plain(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    assert!(text.lines().all(|line| !line.ends_with(' ')), "blanks at a line's end:\n{text}");
    text
}

fn service(fields: Value) -> Value {
    let mut service = json!({
        "name": "server", "kind": "web", "goal": "up", "port": 5001,
        "address": "http://127.0.0.1:5001/", "url": "http://127.0.0.1:5001/", "since_ms": NOW - 90_000,
    });
    merge(&mut service, fields);
    service
}

fn jupyter(fields: Value) -> Value {
    let mut service = json!({
        "name": "jupyter", "kind": "jupyter", "goal": "up", "phase": "ready", "port": 8888, "pid": 4211,
        "address": "http://127.0.0.1:8888/lab", "url": "http://127.0.0.1:8888/lab?token=5eed",
        "started_ms": NOW - 7_500_000, "since_ms": NOW - 7_498_000,
    });
    merge(&mut service, fields);
    service
}

fn merge(into: &mut Value, fields: Value) {
    let (Value::Object(into), Value::Object(fields)) = (into, fields) else { panic!("objects only") };
    into.extend(fields);
}

fn every_phase() -> Vec<Value> {
    let failed = json!({"cause": {"code": 1}, "at_ms": NOW - 2_000, "uptime_ms": 350});
    vec![
        service(json!({"name": "down", "goal": "down", "phase": "down"})),
        service(json!({"name": "blocked", "phase": "blocked", "detail": "port 5001 is taken",
            "hint": "kill 3000",
            "holders": [{"address": "127.0.0.1:5001", "pid": 3000, "user": "ada", "cwd": "/srv/site",
                "command": "python3 -m http.server 5001", "since_ms": NOW - 3_600_000},
                {"address": "[::]:5001", "user": "bob"}]})),
        service(json!({"name": "spawning", "phase": "spawning"})),
        service(json!({"name": "starting", "phase": "starting", "pid": 7, "started_ms": NOW - 1_500})),
        service(json!({"name": "ready", "phase": "ready", "pid": 8, "started_ms": NOW - 60_000,
            "warnings": ["runs as root: --allow-root"]})),
        service(json!({"name": "unhealthy", "phase": "unhealthy", "pid": 9, "started_ms": NOW - 86_400_000,
            "detail": "port 5001 listens and does not answer", "hint": "pipctl restart unhealthy"})),
        service(
            json!({"name": "stopping", "phase": "stopping", "pid": 10, "started_ms": NOW - 60_000, "goal": "down"}),
        ),
        service(json!({"name": "backoff", "phase": "backoff", "restarts": 4, "next_try_ms": NOW + 3_200,
            "last_exit": failed, "hint": "pipctl why backoff"})),
        service(json!({"name": "finished", "phase": "finished",
            "last_exit": {"cause": {"code": 0}, "at_ms": NOW, "uptime_ms": 60_000}})),
        service(json!({"name": "gaveup", "phase": "gaveup", "restarts": 5, "last_exit":
            {"cause": {"signal": 11}, "at_ms": NOW, "uptime_ms": 20}, "hint": "pipctl start gaveup"})),
        service(json!({"name": "external", "phase": "external", "owner": "external", "pid": 11,
            "started_ms": NOW - 60_000, "hint": "pipctl adopt external   (has it looked after from now on)",
            "detail": "started by hand from Cursor, terminal pts/3: python server.py",
            "holders": [{"address": "127.0.0.1:5001", "pid": 11, "command": "python server.py", "owner": "external"}]})),
        service(
            json!({"name": "quiet", "phase": "quiet", "next_try_ms": NOW + 8_000, "hint": "pipctl start quiet",
            "detail": "what was started by hand has ended; pipd starts its own if the port stays quiet"}),
        ),
        service(json!({"name": "newer", "phase": "of a newer daemon"})),
    ]
}

fn view(services: Vec<Value>) -> WorkspaceView {
    serde_json::from_value(json!({"id": "ws-1", "root": "/home/ada/ws", "services": services})).unwrap()
}

#[test]
fn status_of_every_phase() {
    let snapshot = Snapshot { workspaces: vec![view(every_phase())], ..Snapshot::default() };
    insta::assert_snapshot!(plain(&super::snapshot(&snapshot, None, &Uses::new(), NOW)));
}

#[test]
fn status_of_several_workspaces_with_warnings() {
    let mut second = view(vec![]);
    second.root = Some("/home/ada/other".into());
    let mut first = view(vec![
        jupyter(json!({})),
        service(json!({"phase": "ready", "pid": 4300, "started_ms": NOW - 42_000})),
    ]);
    first
        .warnings
        .push("this shell's environment differs from the captured one: pipctl restart --env".into());
    let snapshot = Snapshot {
        warnings: vec!["not persistent: /home/ada/.local/state is read-only".into()],
        workspaces: vec![first, second],
        ..Snapshot::default()
    };
    insta::assert_snapshot!(plain(&super::snapshot(&snapshot, None, &Uses::new(), NOW)));
}

#[test]
fn status_long() {
    let details: wire::DetailsAnswer = serde_json::from_value(json!({
        "at_ms": NOW,
        "memory": {"total_bytes": 16_u64 << 30, "available_bytes": 5_u64 << 29, "stalled_percent": 3},
        "services": [{"root": "/home/ada/ws", "name": "jupyter", "run": 7,
            "tree": {"at_ms": NOW, "processes": 5, "memory_bytes": 412 << 20, "memory_kind": "pss",
                "cpu_ms": 12_345, "cpu_percent": 98, "cpu_over_ms": 2_000},
            "listening": {"at_ms": NOW, "addresses": ["127.0.0.1:8888", "[::1]:8888"]},
            "jupyter": told()}],
    }))
    .unwrap();
    let services = vec![jupyter(json!({"restarts": 2})), service(json!({"phase": "down", "goal": "down"}))];
    let snapshot = Snapshot { workspaces: vec![view(services)], ..Snapshot::default() };
    insta::assert_snapshot!(plain(&super::snapshot(&snapshot, Some(&details), &Uses::new(), NOW)));
}

/// What a JupyterLab said three seconds ago.
fn told() -> Value {
    json!({"at_ms": NOW - 3_000,
        "kernels": [
            {"id": "5eedc0ffee", "name": "python3", "notebook": "größe/train.ipynb", "state": "busy",
                "last_activity_ms": NOW - 70_000, "connections": 1, "pid": 4300, "memory_bytes": 1300 << 20},
            {"id": "0123456789", "name": "ir", "state": "idle"}],
        "terminals": [{"pid": 4400, "command": "vim \u{1b}[2J"}]})
}

#[test]
fn status_with_kernels_that_were_asked_for_before() {
    let mut silent = told();
    merge(&mut silent, json!({"silent": "JupyterLab did not answer within 1 s"}));
    let services = vec![
        jupyter(json!({"jupyter": told()})),
        jupyter(json!({"name": "hung", "jupyter": silent})),
        jupyter(json!({"name": "empty", "jupyter": {"at_ms": NOW}})),
    ];
    let snapshot = Snapshot { workspaces: vec![view(services)], ..Snapshot::default() };
    insta::assert_snapshot!(plain(&super::snapshot(&snapshot, None, &Uses::new(), NOW)));
}

fn answer(results: Value) -> VerbAnswer {
    serde_json::from_value(json!({ "services": results })).unwrap()
}

fn every_outcome() -> VerbAnswer {
    let failed = json!({"cause": {"code": 1}, "at_ms": NOW, "uptime_ms": 300});
    answer(json!([
        {"outcome": "ready", "service": jupyter(json!({"started_ms": NOW - 3_000, "since_ms": NOW - 900}))},
        {"outcome": "already", "service": jupyter(json!({"name": "running"}))},
        {"outcome": "stopped", "service": service(json!({"name": "stopped", "goal": "down", "phase": "down",
            "last_exit": {"cause": {"signal": 15}, "asked": true, "left_running": ["tmux new -s train"]}}))},
        {"outcome": "accepted", "service": service(json!({"name": "accepted", "phase": "starting", "pid": 6, "started_ms": NOW}))},
        {"outcome": "failed", "service": service(json!({"name": "failed", "phase": "backoff",
            "last_exit": failed, "next_try_ms": NOW + 500})),
            "last_words": ["Traceback (most recent call last):", "  File \"/home/ada/ws/server.py\", line 1, in <module>",
                "    from fasthtml.common import *", "ModuleNotFoundError: No module named 'fasthtml'"]},
        {"outcome": "blocked", "service": every_phase()[1]},
        {"outcome": "timeout", "service": service(json!({"name": "slow", "phase": "starting", "pid": 5, "started_ms": NOW}))},
        {"outcome": "superseded", "service": service(json!({"name": "superseded", "phase": "stopping"}))},
        {"outcome": "busy", "service": jupyter(json!({"name": "busy"})),
            "would_lose": ["train.ipynb: kernel python3 is busy", "terminal 1: runs vim"]},
        {"outcome": "external", "service": service(json!({"name": "external", "phase": "external", "pid": 12,
            "started_ms": NOW - 60_000, "hint": "close it where it was started, then: pipctl start external"}))},
        {"outcome": "of a newer daemon", "service": service(json!({"name": "newer", "phase": "ready"}))},
    ]))
}

#[test]
fn start_with_every_outcome() {
    insta::assert_snapshot!(plain(&super::answer(
        Verb::Start,
        &every_outcome(),
        Duration::from_secs(3),
        NOW
    )));
}

#[test]
fn stop_with_every_outcome() {
    insta::assert_snapshot!(plain(&super::answer(Verb::Stop, &every_outcome(), Duration::from_secs(3), NOW)));
}

#[test]
fn what_was_found() {
    let spec = WorkspaceSpec {
        root: "/home/ada/ws".into(),
        env: Default::default(),
        services: Vec::new(),
        notes: vec![
            "workspace: /home/ada/ws (.venv)".into(),
            "python: .venv/bin/python".into(),
            "jupyter: jupyterlab is installed".into(),
        ],
        warnings: vec!["server.py calls serve() on port 8888".into()],
        depends: Vec::new(),
    };
    insta::assert_snapshot!(plain(&super::notes(&spec)));
}

#[test]
fn why_it_failed() {
    let answer: WhyAnswer = serde_json::from_value(json!({
        "service": every_phase()[7],
        "runs": [
            {"run": 5, "started_ms": NOW - 90_000_000, "pid": 100, "exit": {"cause": {"code": 0}, "uptime_ms": 80_000_000, "asked": true,
                "swept": ["python -m ipykernel_launcher"], "left_running": ["tmux"]}},
            {"run": 6, "started_ms": NOW - 10_000, "pid": 101, "exit": {"cause": {"signal": 9}, "uptime_ms": 5_000}},
            {"run": 7, "exit": {"cause": {"exec_failed": {"message": "/home/ada/ws/.venv/bin/python: not found", "errno": 2}}}},
            {"run": 8, "started_ms": NOW - 2_000, "pid": 103, "exit": {"cause": {"code": 1}, "uptime_ms": 350},
                "last_words": ["  File \"server.py\", line 3", "\tx = 1 +\u{1b}[2J", "SyntaxError: invalid syntax"]},
            {"run": 9, "started_ms": NOW - 500, "pid": 104},
        ],
        "next": "it is tried again in 3.2 s, and at once when server.py changes",
    }))
    .unwrap();
    insta::assert_snapshot!(plain(&super::why(&answer, NOW, &TimeZone::UTC)));
}

#[test]
fn why_of_a_service_that_never_ran() {
    let answer = WhyAnswer {
        service: serde_json::from_value::<ServiceView>(every_phase()[0].clone()).unwrap(),
        runs: Vec::new(),
        next: String::new(),
    };
    insta::assert_snapshot!(plain(&super::why(&answer, NOW, &TimeZone::UTC)));
}

#[test]
fn a_list_of_workspaces() {
    let mut second = view(vec![jupyter(json!({}))]);
    second.root = Some("/home/ada/größe".into());
    let snapshot = Snapshot { workspaces: vec![view(every_phase()), second], ..Snapshot::default() };
    insta::assert_snapshot!(plain(&super::list(&snapshot)));
    assert!(plain(&super::list(&Snapshot::default())).contains("pipctl start"));
}

#[test]
fn live_lines_fit_the_terminal() {
    let mut services = every_phase();
    services[3]["detail"] = json!("a very long reason that does not fit into a narrow terminal at all");
    let view = view(services);
    let lines = super::progress::lines(&view, &[], 3, 1_500, 40);
    assert_eq!(lines.len(), view.services.len());
    let text: Vec<String> = lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
    for line in &text {
        assert!(unicode_width::UnicodeWidthStr::width(line.as_str()) < 40, "{line}");
    }
    insta::assert_snapshot!(text.join("\n"));
    assert_eq!(super::progress::lines(&view, &["ready".into()], 0, 0, 80).len(), 1);
}

#[test]
fn styles_are_written_and_balanced() {
    let text = super::snapshot(
        &Snapshot { workspaces: vec![view(every_phase())], ..Snapshot::default() },
        None,
        &Uses::new(),
        NOW,
    );
    assert!(text.contains("\u{1b}[32m"), "ready is green");
    let resets = text.matches("\u{1b}[0m").count();
    assert_eq!(text.matches('\u{1b}').count(), resets * 2);
}
