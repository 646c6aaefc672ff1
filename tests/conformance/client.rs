//! Clients that behave badly, many of them, old and new ones.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::{LONG, SHORT, Sandbox, Workspace, sandbox, until};
use wire::Phase;

use crate::world::{Chance, assert_ticks, births, pair, pass, serves_once, setting};

const HELLO: &str =
    r#"{"jsonrpc":"2.0","id":0,"method":"hello","params":{"protocol":{"min":1,"max":1},"client":"test"}}"#;

fn connect(sandbox: &Sandbox) -> UnixStream {
    let stream = UnixStream::connect(sandbox.host().join("pipd.sock")).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn line(stream: &UnixStream) -> Option<Value> {
    let mut line = String::new();
    BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn greeted(sandbox: &Sandbox) -> UnixStream {
    let mut stream = connect(sandbox);
    writeln!(stream, "{HELLO}").unwrap();
    assert!(line(&stream).unwrap()["result"]["protocol"].is_number());
    stream
}

/// How long `status` takes for somebody who behaves, the worst of a hundred left out.
fn status_time(sandbox: &Sandbox, times: usize) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|id| {
            let begun = Instant::now();
            let mut stream = greeted(sandbox);
            writeln!(stream, "{}", json!({"jsonrpc": "2.0", "id": id, "method": "status", "params": {}}))
                .unwrap();
            assert!(line(&stream).unwrap()["result"]["workspaces"].is_array());
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[(times * 99 / 100).min(times - 1)]
}

/// What somebody who behaves waits at most, ninety-nine times of a hundred.
const QUICK: Duration = Duration::from_millis(50);
/// How often that is measured: this machine is shared, and a moment at which others have it is not the daemon's. A daemon
/// that is held up is so each time.
const MEASURED: usize = 8;

#[track_caller]
fn assert_quick(sandbox: &Sandbox) {
    let mut took = Vec::new();
    while took.len() < MEASURED && took.last().is_none_or(|&last| last >= QUICK) {
        took.push(status_time(sandbox, 100));
    }
    println!("99 of 100 status within {took:?}");
    assert!(took.last().is_some_and(|&last| last < QUICK), "99 of 100 status took {took:?}");
}
/// What strangers may cost, in KiB.
const MEMORY: u64 = 8 << 10;

fn undisturbed(sandbox: &Sandbox, act: impl FnOnce(&Sandbox, &Workspace)) {
    let port = sandbox.port();
    let workspace = pair(sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    status_time(sandbox, 50);
    let before = (sandbox.daemon(), workspace.pid("web"), workspace.pid("keep"));
    let memory = sandbox.memory(before.0);
    act(sandbox, &workspace);
    assert_eq!((sandbox.daemon(), workspace.pid("web"), workspace.pid("keep")), before);
    until("the memory to be given back", LONG, || sandbox.memory(before.0) < memory + MEMORY);
}

#[test]
fn case_53_54_random_bytes_cost_nothing() {
    let sandbox = sandbox!();
    undisturbed(&sandbox, |sandbox, _| {
        let mut chance = Chance::new("PIPD_TEST_SEED");
        for round in 0..20 {
            let mut stream = connect(sandbox);
            let mut bytes: Vec<u8> = (0..1 << 20).map(|_| chance.below(256) as u8).collect();
            if round % 2 == 0 {
                bytes.retain(|&byte| byte != b'\n');
            }
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
}

#[test]
fn case_55_what_is_not_json_enough_gets_a_typed_error() {
    let sandbox = sandbox!();
    undisturbed(&sandbox, |sandbox, workspace| {
        let deep = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"status","params":{}1{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let root = workspace.root().display();
        let lines = [
            deep,
            r#"{"jsonrpc":"2.0","id":1,"method":"status","id":2,"method":"stop"}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1e308,"method":"nothing"}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":1,"method":"stop","params":{"root":"\u0000"}}"#.to_owned(),
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"stop","params":{{"root":"{root}","services":7}}}}"#
            ),
            r#"{"jsonrpc":"1.0","id":1,"method":"status"}"#.to_owned(),
            "null".to_owned(),
            "\u{0}".to_owned(),
        ];
        for text in lines {
            let mut stream = greeted(sandbox);
            writeln!(stream, "{text}").unwrap();
            let answer = line(&stream).unwrap_or_else(|| panic!("no answer to {:.60}", text));
            assert!(
                answer["error"]["code"].is_number() || text.contains("\\u0000"),
                "{answer} to {:.60}",
                text
            );
        }
        let mut stream = greeted(sandbox);
        stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\xfe\"}\n").unwrap();
        let answer = line(&stream);
        assert!(answer.is_none_or(|answer| answer["error"]["code"].is_number()));
    });
}

#[test]
fn case_56_five_hundred_that_drip_are_in_nobodys_way() {
    let sandbox = sandbox!();
    undisturbed(&sandbox, |sandbox, _| {
        let mut slow: Vec<UnixStream> = (0..500).map(|_| connect(sandbox)).collect();
        let begun = Instant::now();
        for byte in &HELLO.as_bytes()[..3] {
            for stream in &mut slow {
                let _ = stream.write_all(&[*byte]);
            }
            assert_quick(sandbox);
        }
        // Each is left at its deadline.
        for mut stream in slow {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        }
        assert!(begun.elapsed() < Duration::from_secs(25), "left after {:?}", begun.elapsed());
    });
}

#[test]
fn case_57_a_thousand_idle_ones_leave_room_for_the_next() {
    let sandbox = sandbox!();
    let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 4096, 4096);
    undisturbed(&sandbox, |sandbox, workspace| {
        let idle: Vec<UnixStream> = (0..1_000).map(|_| greeted(sandbox)).collect();
        assert_quick(sandbox);
        // More than there is room for: who comes too late is turned away, and nobody else suffers.
        let late: Vec<UnixStream> = (0..1_000).map(|_| connect(sandbox)).collect();
        workspace.pipctl(&["daemon", "status"]);
        drop(late);
        drop(idle);
        until("room again", SHORT, || workspace.pipctl(&["status"]).code == 0);
        let other = sandbox.workspace("late");
        other.stub_service("late", "", "");
        other.pipctl(&["start"]).ok();
        other.pipctl(&["stop"]).ok();
    });
}

#[test]
fn case_58_half_closed_and_hung_up_are_let_go() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let daemon = sandbox.daemon();
    let open = || std::fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().count();
    let before = open();
    let status = json!({"jsonrpc": "2.0", "id": 1, "method": "status", "params": {}}).to_string();
    for _ in 0..50 {
        // Half-closed after the question: the answer still comes.
        let mut stream = greeted(&sandbox);
        writeln!(stream, "{status}").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(line(&stream).unwrap()["result"].is_object());
        // Gone before the answer.
        let mut stream = greeted(&sandbox);
        for _ in 0..20 {
            let _ = writeln!(stream, "{status}");
        }
    }
    until("everybody to be let go", SHORT, || open() <= before + 3);
    assert_quick(&sandbox);
    assert_eq!(workspace.service("web").phase, Phase::Ready);
}

/// A request cut off at any byte has no effect, or all of it.
#[test]
fn case_58_a_client_killed_at_every_byte_leaves_no_half_effect() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let before = workspace.pid("web");
    let root = workspace.root().display();
    let request = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"stop","params":{{"root":"{root}","services":["web"]}}}}"#
    );
    for cut in 0..request.len() {
        let mut stream = connect(&sandbox);
        stream.write_all(HELLO.as_bytes()).unwrap();
        stream.write_all(b"\n").unwrap();
        stream.write_all(&request.as_bytes()[..cut]).unwrap();
    }
    assert_quick(&sandbox);
    assert_eq!(workspace.pid("web"), before);
    let mut stream = connect(&sandbox);
    stream.write_all(format!("{HELLO}\n{request}\n").as_bytes()).unwrap();
    drop(stream);
    workspace.await_phase("web", Phase::Down);
}

