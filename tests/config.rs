//! A configuration that is wrong: where, why, and what was meant.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use testkit::{exit, sandbox};
use wire::Phase;

#[test]
fn case_67_an_error_shows_file_line_place_and_the_nearest_name() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("wrong");
    let cases: [(&str, &[&str]); 6] = [
        ("[services.web]\ncommand = [\"x\"]\nprot = 80\n", &["pipd.toml:3", "prot", "`port`", "^"]),
        ("[services.web]\ncommand = [\"x\"]\nport = \"eighty\"\n", &["pipd.toml:3", "eighty", "^"]),
        ("[services.web]\ncommand = [\"x\"]\nport = 70000\n", &["pipd.toml:3", "70000", "65535", "^"]),
        ("[services.web]\ncommand = [\"x\"]\nrestart = \"on-failur\"\n", &["pipd.toml:3", "on-failure", "^"]),
        (
            "[services.web]\ncommand = [\"x\"]\nafter = [\"databse\"]\n\n[services.database]\ncommand = [\"x\"]\n",
            &["pipd.toml:3", "database", "^"],
        ),
        ("[services.web\ncommand = 1\n", &["pipd.toml:1", "^"]),
    ];
    for (text, expected) in cases {
        workspace.config(text);
        let refused = workspace.pipctl(&["start"]).expect(exit::USAGE);
        for part in expected {
            assert!(refused.stderr.contains(part), "{part:?} expected for\n{text}\nin {refused}");
        }
    }
    assert!(sandbox.try_daemon().is_none(), "a wrong configuration started a daemon");
}

#[test]
fn case_67_services_that_run_are_not_touched_by_a_broken_file() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("later");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    let before = workspace.service("web");
    let good = workspace.read("pipd.toml");
    workspace.config("this is = not [toml");
    workspace.pipctl(&["start"]).expect(exit::USAGE);
    workspace.pipctl(&["restart"]).expect(exit::USAGE);
    // What only reads and what only ends needs no configuration.
    let now = workspace.service("web");
    assert_eq!((now.phase, now.pid), (Phase::Ready, before.pid));
    workspace.pipctl(&["stop"]).ok();
    workspace.config(&good);
    workspace.pipctl(&["start"]).ok();
}

#[test]
fn what_one_service_misses_keeps_no_other_down() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("missing");
    let stub = sandbox.stub().display().to_string();
    let lines = [
        format!("[services.web]\ncommand = [\"{stub}\", \"--listen\", \"{port}\"]\nport = {port}"),
        format!("[services.folder]\ncommand = [\"{stub}\"]\ncwd = \"nowhere\""),
        format!("[services.file]\ncommand = [\"{stub}\"]\nenv_file = \"secrets.env\""),
        "[services.program]\ncommand = [\"./tool\"]".to_owned(),
    ];
    workspace.config(&lines.join("\n\n"));
    let started = workspace.pipctl(&["start"]).expect(exit::BLOCKED);
    for part in ["nowhere", "pipd.toml:7:7", "secrets.env", "pipd.toml:11:12", "./tool", "pipd.toml:14:12"] {
        assert!(started.stdout.contains(part), "{part:?} expected in {started}");
    }
    assert!(started.stdout.contains("then type: pipctl start folder"), "{started}");
    let web = workspace.service("web");
    assert_eq!(web.phase, Phase::Ready);
    for name in ["folder", "file", "program"] {
        assert_eq!(workspace.service(name).phase, Phase::Blocked, "{name}");
    }
    // What comes is seen without anybody typing anything, and what runs is not touched.
    std::fs::create_dir(workspace.path("nowhere")).unwrap();
    workspace.write("secrets.env", "SECRET=1\n");
    std::os::unix::fs::symlink(&stub, workspace.path("tool")).unwrap();
    for name in ["folder", "file", "program"] {
        workspace.await_phase(name, Phase::Ready);
    }
    let pids = ["web", "folder", "file", "program"].map(|name| workspace.pid(name));
    std::fs::remove_dir(workspace.path("nowhere")).unwrap();
    std::fs::remove_file(workspace.path("secrets.env")).unwrap();
    std::fs::remove_file(workspace.path("tool")).unwrap();
    // They run already; that they could not be started now is no reason to stop them for a restart.
    workspace.pipctl(&["start"]).ok();
    workspace.pipctl(&["restart", "folder", "file"]).expect(exit::BLOCKED).says("left as it is");
    assert_eq!(["web", "folder", "file", "program"].map(|name| workspace.pid(name)), pids);
    workspace.pipctl(&["restart"]).expect(exit::BLOCKED);
    assert_ne!(workspace.pid("web"), pids[0], "the others are restarted");
    assert_eq!(["folder", "file", "program"].map(|name| workspace.pid(name)), pids[1..]);
}

#[test]
fn case_68_a_changed_file_counts_at_the_next_start() {
    let sandbox = sandbox!();
    let (one, other) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("changed");
    workspace.stub_service("web", &format!("--listen {one}"), &format!("port = {one}"));
    workspace.pipctl(&["start"]).ok();
    let before = workspace.service("web");
    workspace.config("").stub_service("web", &format!("--listen {other}"), &format!("port = {other}"));
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.pid("web"), before.pid.unwrap(), "start restarted a running service");
    workspace.pipctl(&["restart"]).ok();
    assert_eq!(workspace.service("web").port, Some(other.number()));
}

#[test]
fn pyproject_is_read_the_same_way() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("pyproject");
    let stub = sandbox.stub().display().to_string();
    workspace.write(
        "pyproject.toml",
        &format!(
            "[project]\nname = \"x\"\n\n[tool.pipd.services.web]\ncommand = [{stub:?}, \"--listen\", \"{{port}}\"]\nport = {port}\n"
        ),
    );
    std::fs::create_dir(workspace.path(".venv")).unwrap();
    workspace.pipctl(&["start", "web"]).ok();
    assert_eq!(workspace.service("web").phase, Phase::Ready);
}

#[test]
fn case_70_a_path_with_blanks_and_letters_of_all_kinds_works() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let name = format!("mit Leerzeichen, Umläute und {}", "ein sehr langer Name ".repeat(8));
    let workspace = sandbox.workspace(name.trim());
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    workspace.pipctl(&["logs"]).ok();
}
