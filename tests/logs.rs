//! What services print: every line once, in bounds, with the streams apart.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use testkit::{LONG, SHORT, Sandbox, Workspace, kill, sandbox, skip, until};
use wire::{ExitCause, Phase};

fn printing<'a>(sandbox: &'a Sandbox, name: &str, arguments: &str, keys: &str) -> Workspace<'a> {
    let workspace = sandbox.workspace(name);
    workspace.stub_service("job", arguments, &format!("ready = \"none\"\n{keys}"));
    workspace
}

fn numbers(lines: &[String]) -> Vec<u64> {
    lines.iter().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect()
}

#[test]
fn both_streams_are_kept_apart_and_runs_are_marked() {
    let sandbox = sandbox!();
    let workspace = printing(&sandbox, "streams", "--print 100 --print-err 50", "");
    workspace.pipctl(&["start"]).ok();
    let stream = |name: &str| -> Vec<String> {
        workspace
            .log_lines("job")
            .into_iter()
            .filter(|line| line.stream == name)
            .map(|line| line.text)
            .collect()
    };
    until("150 lines", SHORT, || {
        numbers(&stream("stdout")).len() == 100 && numbers(&stream("stderr")).len() == 50
    });
    assert_eq!(numbers(&stream("stdout")), (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(&stream("stderr")), (0..50).collect::<Vec<_>>());
    for line in workspace.log_lines("job") {
        assert!(line.time.ends_with('Z') || line.time.contains('+'), "{line:?}");
        assert!(line.tag == "F" || line.tag == "P", "{line:?}");
    }

    let only = |arguments: &[&str]| workspace.pipctl(&[&["logs", "job"], arguments].concat()).ok().stdout;
    assert_eq!(only(&["--stream", "stderr"]).lines().filter(|line| line.contains("line ")).count(), 50);
    let last = only(&["-n", "3", "--stream", "stdout"]);
    assert_eq!(last.lines().count(), 3, "{last}");
    assert!(last.lines().last().unwrap().contains("line 99"), "{last}");
    assert_eq!(only(&["--since", "1h"]).matches("line ").count(), 150);
    workspace.pipctl(&["restart"]).ok();
    until("the lines of a second run", SHORT, || numbers(&stream("stdout")).len() == 200);
    let marks = workspace
        .log_lines("job")
        .iter()
        .filter(|line| line.stream != "stdout" && line.stream != "stderr")
        .count();
    assert!(marks >= 2, "no mark between the runs");
}

#[test]
fn the_log_is_readable_without_a_daemon() {
    let sandbox = sandbox!();
    let workspace = printing(&sandbox, "asleep", "--say 'still here'", "");
    workspace.pipctl(&["start"]).ok();
    until("the line", SHORT, || !workspace.stdout_lines("job").is_empty());
    sandbox.pipctl(&["daemon", "stop"]).ok();
    workspace.pipctl(&["logs"]).ok().says("still here");
    sandbox.pipctl(&["daemon", "start"]).ok();
}

#[test]
fn case_81_files_are_bounded_and_what_is_kept_has_no_gap() {
    let sandbox = sandbox!();
    let workspace =
        printing(&sandbox, "bounded", "--print 50000", "logs = { file_size = \"64KiB\", files = 3 }");
    workspace.pipctl(&["start"]).ok();
    until("the last line", LONG, || numbers(&workspace.stdout_lines("job")).last() == Some(&49_999));
    let kept = numbers(&workspace.stdout_lines("job"));
    assert!(kept.len() > 1_000, "only {} lines kept", kept.len());
    assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap in what was kept");
    let folder = workspace.service("job").log_dir.unwrap();
    let total: u64 = std::fs::read_dir(folder.as_path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "log"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert!(total <= 3 * (64 << 10), "{total} bytes on disk");
}

#[test]
fn case_85_last_words_are_complete_and_come_before_the_end() {
    let sandbox = sandbox!();
    let workspace = printing(
        &sandbox,
        "words",
        "--exit-after 300 --exit-code 3 --last-words 65548",
        "restart = \"never\"",
    );
    workspace.pipctl(&["start"]);
    let service = workspace.await_service("job", "the end", |now| now.last_exit.is_some());
    assert_eq!(service.last_exit.unwrap().cause, ExitCause::Code(3));
    // No waiting here: when the end is known, the words are there.
    let words: Vec<String> =
        workspace.stdout_lines("job").into_iter().filter(|line| line.starts_with("word ")).collect();
    assert_eq!(words.len(), 65_548 / 14);
    for (number, word) in words.iter().enumerate() {
        assert_eq!(*word, format!("word {number:08}"));
    }
}

#[test]
fn case_82_a_line_without_an_end_stays_bounded_and_whole() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("endless");
    workspace.config(
        "[services.job]\ncommand = [\"python3\", \"-c\", \"import sys, time; \
         sys.stdout.write('x' * 3000000 + '\\\\n' + 'after\\\\n'); sys.stdout.flush(); time.sleep(1000)\"]\nready = \"none\"\n",
    );
    workspace.pipctl(&["start"]).ok();
    until("what comes after", LONG, || workspace.stdout_lines("job").iter().any(|line| line == "after"));
    let lines = workspace.log_lines("job");
    let parts: Vec<_> = lines.iter().filter(|line| line.text.starts_with('x')).collect();
    assert_eq!(parts.iter().map(|part| part.text.len()).sum::<usize>(), 3_000_000);
    assert!(parts.iter().rev().skip(1).all(|part| part.tag == "P"));
    assert_eq!(parts.last().unwrap().tag, "F");
}

#[test]
fn case_83_bytes_that_are_not_text_are_kept() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("bytes");
    workspace.config(
        "[services.job]\ncommand = [\"python3\", \"-c\", \"import sys, time; \
         sys.stdout.buffer.write(bytes(range(1, 256)).replace(b'\\\\n', b'') + b'\\\\n'); sys.stdout.flush(); time.sleep(1000)\"]\n\
         ready = \"none\"\n",
    );
    workspace.pipctl(&["start"]).ok();
    let wanted: Vec<u8> = (1..=255).filter(|&byte| byte != b'\n').collect();
    let folder = workspace.service("job").log_dir.unwrap();
    until("the bytes", SHORT, || {
        std::fs::read_dir(folder.as_path()).unwrap().flatten().any(|entry| {
            std::fs::read(entry.path()).unwrap().windows(wanted.len()).any(|window| window == wanted)
        })
    });
    workspace.pipctl(&["logs"]).ok();
}