#[test]
fn case_59_fifty_starts_at_once_are_one() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    sandbox.pipctl(&["daemon", "start"]).ok();
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut command = workspace.command(sandbox.program());
            command.args(["start", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut processes = std::collections::BTreeSet::new();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        for service in answer["services"].as_array().unwrap() {
            processes.insert(service["service"]["pid"].as_i64());
        }
    }
    assert_eq!((births(&workspace, "web").len(), births(&workspace, "keep").len()), (1, 1));
    assert_eq!(processes.len(), 2, "{processes:?}");
}

#[test]
fn case_60_an_editor_that_asks_all_the_time_costs_little() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let daemon = sandbox.daemon();
    let mut stream = greeted(&sandbox);
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let seconds: u64 = setting("PIPD_SOAK_POLL", 4);
    let (begun, busy) = (Instant::now(), sandbox.cpu_time(daemon));
    let mut text = String::new();
    for id in 0..200 * seconds {
        writeln!(stream, "{}", json!({"jsonrpc": "2.0", "id": id, "method": "status", "params": {}}))
            .unwrap();
        text.clear();
        answers.read_line(&mut text).unwrap();
        let due = Duration::from_millis(5 * (id + 1));
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    let (took, used) = (begun.elapsed(), sandbox.cpu_time(daemon) - busy);
    println!("200 status a second: {used:?} of processor time in {took:?}");
    // An unoptimized build takes a multiple of what is released.
    let share = if cfg!(debug_assertions) { 5 } else { 20 };
    assert!(used < took / share, "{used:?} in {took:?}");
    let before = workspace.pid("web");
    testkit::kill(before);
    until("another web", SHORT, || serves_once(&workspace, &port));
}

