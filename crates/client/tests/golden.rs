//! The wire, message by message, as released: `golden/<version>.jsonl` holds one conversation, a request and
//! its answer for every method. Files of older releases stay and must always be read; the file of this
//! version must be what this build writes. After a change on purpose: `PIPD_UPDATE_GOLDEN=1 cargo test -p pipd-client`.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wire::*;
use wire::{CaptureParams, DependSpec};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Every method once, with every field filled somewhere.
fn conversation() -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let root = StatusParams { root: Some("/home/ada/ws".into()), details: false };
    let hello = Hello { protocol: PROTOCOL, client: "pipctl 0.1.0".into() };
    say(&mut lines, Request::Hello(hello), &HelloAnswer { protocol: 1, daemon: daemon() });
    say(&mut lines, Request::Start(start()), &verb(ServiceOutcome::Ready, &[], &[]));
    let words = ["ModuleNotFoundError: No module named 'fasthtml'"];
    say(
        &mut lines,
        Request::Restart(StartParams {
            refresh_env: true,
            force: true,
            seen_runs: [("jupyter".to_owned(), 6)].into(),
            ..start()
        }),
        &verb(ServiceOutcome::Failed, &words, &[]),
    );
    say(&mut lines, Request::Adopt(start()), &verb(ServiceOutcome::Absent, &[], &[]));
    let stop = StopParams {
        root: "/home/ada/ws".into(),
        services: vec!["jupyter".into()],
        no_wait: false,
        timeout_ms: Some(30_000),
        force: false,
        when_idle: true,
        all_processes: false,
    };
    let lost = ["a.ipynb: kernel python3 is busy"];
    say(&mut lines, Request::Stop(stop), &verb(ServiceOutcome::Busy, &[], &lost));
    say(&mut lines, Request::Status(root.clone()), &snapshot());
    say(&mut lines, Request::Subscribe(StatusParams { details: true, ..root }), &snapshot());
    let asked = DetailsParams { root: Some("/home/ada/ws".into()), services: vec!["jupyter".into()] };
    say(&mut lines, Request::Details(asked), &details());
    let about = WhyParams { root: "/home/ada/ws".into(), service: "jupyter".into() };
    say(&mut lines, Request::Why(about), &why());
    let capture = CaptureParams {
        root: "/home/ada/ws".into(),
        env: [("PATH".to_owned(), Text::from("/usr/bin"))].into(),
        services: vec!["jupyter".into()],
    };
    say(&mut lines, Request::Capture(capture), &verb(ServiceOutcome::Accepted, &[], &[]));
    say(&mut lines, Request::DaemonStop, &json!({}));
    say(&mut lines, Request::DaemonHandover, &json!({}));
    let forgotten = ForgetAnswer { id: "ws-8c5f9a1b2c3d4e5f".into(), root: Some("/home/ada/ws".into()) };
    say(&mut lines, Request::Forget(ForgetParams { root: "/home/ada/ws".into() }), &forgotten);
    lines.push(notification_line("status.changed", &snapshot()).unwrap());
    let no = ErrorObject::new(
        code::UNKNOWN_NAME,
        "no service `serve` in /home/ada/ws; it has: jupyter, server. Try: pipctl status",
    );
    lines.push(error_line(&"a".into(), &no).unwrap());
    lines
}

fn say<T: Serialize>(lines: &mut Vec<Vec<u8>>, request: Request, answer: &T) {
    let id = lines.len() as u64 / 2 + 1;
    lines.push(request_line(id, &request).unwrap());
    lines.push(response_line(&id.into(), answer).unwrap());
}

fn daemon() -> DaemonInfo {
    DaemonInfo {
        version: "0.1.0".into(),
        pid: 4100,
        exe: Some("/home/ada/.cargo/bin/pipd".into()),
        started_ms: 1_769_860_000_000,
        state_dir: Some("/home/ada/.local/state/pipd/hosts/0123456789ab".into()),
        manager: "none".into(),
    }
}

