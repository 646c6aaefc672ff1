//! The real FastHTML, as uvicorn's reloader runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use testkit::{Port, SHORT, Sandbox, Stack, Workspace, exit, get, kill, sandbox, skip, until, until_some};
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
    // Nobody has edited it lately.
    let source = std::fs::File::open(workspace.path("server.py")).unwrap();
    source.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    workspace.pipctl(&["start"]).ok();
    workspace
}

/// The process of the reloader's tree whose command line has this in it.
#[track_caller]
fn child(workspace: &Workspace, what: &str) -> i32 {
    child_of(workspace.pid("server"), what)
}

#[track_caller]
fn child_of(main: i32, what: &str) -> i32 {
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

#[test]
fn a_worker_that_is_killed_is_replaced_though_its_reloader_lives() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let before = workspace.service("server");
    let since = Instant::now();
    kill(child(&workspace, "spawn_main"));
    let after = workspace
        .await_service("server", "a new run", |now| now.run != before.run && now.phase == Phase::Ready);
    assert!(since.elapsed() < Duration::from_secs(15), "after {:?}", since.elapsed());
    assert_ne!(after.pid, before.pid);
    assert_eq!(get(&format!("http://127.0.0.1:{port}/")).unwrap().status, 200);
}

#[test]
fn a_worker_that_was_killed_while_no_daemon_lived_is_replaced_too() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let before = workspace.service("server");
    let worker = child(&workspace, "spawn_main");
    // What is written down of its processes follows its being ready.
    let written = || {
        let below =
            |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut open = vec![sandbox.state()];
        while let Some(path) = open.pop() {
            if path.file_name().is_some_and(|name| name == "ready")
                && std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!(" {worker}")))
            {
                return true;
            }
            open.extend(below(&path));
        }
        false
    };
    until("its processes on record", SHORT, written);
    workspace.pipctl(&["daemon", "stop"]).ok();
    kill(worker);
    until("the worker to be gone", SHORT, || !testkit::alive(worker));
    workspace.pipctl(&["daemon", "start"]).ok();
    workspace.await_service("server", "a new run", |now| now.run != before.run && now.phase == Phase::Ready);
    assert_eq!(get(&format!("http://127.0.0.1:{port}/")).unwrap().status, 200);
}

#[test]
fn a_server_that_hangs_is_not_restarted_by_the_next_daemon() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let before = workspace.service("server");
    let worker = child(&workspace, "spawn_main");
    workspace.pipctl(&["daemon", "stop"]).ok();
    testkit::suspend(worker);
    // One that has nothing to do with answers ends meanwhile.
    kill(child_of(before.pid.unwrap(), "resource_tracker"));
    workspace.pipctl(&["daemon", "start"]).ok();
    let hangs = workspace.await_phase("server", Phase::Unhealthy);
    assert_eq!((hangs.run, hangs.pid), (before.run, before.pid));
    testkit::resume(worker);
    let again = workspace.await_phase("server", Phase::Ready);
    assert_eq!((again.run, again.pid, again.restarts), (before.run, before.pid, 0));
}

#[test]
fn a_first_start_whose_worker_ends_is_told_long_before_the_deadline() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("first");
    workspace.link_venv(&venv);
    // Only the worker imports it, so the reloader lives.
    let broken = "import sys\nif 'spawn_main' in ' '.join(sys.orig_argv):\n    import nothing_of_that_name\n";
    workspace.write("server.py", &format!("{broken}{APP}"));
    workspace.config(&format!(
        "[services.jupyter]\nenabled = false\n\n[services.server]\nport = {port}\nready = {{ timeout = \"10m\" }}\n"
    ));
    let since = Instant::now();
    let said = workspace.pipctl(&["start", "--timeout", "10m"]).expect(exit::TIMEOUT);
    assert!(since.elapsed() < Duration::from_secs(120), "{said}");
    let lost = workspace.service("server");
    assert_eq!((lost.phase, lost.run), (Phase::Unhealthy, Some(1)), "{lost:?}");
    for part in ["nothing_of_that_name", "has ended, and no other"] {
        assert!(lost.detail.as_ref().unwrap().contains(part), "{lost:?}");
        assert!(said.all().contains(part), "{part:?} expected in {said}");
    }
    // It heals with the source, in the same run.
    workspace.write("server.py", APP);
    let mended = workspace.await_phase("server", Phase::Ready);
    assert_eq!((mended.run, mended.pid), (lost.run, lost.pid));
}

