//! The real FastHTML, as uvicorn's reloader runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use testkit::{Port, SHORT, Sandbox, Stack, Workspace, get, kill, sandbox, skip, until, until_some};
use wire::Phase;

const APP: &str = "from fasthtml.common import *

app, rt = fast_app()


@rt('/')
def index():
    return 'hello'


serve()
";

fn fasthtml<'a>(sandbox: &'a Sandbox, venv: &Path, port: &Port) -> Workspace<'a> {
    let workspace = sandbox.workspace("app");
    workspace.link_venv(venv).write("server.py", APP);
    workspace.config(&format!("[services.jupyter]\nenabled = false\n\n[services.server]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    workspace
}

/// The process of the reloader's tree whose command line has this in it.
#[track_caller]
fn child(workspace: &Workspace, what: &str) -> i32 {
    let main = workspace.pid("server");
    until_some(what, SHORT, || {
        testkit::descendants(main).into_iter().find(|&pid| os::process::command_line(pid).contains(what))
    })
}

/// Lines about a request for this path.
fn requests(text: &str, path: &str) -> usize {
    text.lines().filter(|line| line.contains(&format!("\"GET {path} "))).count()
}

#[test]
fn logs_leave_out_what_pipd_itself_asked_and_nothing_else() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let in_files = |path: &str| requests(&workspace.stdout_lines("server").join("\n"), path);
    let shown = |arguments: &[&str], path: &str| {
        requests(&workspace.pipctl(&[&["logs", "server"], arguments].concat()).ok().stdout, path)
    };
    let ask = |path: &str| assert!(get(&format!("http://127.0.0.1:{port}{path}")).is_ok());

    until("pipd's question in the log", SHORT, || in_files("/") > 0);
    let own = in_files("/");
    assert_eq!(shown(&[], "/"), 0);
    assert_eq!(shown(&["--probes"], "/"), own);
    assert_eq!(shown(&["--json"], "/"), 0);

    // The same question by a person is shown.
    for _ in 0..3 {
        ask("/");
    }
    until("the person's questions in the log", SHORT, || in_files("/") == own + 3);
    assert_eq!(shown(&[], "/"), 3);
    assert_eq!(shown(&["-n", "2"], "/"), 2);
    assert_eq!(shown(&["-n", "50"], "/"), 3);
    assert_eq!(shown(&["-n", "50", "--probes"], "/"), own + 3);

    // Whoever follows does not see what the next daemon asks either.
    let mut follow = workspace.command(sandbox.program());
    follow.args(["logs", "server", "-f", "-n", "0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut follow = follow.spawn().unwrap();
    let old = sandbox.kill_daemon();
    sandbox.await_daemon(old);
    workspace.await_phase("server", Phase::Ready);
    // A member of the tree that dies is a reason to ask.
    let before = in_files("/");
    kill(child(&workspace, "resource_tracker"));
    until("pipd's next question in the log", SHORT, || in_files("/") > before);
    ask("/the-end");
    let lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let seen: Vec<String> =
        lines.map_while(Result::ok).take_while(|line| !line.contains("/the-end")).collect();
    let _ = follow.kill();
    let _ = follow.wait();
    assert_eq!(requests(&seen.join("\n"), "/"), 0, "{seen:#?}");
    assert_eq!(shown(&[], "/"), 3);
}