fn start() -> StartParams {
    let service = json!({
        "name": "jupyter",
        "kind": "jupyter",
        "argv": [".venv/bin/python", "-m", "jupyterlab", "--port={port}", "--no-browser"],
        "cwd": "/home/ada/ws",
        "env": { "PYTHONUNBUFFERED": "1", "PORT": null },
        "env_files": ["/home/ada/ws/.env"],
        "port": { "fixed": 8888 },
        "ready": { "check": { "http": { "path": "/api", "status": null } }, "any_owner": false, "timeout_ms": 60_000 },
        "after": ["database"],
        "url_path": "/lab",
        "watch": ["/home/ada/ws/pipd.toml"],
        "found": "jupyterlab is installed in .venv",
        "warnings": []
    });
    StartParams {
        workspace: WorkspaceSpec {
            root: "/home/ada/ws".into(),
            env: [("PATH".to_owned(), Text::from("/usr/bin"))].into(),
            services: vec![serde_json::from_value(service).unwrap()],
            notes: vec!["Python is .venv/bin/python".into()],
            warnings: Vec::new(),
            depends: vec![ollama()],
        },
        services: vec!["jupyter".into()],
        no_wait: false,
        timeout_ms: Some(30_000),
        refresh_env: false,
        force: false,
        port: None,
        takeover: false,
        takeover_pids: Vec::new(),
        seen_runs: Default::default(),
        when_idle: false,
    }
}

fn ollama() -> DependSpec {
    DependSpec { name: "ollama".into(), url: "http://localhost:11434".into() }
}

fn service() -> ServiceView {
    ServiceView {
        name: "jupyter".into(),
        kind: Kind::Jupyter,
        owner: Owner::Managed,
        goal: Goal::Up,
        phase: Phase::Ready,
        detail: Some("for people".into()),
        hint: Some("pipctl why jupyter".into()),
        since_ms: 1_769_860_801_000,
        run: Some(7),
        pid: Some(4211),
        shim_pid: Some(4210),
        shim_version: Some("0.0.9".into()),
        started_ms: Some(1_769_860_800_000),
        port: Some(8888),
        address: Some("http://127.0.0.1:8888/lab".into()),
        url: Some("http://127.0.0.1:8888/lab?token=5eed".into()),
        restarts: 1,
        next_try_ms: Some(1_769_860_805_000),
        last_exit: Some(exit(ExitCause::Signal(9))),
        holders: vec![HolderView {
            address: "127.0.0.1:8888".into(),
            pid: Some(3000),
            user: Some("bob".into()),
            command: Some("python3 -m http.server 8888".into()),
            cwd: Some("/srv".into()),
            since_ms: Some(1_769_860_000_000),
            service: None,
            owner: Owner::External,
            from: Some("Cursor, terminal pts/3".into()),
        }],
        jupyter: Some(jupyter()),
        log_dir: Some("/home/ada/.local/state/pipd/log".into()),
        warnings: vec!["runs as root: --allow-root".into()],
        choices: vec!["kill 3000   (then this one starts by itself)".into()],
    }
}

fn jupyter() -> JupyterView {
    JupyterView {
        at_ms: 1_769_860_801_500,
        silent: None,
        kernels: vec![KernelView {
            id: "5eedc0ff-ee00".into(),
            name: "python3".into(),
            notebook: Some("train.ipynb".into()),
            state: "busy".into(),
            last_activity_ms: Some(1_769_860_801_400),
            connections: Some(1),
            pid: Some(4300),
            memory_bytes: Some(1_363_148_800),
        }],
        terminals: vec![TerminalView { pid: 4400, command: "vim notes.md".into() }],
        killed: vec![KernelEnd {
            id: "5eedc0ff-ee00".into(),
            notebook: Some("train.ipynb".into()),
            pid: 4290,
            at_ms: 1_769_860_790_000,
            cause: ExitCause::Signal(9),
            out_of_memory: Some(true),
        }],
    }
}

fn details() -> DetailsAnswer {
    DetailsAnswer {
        at_ms: 1_769_860_802_000,
        memory: Some(MemoryView {
            total_bytes: 17_179_869_184,
            available_bytes: 2_684_354_560,
            stalled_percent: Some(0),
        }),
        services: vec![ServiceDetails {
            root: Some("/home/ada/ws".into()),
            name: "jupyter".into(),
            run: Some(7),
            tree: Some(TreeView {
                at_ms: 1_769_860_801_900,
                processes: 5,
                memory_bytes: 1_468_006_400,
                memory_kind: MemoryKind::Pss,
                cpu_ms: 12_340,
                cpu_percent: Some(98),
                cpu_over_ms: Some(2_000),
            }),
            listening: Some(ListeningView {
                at_ms: 1_769_860_801_900,
                addresses: vec!["127.0.0.1:8888".into(), "[::1]:8888".into()],
            }),
            jupyter: Some(jupyter()),
        }],
    }
}

