//! `pipctl doctor`: what keeps a workspace from running is named, with the command that mends it, within three seconds.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::{Finished, LONG, Sandbox, Workspace, exit};

/// No check may make anybody wait longer than three seconds (`BUDGET` of `doctor`); the machine that runs the tests may be
/// busy with other things.
const BOUND: Duration = Duration::from_secs(10);

fn venv(workspace: &Workspace<'_>) {
    let mut command = workspace.command("python3");
    command.args(["-m", "venv", ".venv"]);
    workspace.run(command, LONG * 3).ok();
}

/// The findings of one check: level, text, command.
fn findings(finished: &Finished, check: &str) -> Vec<(String, String, String)> {
    let report: Value = finished.json();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = report["findings"].as_array().unwrap();
    let found = all.iter().filter(|finding| finding["check"] == check);
    found.map(|f| (word(&f["level"]), word(&f["text"]), word(&f["command"]))).collect()
}

#[track_caller]
fn finding(finished: &Finished, check: &str, text: &str) -> (String, String, String) {
    let all = findings(finished, check);
    let found = all.iter().find(|(_, said, _)| said.contains(text));
    found.cloned().unwrap_or_else(|| panic!("{check}: {text:?} expected in {all:#?} of {finished}"))
}

/// A package as an installer leaves it, and a module.
fn package(workspace: &Workspace<'_>, name: &str, version: &str, requires: &str, source: &str) {
    let site = std::fs::read_dir(workspace.path(".venv/lib")).unwrap().next().unwrap().unwrap().path();
    let site = site.join("site-packages");
    let info = site.join(format!("{name}-{version}.dist-info"));
    std::fs::create_dir_all(&info).unwrap();
    let requires = if requires.is_empty() { String::new() } else { format!("Requires-Dist: {requires}\n") };
    let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}\n");
    std::fs::write(info.join("METADATA"), text).unwrap();
    std::fs::write(site.join(format!("{name}.py")), source).unwrap();
}

#[test]
fn packages_and_imports_are_looked_at_with_the_interpreter_itself() {
    let sandbox = testkit::sandbox!();
    let workspace = sandbox.workspace("w");
    workspace.stub_service("web", "", "");
    venv(&workspace);
    package(&workspace, "one", "1.2", "four>=1", "");
    package(&workspace, "two", "1.0", "", "");
    package(
        &workspace,
        "broken",
        "1.0",
        "",
        "raise ImportError('libx.so: cannot open shared object file')\n",
    );
    package(&workspace, "deadly", "1.0", "", "import os\nos._exit(9)\n");
    workspace
        .write("more.txt", "two>=2  # newer\nthree ; python_version < '3'\n")
        .write("requirements.txt", "one==1.2\n-r more.txt\n--index-url https://example.invalid\nbroken\n")
        .config("[doctor]\nimports = [\"one\", \"broken\", \"absent\", \"deadly\"]\n");
    let seen = workspace.pipctl(&["doctor", "--json"]).expect(exit::BLOCKED);
    assert!(seen.took < BOUND, "{seen}");
    let (level, text, command) = finding(&seen, "requirements", "packages");
    assert_eq!((level.as_str(), command.as_str()), ("problem", "pipctl setup"), "{text}");
    assert!(text.starts_with("4 packages, 1 missing: four>=1 (by one)"), "{text}");
    assert!(text.contains("1 in another version: two 1.0, wanted two>=2"), "{text}");
    let broken = finding(&seen, "imports", "broken is installed and cannot be imported");
    assert!(broken.1.contains("libx.so") && broken.2.contains("pipctl env refresh"), "{broken:?}");
    assert_eq!(finding(&seen, "imports", "absent is not installed").0, "problem");
    finding(&seen, "imports", "importing deadly ends Python itself");
    assert_eq!(finding(&seen, "imports", "one").0, "ok");
}

#[test]
fn an_environment_that_cannot_run_is_told_from_one_that_was_moved() {
    let sandbox = testkit::sandbox!();
    let gone = sandbox.workspace("gone");
    gone.write("server.py", "from fasthtml.common import *\nserve()\n");
    symlink("/nix/store/0000000000-python3-env", gone.path(".venv")).unwrap();
    let seen = gone.pipctl(&["doctor", "--json"]).expect(exit::BLOCKED);
    let (level, text, command) = finding(&seen, "interpreter", "/nix/store/0000000000-python3-env");
    assert_eq!((level.as_str(), command.as_str()), ("problem", "pipctl setup"), "{text}");

    let first = sandbox.workspace("first");
    venv(&first);
    let moved = sandbox.folder().join("w/moved");
    std::fs::rename(first.root(), &moved).unwrap();
    let moved = sandbox.adopt_workspace(moved);
    moved.stub_service("web", "", "");
    let seen = moved.pipctl(&["doctor", "--json"]).ok();
    let (level, text, _) = finding(&seen, "interpreter", "was made as");
    assert!(level == "warning" && text.contains("w/first/.venv"), "{text}");
}