#[test]
fn an_edit_that_breaks_the_source_is_shown_and_heals_with_the_next() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let before = workspace.service("server");
    let page = || get(&format!("http://127.0.0.1:{port}/")).map(|answer| answer.body).unwrap_or_default();

    // The reload that a developer expects.
    workspace.write("server.py", &APP.replace("hello", "edited once"));
    until("the reloaded page", SHORT, || page().contains("edited once"));

    let since = Instant::now();
    workspace.write("server.py", &APP.replace("return", "retrun"));
    let broken = workspace.await_phase("server", Phase::Unhealthy);
    assert!(since.elapsed() < Duration::from_secs(15), "after {:?}", since.elapsed());
    assert!(broken.detail.as_ref().unwrap().contains("SyntaxError"), "{broken:?}");
    workspace.pipctl(&["status"]).expect(exit::FAILED).says("SyntaxError");
    // Whoever goes on editing is not restarted meanwhile.
    for text in ["import nothing_of_that_name\n", "raise SystemExit(3)\n", "x = (\n"] {
        workspace.write("server.py", text);
        let edited = Instant::now();
        until("a while without a restart", SHORT, || {
            let now = workspace.service("server");
            assert_eq!((now.phase, now.run, now.pid), (Phase::Unhealthy, before.run, before.pid));
            edited.elapsed() > Duration::from_secs(2)
        });
    }
    workspace.write("server.py", &APP.replace("hello", "mended"));
    let mended = workspace.await_phase("server", Phase::Ready);
    assert_eq!((mended.run, mended.pid, mended.restarts), (before.run, before.pid, 0));
    assert!(page().contains("mended"));
}

#[test]
fn a_server_that_hangs_with_all_its_processes_is_only_shown() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let before = workspace.service("server");
    // As in a debugger.
    let worker = child(&workspace, "spawn_main");
    testkit::suspend(worker);
    let waiting: Vec<TcpStream> = (0..3).map(|_| ask(&port)).collect();
    let since = Instant::now();
    let hangs = workspace.await_phase("server", Phase::Unhealthy);
    assert!(since.elapsed() < Duration::from_secs(20), "after {:?}", since.elapsed());
    assert!(hangs.detail.as_ref().unwrap().contains("all processes are alive"), "{hangs:?}");
    assert_eq!((hangs.run, hangs.pid), (before.run, before.pid));
    testkit::resume(worker);
    let again = workspace.await_phase("server", Phase::Ready);
    assert_eq!((again.run, again.pid, again.restarts), (before.run, before.pid, 0));
    drop(waiting);
}

/// A question whose answer nobody waits for.
fn ask(port: &Port) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream
}

#[test]
fn a_reloader_that_is_killed_leaves_no_worker_on_the_port() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let before = workspace.service("server");
    let worker = child(&workspace, "spawn_main");
    kill(before.pid.unwrap());
    workspace.await_service("server", "a new run", |now| now.run != before.run && now.phase == Phase::Ready);
    assert!(!testkit::alive(worker), "the old worker still serves");
}

#[test]
fn a_stop_with_an_open_stream_takes_two_seconds_at_most() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let stream = "import asyncio\nfrom starlette.responses import StreamingResponse\n\n\nasync def events():\n    \
                  while True:\n        yield 'data: x\\n\\n'\n        await asyncio.sleep(0.1)\n\n\n@rt('/events')\ndef \
                  stream():\n    return StreamingResponse(events(), media_type='text/event-stream')\n\n\nserve()\n";
    workspace.write("server.py", &APP.replace("serve()\n", stream));
    let mut open = until_some("the stream", SHORT, || {
        let mut open = TcpStream::connect(("127.0.0.1", port.number())).ok()?;
        open.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let mut head = [0; 15];
        open.read_exact(&mut head).ok()?;
        (&head == b"HTTP/1.1 200 OK").then_some(open)
    });
    let stopped = workspace.pipctl(&["stop", "server"]).ok();
    // The promise is two seconds; the machine that runs the tests may be slow.
    assert!(stopped.took < Duration::from_millis(3_500), "{stopped}");
    let end = workspace.service("server").last_exit.unwrap();
    assert_ne!(end.cause, wire::ExitCause::Signal(9), "it took the KILL");
    assert!(
        open.read_to_end(&mut Vec::new()).is_ok()
            || !testkit::alive(workspace.service("server").pid.unwrap_or(0))
    );
}