#[test]
fn case_87_following_goes_on_over_rotation_restart_and_a_killed_daemon() {
    let sandbox = sandbox!();
    let workspace = printing(&sandbox, "follow", "--tick 5", "logs = { file_size = \"8KiB\", files = 4 }");
    workspace.pipctl(&["start"]).ok();
    let mut follow = workspace.command(sandbox.program());
    follow
        .args(["logs", "job", "-f", "-n", "1", "--stream", "stdout"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut follow = follow.spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = || {
        let line = lines.next().unwrap().unwrap();
        line.split_once("tick ").map(|(_, number)| number.trim().parse::<u64>().unwrap())
    };
    let first = (0..100).find_map(|_| next()).expect("a tick");
    let mut seen = first;
    let mut follow_for = |count: u64| {
        let end = seen + count;
        while seen < end {
            let Some(tick) = next() else { continue };
            assert_eq!(tick, seen + 1, "logs -f jumps");
            seen = tick;
        }
    };
    // Some 40 bytes a line: several files.
    follow_for(400);
    let old = sandbox.kill_daemon();
    follow_for(200);
    sandbox.await_daemon(old);
    kill(workspace.service("job").shim_pid.unwrap());
    follow_for(200);
    let _ = follow.kill();
    let _ = follow.wait();
}

#[test]
fn case_36_a_full_disk_costs_lines_and_never_the_service() {
    if !std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs none /mnt"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        skip!("needs root for a file system of its own");
    }
    let sandbox = sandbox!();
    sandbox.expect_errors();
    let port = sandbox.port();
    let workspace = sandbox.workspace("full");
    workspace.stub_service(
        "web",
        &format!("--listen {port} --tick 1"),
        &format!("port = {port}\nlogs = {{ file_size = \"1MiB\", files = 3 }}"),
    );
    let script = workspace.path("script.py");
    std::fs::write(&script, FULL_DISK).unwrap();
    let mut command = workspace.command("unshare");
    let state = sandbox.state();
    std::fs::create_dir_all(&state).unwrap();
    command.args([
        "--mount",
        "sh",
        "-c",
        &format!(
            "mount -t tmpfs -o size=8m,mode=700 none {} && exec python3 {} {} {port} {}",
            state.display(),
            script.display(),
            sandbox.program().display(),
            state.display()
        ),
    ]);
    workspace.run(command, 2 * LONG).ok().says("everything held");
}

/// Runs where the state folder is a small file system of its own.
const FULL_DISK: &str = r#"
import os, subprocess, sys, time, urllib.request

pipctl, port, state = sys.argv[1:]


def call(*arguments):
    return subprocess.run([pipctl, *arguments], capture_output=True, text=True, timeout=60)


def answers():
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
        return answer.read()


def ticks():
    return [int(line.split("tick ")[1]) for line in call("logs", "web").stdout.splitlines() if "tick " in line]


def until(what, condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


started = call("start")
assert started.returncode == 0, started
before = answers()
filler = os.path.join(state, "filler")
with open(filler, "wb") as file:
    try:
        while True:
            file.write(b"x" * 65536)
            file.flush()
    except OSError:
        pass
full = time.monotonic()
while time.monotonic() < full + 5:
    assert answers() == before, "the service is another one"
    time.sleep(0.1)
assert call("status").returncode == 0
last = ticks()[-1]
os.unlink(filler)
until("lines after the disk has room again", lambda: ticks()[-1] > last + 1000)
assert answers() == before
assert call("stop").returncode == 0
call("daemon", "stop")
print("everything held")
"#;

#[test]
fn pipds_questions_are_left_out_where_a_server_logs_no_ports() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("portless");
    workspace.config(&format!(
        "[services.files]\ncommand = [\"python3\", \"-u\", \"-m\", \"http.server\", \"{port}\"]\nport = {port}\n"
    ));
    workspace.pipctl(&["start"]).ok();
    let requests = |arguments: &[&str]| {
        let shown = workspace.pipctl(&[&["logs", "files"], arguments].concat()).ok().stdout;
        let lines = shown.lines().filter(|line| line.contains("\"GET / HTTP/")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    until("pipd's question in the log", SHORT, || !requests(&["--probes"]).is_empty());
    assert_eq!(requests(&[]), [] as [&str; 0], "{:?}", requests(&["--probes"]));
    let own = requests(&["--probes"]).len();
    // The same by a person's program.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    std::io::Read::read_to_end(&mut stream, &mut Vec::new()).unwrap();
    until("the person's question in the log", SHORT, || requests(&["--probes"]).len() == own + 1);
    assert_eq!(requests(&[]).len(), 1);
    assert_eq!(requests(&["-n", "50"]).len(), 1);
}

#[test]
fn a_printing_service_is_ready_whatever_it_prints() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("flood");
    workspace.stub_service(
        "web",
        &format!("--listen {port} --flood"),
        &format!("port = {port}\nlogs = {{ file_size = \"1MiB\", files = 2 }}"),
    );
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    let stopped = workspace.pipctl(&["stop"]).ok();
    assert!(stopped.took < std::time::Duration::from_secs(10), "{stopped}");
    let kept: Vec<u64> = workspace
        .stdout_lines("web")
        .iter()
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .collect();
    // The last line may be cut off by the end.
    assert!(kept[..kept.len() - 1].windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap in what was kept");
}