#[test]
fn a_port_that_is_held_names_its_holder_and_a_managed_one_how_to_stop_it() {
    let sandbox = testkit::sandbox!();
    let (taken, shared) = (sandbox.port(), sandbox.port());
    let one = sandbox.workspace("one");
    one.stub_service("web", &format!("--listen {shared}"), &format!("port = {shared}"));
    one.pipctl(&["start"]).ok();
    let listener = TcpListener::bind(("127.0.0.1", taken.number())).unwrap();
    let other = sandbox.workspace("other");
    other.config(&format!(
        "[services.a]\ncommand = [\"true\"]\nport = {taken}\n[services.b]\ncommand = [\"true\"]\nport = {shared}\n"
    ));
    let seen = other.pipctl(&["doctor", "--json"]).expect(exit::BLOCKED);
    let (_, text, command) = finding(&seen, "ports", &format!("port {taken} of a"));
    let own = format!("pid {}", std::process::id());
    assert!(text.contains(&own) && command.starts_with(&format!("kill {}", std::process::id())), "{text}");
    let (_, _, command) = finding(&seen, "ports", &format!("port {shared} of b"));
    assert_eq!(command, format!("pipctl stop web -w {}", one.root().display()));
    drop(listener);
    // In its own workspace the same port is nothing to speak of.
    let well = one.pipctl(&["doctor", "--json"]).ok();
    assert!(findings(&well, "ports").is_empty(), "{well}");
    finding(&well, "services", "1 of 1 up");
}

#[test]
fn what_fails_and_what_overrides_is_named() {
    let sandbox = testkit::sandbox!();
    let workspace = sandbox.workspace("w");
    workspace.stub_service("bad", "--exit-code 3 --exit-after 0", "");
    workspace.pipctl(&["start"]);
    workspace.await_phase("bad", wire::Phase::Backoff);
    let seen = workspace.pipctl(&["doctor"]).expect(exit::BLOCKED);
    let seen = seen.says("bad: fails, and is tried again (exit code 3)").says("→ pipctl why bad");
    assert!(seen.stdout.contains("1 problem"), "{seen}");
    workspace.write("pipd.toml", "[services.bad\n");
    workspace.pipctl(&["doctor"]).expect(exit::BLOCKED).says("pipd.toml:1");
}

#[test]
fn outside_of_a_workspace_the_machine_is_looked_at() {
    let sandbox = testkit::sandbox!();
    let seen = sandbox.pipctl(&["doctor"]).ok();
    assert!(seen.stdout.contains("no workspace here") && seen.stdout.contains("disk"), "{seen}");
    sandbox.pipctl(&["doctor", "-w", "/does/not/exist"]).expect(exit::USAGE);
}

#[test]
fn what_the_workspace_uses_and_pipd_does_not_run_is_asked_once() {
    let sandbox = testkit::sandbox!();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1024];
            let count = stream.read(&mut asked).unwrap();
            let body = if asked[..count].starts_with(b"GET /api/tags ") {
                r#"{"models":[{"name":"llama3.2:latest"},{"name":"nomic-embed-text:latest"}]}"#
            } else {
                "Ollama is running"
            };
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = silent.local_addr().unwrap().port();
    let workspace = sandbox.workspace("w");
    workspace.stub_service("web", "", "");
    workspace.config(&format!(
        "{}\n[depends.ollama]\nurl = \"http://127.0.0.1:{port}\"\n[depends.mute]\nurl = \"http://127.0.0.1:{mute}\"\n",
        workspace.read("pipd.toml")
    ));
    // Neither is a reason to fail: nothing waits for them.
    let seen = workspace.pipctl(&["doctor", "--json"]).ok();
    assert!(seen.took < BOUND, "{seen}");
    finding(&seen, "ollama", "2 models: llama3.2:latest, nomic-embed-text:latest");
    assert_eq!(finding(&seen, "depends", "mute at").0, "warning");
    assert_eq!(finding(&seen, "depends", "ollama answers").0, "ok");
}