/// As little as a service can say.
fn named() -> ServiceView {
    serde_json::from_value(json!({ "name": "jupyter", "goal": "up", "phase": "ready" })).unwrap()
}

fn exit(cause: ExitCause) -> ExitView {
    let cause_is_kill = cause == ExitCause::Signal(9);
    ExitView {
        cause,
        at_ms: 1_769_860_799_000,
        uptime_ms: 3_500,
        asked: false,
        out_of_memory: (cause_is_kill).then_some(true),
        swept: vec!["python -m ipykernel_launcher".into()],
        left_running: vec!["tmux".into()],
    }
}

fn verb(outcome: ServiceOutcome, last_words: &[&str], would_lose: &[&str]) -> VerbAnswer {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let result = ServiceResult {
        outcome,
        service: named(),
        last_words: texts(last_words),
        would_lose: texts(would_lose),
    };
    VerbAnswer { services: vec![result] }
}

fn snapshot() -> Snapshot {
    Snapshot {
        generation: 12,
        at_ms: 1_769_860_802_000,
        warnings: vec!["not persistent: /home/ada/.local/state is read-only".into()],
        workspaces: vec![WorkspaceView {
            id: "ws-8c5f9a1b2c3d4e5f".into(),
            root: Some("/home/ada/ws".into()),
            gone: false,
            former: vec!["/home/ada/workspace".into()],
            services: vec![service()],
            warnings: Vec::new(),
            depends: vec![ollama()],
        }],
    }
}

fn why() -> WhyAnswer {
    let run = |run, cause, last_words: &[&str]| RunView {
        run,
        started_ms: Some(1_769_860_795_500),
        pid: Some(4100),
        exit: Some(exit(cause)),
        last_words: last_words.iter().map(|&word| word.to_owned()).collect(),
    };
    let failed = ExitCause::ExecFailed { message: ".venv/bin/python: not found".into(), errno: 2 };
    WhyAnswer {
        service: named(),
        runs: vec![
            run(4, ExitCause::Code(1), &["ImportError: no x"]),
            run(5, failed, &[]),
            run(6, ExitCause::Unknown, &[]),
        ],
        next: "it is restarted when it ends with a failure".into(),
    }
}

#[test]
fn this_version_writes_its_golden_file() {
    let path = folder().join(format!("{}.jsonl", env!("CARGO_PKG_VERSION")));
    let written: Vec<u8> = conversation().concat();
    if std::env::var_os("PIPD_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let golden = std::fs::read(&path).unwrap_or_default();
    let (golden, written) = (String::from_utf8_lossy(&golden), String::from_utf8_lossy(&written));
    for (golden, written) in golden.lines().zip(written.lines()) {
        assert_eq!(golden, written, "the wire changed; if on purpose: PIPD_UPDATE_GOLDEN=1");
    }
    assert_eq!(golden.lines().count(), written.lines().count());
}

#[test]
fn every_released_conversation_is_still_understood() {
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut asked: HashMap<String, String> = HashMap::new();
        for line in text.lines() {
            match decode(line.as_bytes())
                .unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()))
            {
                Frame::Request(frame) => {
                    let value: Value = serde_json::from_str(line).unwrap();
                    asked.insert(frame.id.to_string(), value["method"].as_str().unwrap().to_owned());
                }
                Frame::Notification(notification) => {
                    assert_eq!(notification.method, "status.changed");
                    read::<Snapshot>(notification.params);
                }
                Frame::Response(answer) if answer.error.is_some() => {}
                Frame::Response(answer) => {
                    let result = answer.result.unwrap();
                    match asked[&answer.id.to_string()].as_str() {
                        "hello" => drop(read::<HelloAnswer>(result)),
                        "start" | "stop" | "restart" | "adopt" | "environment.capture" => {
                            drop(read::<VerbAnswer>(result))
                        }
                        "status" | "subscribe" => drop(read::<Snapshot>(result)),
                        "service.details" => drop(read::<DetailsAnswer>(result)),
                        "why" => drop(read::<WhyAnswer>(result)),
                        "workspace.forget" => drop(read::<ForgetAnswer>(result)),
                        "daemon.stop" | "daemon.handover" => assert_eq!(result.text(), "{}"),
                        method => panic!("no type for the answer to {method}"),
                    }
                }
            }
        }
    }
}