#[test]
fn case_63_old_and_new_clients_are_understood_or_told() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let greet = |min: u32, max: u32| {
        let mut stream = connect(&sandbox);
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "hello", "params":
            {"protocol": {"min": min, "max": max}, "client": "another", "of_a_later_version": [1]}});
        writeln!(stream, "{hello}").unwrap();
        (line(&stream).unwrap(), stream)
    };
    // One that knows more than we do, and one that knows nothing we know.
    let (answer, mut stream) = greet(1, 99);
    assert_eq!(answer["result"]["protocol"], 1);
    let (refused, _) = greet(98, 99);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("99") && message.contains("pipctl daemon restart"), "{message}");
    writeln!(stream, r#"{{"jsonrpc":"2.0","id":1,"method":"levitate","params":{{}}}}"#).unwrap();
    let unknown = line(&stream).unwrap();
    assert_eq!(unknown["error"]["code"], -32601);
    assert!(unknown["error"]["message"].as_str().unwrap().contains("levitate"), "{unknown}");
    writeln!(stream, r#"{{"jsonrpc":"2.0","id":2,"method":"status","params":{{"sorted_by":"age"}}}}"#)
        .unwrap();
    assert!(line(&stream).unwrap()["result"]["workspaces"].is_array());
}

#[test]
fn case_64_a_follower_that_stops_reading_stops_nobody_else() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("followed");
    workspace.stub_service("job", "--flood", "logs = { file_size = \"1MiB\", files = 3 }\nready = \"none\"");
    workspace.stub_service("keep", "--tick 5", "");
    workspace.pipctl(&["start"]).ok();
    let follow = |name: &str| {
        let mut command = workspace.command(sandbox.program());
        command.args(["logs", name, "-f"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    // This one is never read from, the other one always.
    let (mut deaf, mut other) = (follow("job"), follow("keep"));
    pass(Duration::from_secs(1));
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    for _ in 0..100 {
        assert!(lines.next().is_some());
    }
    assert_ticks(&workspace.stdout_lines("keep"));
    let folder = workspace.service("job").log_dir.unwrap();
    let newest =
        || std::fs::read_dir(folder.as_path()).unwrap().flatten().map(|entry| entry.file_name()).max();
    let before = newest();
    until("the flood to go on", SHORT, || newest() != before);
    for child in [&mut deaf, &mut other] {
        let _ = child.kill();
        child.wait().unwrap();
    }
    workspace.pipctl(&["stop"]).ok();
}