/// An import that comes to no end, an Ollama that takes a question and says nothing, a daemon that is stopped.
#[test]
fn what_hangs_is_named_and_holds_nothing_else_up() {
    let sandbox = testkit::sandbox!();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = silent.local_addr().unwrap().port();
    let workspace = sandbox.workspace("w");
    workspace.stub_service("web", "", "");
    venv(&workspace);
    package(&workspace, "endless", "1.0", "", "while True: __import__('time').sleep(1)\n");
    workspace.write("requirements.txt", "endless\n").config(&format!(
        "{}\n[doctor]\nimports = [\"endless\"]\n[depends.ollama]\nurl = \"http://127.0.0.1:{mute}\"\n",
        workspace.read("pipd.toml")
    ));
    workspace.pipctl(&["start"]).ok();
    let daemon = sandbox.daemon();
    testkit::suspend(daemon);
    let seen = workspace.pipctl(&["doctor", "--json"]);
    testkit::resume(daemon);
    assert!(seen.took < BOUND, "{seen}");
    finding(&seen, "imports", "importing endless came to no end");
    finding(&seen, "ollama", &format!("http://127.0.0.1:{mute}"));
    finding(&seen, "depends", "nothing waits for it");
    let mute: Vec<_> =
        ["services", "versions", "ports"].iter().flat_map(|name| findings(&seen, name)).collect();
    assert!(mute.iter().any(|(level, _, _)| level == "problem" || level == "warning"), "{seen}");
    // And nobody else is late for their sake.
    assert_eq!(finding(&seen, "interpreter", "Python 3").0, "ok");
    finding(&seen, "requirements", "1 package");
    for quick in ["disk", "limits", "configuration"] {
        let found = findings(&seen, quick);
        assert!(!found.iter().any(|(_, text, _)| text.contains("no answer within")), "{quick}: {found:?}");
    }
    let report: Value = seen.json();
    let words = report.to_string();
    assert!(words.contains("\"check\":\"disk\""), "{words}");
}

#[test]
fn a_watch_tells_when_what_the_workspace_uses_begins_to_answer() {
    let sandbox = testkit::sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("w");
    workspace.stub_service("web", "", "");
    workspace.config(&format!(
        "{}\n[depends.store]\nurl = \"http://127.0.0.1:{port}\"\n",
        workspace.read("pipd.toml")
    ));
    workspace.pipctl(&["start"]).ok();
    let mut command = workspace.command(sandbox.program());
    let mut watch = command.args(["status", "--watch"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    let stdout = watch.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(stdout)).map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let shows = |wanted: &str| {
        testkit::until(&format!("{wanted:?} in the watch"), LONG, || {
            lines.try_iter().any(|line| line.contains(wanted))
        });
    };
    shows(&format!("uses store at http://127.0.0.1:{port}: no answer"));
    let mut store = sandbox.command(sandbox.stub()).args(["--listen", &port.to_string()]).spawn().unwrap();
    shows(&format!("uses store at http://127.0.0.1:{port}: answers"));
    for child in [&mut watch, &mut store] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_configuration_of_jupyter_that_overrides_is_named() {
    let sandbox = testkit::sandbox!();
    let Some(real) = testkit::Stack::Current.venv() else { testkit::skip!("no PIPD_TEST_VENV") };
    let workspace = sandbox.workspace("w");
    workspace.link_venv(&real);
    let folder = sandbox.folder().join("home/.jupyter");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("jupyter_server_config.py"), "c.ServerApp.base_url = '/lab-of-ada'\n")
        .unwrap();
    let seen = workspace.pipctl(&["doctor", "--json"]).expect(exit::BLOCKED);
    let (_, text, command) = finding(&seen, "jupyter", "ServerApp.base_url");
    assert!(text.contains("another path") && command.contains("jupyter_server_config.py"), "{text}");
}

#[test]
fn nothing_is_changed_unless_a_person_says_yes() {
    let sandbox = testkit::sandbox!();
    let workspace = sandbox.workspace("w");
    workspace.stub_service("web", "", "");
    workspace.pipctl(&["start"]).ok();
    let host = sandbox.host();
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777
    };
    open_up(&host);
    let answer = |word: &str| doctor_fix(&sandbox, &workspace, word);
    answer("n").expect(exit::BLOCKED).says("is open to others").says("type `chmod 700");
    assert_eq!(mode(&host), 0o755);
    answer("y").ok();
    assert_eq!(mode(&host), 0o700);
    answer("y").ok().says("nothing here can be mended without you");
}

fn open_up(folder: &Path) {
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

fn doctor_fix(sandbox: &Sandbox, workspace: &Workspace<'_>, word: &str) -> Finished {
    let mut command = workspace.command("/bin/sh");
    command.args(["-c", "echo \"$1\" | \"$0\" doctor --fix"]).arg(sandbox.program()).arg(word);
    workspace.run(command, LONG)
}