/// Reads a value and proves that nothing known was lost: what is written again is what was read.
fn read<T: DeserializeOwned + Serialize>(raw: Raw) -> T {
    let value: Value = raw.read().unwrap();
    let read: T = raw.read().unwrap_or_else(|error| panic!("{error}: {value}"));
    let again = serde_json::to_value(&read).unwrap();
    includes(&again, &value);
    read
}

/// Later versions may add fields; every one that was there must still be there.
fn includes(new: &Value, old: &Value) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (name, value) in old {
                includes(new.get(name).unwrap_or_else(|| panic!("`{name}` is gone")), value);
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            assert_eq!(new.len(), old.len());
            new.iter().zip(old).for_each(|(new, old)| includes(new, old));
        }
        (new, old) => assert_eq!(new, old),
    }
}

/// A newer peer's fields, phases and outcomes are no reason to fail.
#[test]
fn what_a_newer_daemon_adds_is_ignored() {
    let text = r#"{"generation":1,"moon":"full","workspaces":[{"id":"x","root":"/x","services":[
        {"name":"a","goal":"up","phase":"hibernating","kind":"quantum","owner":"cloud","colour":"red"}]}]}"#;
    let snapshot: Snapshot = serde_json::from_str(text).unwrap();
    let service = &snapshot.workspaces[0].services[0];
    assert_eq!((service.phase, service.kind, service.owner), (Phase::Unknown, Kind::Command, Owner::Foreign));
    let outcome: ServiceOutcome = serde_json::from_str("\"teleported\"").unwrap();
    assert_eq!(outcome, ServiceOutcome::Unknown);
}

/// The examples of the protocol's page are the golden ones: each stands in a block behind its marker,
/// `<!-- golden: status answer -->`.
#[test]
fn the_page_shows_the_golden_messages() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let expected = with_examples(&page);
    if std::env::var_os("PIPD_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &expected).unwrap();
    } else {
        assert!(page == expected, "docs/protocol.md is out of date: PIPD_UPDATE_GOLDEN=1");
    }
    for method in METHODS {
        assert!(page.contains(&format!("<!-- golden: {method} request -->")), "no example of {method}");
    }
}

const METHODS: [&str; 13] = [
    "hello",
    "start",
    "restart",
    "adopt",
    "stop",
    "status",
    "subscribe",
    "service.details",
    "why",
    "environment.capture",
    "daemon.stop",
    "daemon.handover",
    "workspace.forget",
];

fn with_examples(page: &str) -> String {
    let lines = conversation();
    let example = |name: &str| -> Vec<u8> {
        let (method, part) = name.split_once(' ').unwrap_or((name, ""));
        let at = METHODS.iter().position(|known| *known == method).map(|at| at * 2);
        let index = match (method, part) {
            ("status.changed", _) => METHODS.len() * 2,
            ("error", _) => METHODS.len() * 2 + 1,
            (_, "request") => at.unwrap_or_else(|| panic!("no method {method}")),
            _ => at.unwrap_or_else(|| panic!("no method {method}")) + 1,
        };
        lines[index].clone()
    };
    let mut text = String::new();
    let mut rest = page.lines();
    while let Some(line) = rest.next() {
        text.push_str(line);
        text.push('\n');
        let Some(name) = line.strip_prefix("<!-- golden: ").and_then(|line| line.strip_suffix(" -->")) else {
            continue;
        };
        text.push_str(&fence(&example(name)));
        // The old block goes.
        assert_eq!(rest.next(), Some("```json"), "a block must follow {line}");
        assert!(rest.by_ref().any(|line| line == "```"), "the block after {line} has no end");
    }
    text
}

/// Short messages as they travel, long ones indented for people.
fn fence(line: &[u8]) -> String {
    let line = std::str::from_utf8(line).unwrap().trim_end();
    if line.len() <= 240 {
        return format!("```json\n{line}\n```\n");
    }
    let value: Value = serde_json::from_str(line).unwrap();
    format!("```json\n{}\n```\n", serde_json::to_string_pretty(&value).unwrap())
}
