//! Crashes, restarts, stops, and what must not be left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::time::{Duration, Instant};

use testkit::{
    LONG, SHORT, Sandbox, Stack, Workspace, alive, exit, get, kill, sandbox, skip, suspend, until,
};
use wire::{ExitCause, Goal, Phase};

fn births(workspace: &Workspace, witness: &str) -> Vec<i32> {
    workspace.read(witness).lines().filter_map(|line| line.split_once(" started ")?.1.parse().ok()).collect()
}

fn witness(workspace: &Workspace, name: &str) -> String {
    format!("--witness {}", workspace.path(name).display())
}

fn status_of(port: &testkit::Port) -> u16 {
    get(&format!("http://127.0.0.1:{port}/")).map_or(0, |answer| answer.status)
}

// Restart

#[test]
fn case_01_a_killed_service_is_back_at_once() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("killed");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    let first = workspace.service("web");
    kill(first.pid.unwrap());
    let second = workspace
        .await_service("web", "ready again", |now| now.phase == Phase::Ready && now.pid != first.pid);
    let end = second.last_exit.clone().unwrap();
    assert_eq!((end.cause, end.asked), (ExitCause::Signal(9), false));
    assert_eq!(second.restarts, 1);
    assert!(second.started_ms.unwrap() - end.at_ms < 1_000, "restarted after {:?}", second.started_ms);
    let why = workspace.pipctl(&["why", "web"]).ok();
    assert!(why.stdout.contains("SIGKILL"), "{why}");
}

#[test]
fn case_06_a_crash_loop_is_slowed_down_shown_and_ended_by_a_change_of_the_source() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("loop");
    workspace.config(&format!("[services.app]\ncommand = [\"python3\", \"app.py\"]\nport = {port}\n"));
    workspace.write("app.py", "open('births', 'a').write('x')\nimport json\njson.nothing_of_that_name\n");

    let failed = workspace.pipctl(&["start"]).expect(exit::FAILED);
    assert!(failed.all().contains("AttributeError"), "the Python error expected in {failed}");
    assert!(failed.all().contains("pipctl why app"), "the command to type expected in {failed}");

    let waiting = workspace
        .await_service("app", "a long backoff", |now| now.phase == Phase::Backoff && now.restarts >= 4);
    assert_eq!(waiting.goal, Goal::Up);
    assert!(waiting.next_try_ms.is_some());
    assert!(workspace.read("births").len() <= 12, "a storm: {} starts", workspace.read("births").len());
    let why = workspace.why("app");
    assert!(why.runs.len() >= 4);
    let words = why.runs.last().unwrap().last_words.join("\n");
    assert!(words.contains("AttributeError") && words.contains("app.py"), "{words}");

    // Far from its turn, it tries again because the file is mended.
    let serving = format!(
        "import http.server\nhttp.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler)\
         .serve_forever()\n"
    );
    workspace.await_service("app", "a backoff of seconds", |now| {
        now.next_try_ms.is_some_and(|next| next - now.since_ms > 3_000)
    });
    workspace.write("app.py", &serving);
    let mended = Instant::now();
    workspace.await_phase("app", Phase::Ready);
    assert!(mended.elapsed() < Duration::from_secs(3), "the change was noticed after {:?}", mended.elapsed());
}

#[test]
fn case_06_start_does_not_wait_for_the_backoff() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("impatient");
    workspace.stub_service("job", &format!("--exit-code 1 --exit-after 10 {}", witness(&workspace, "w")), "");
    workspace.pipctl(&["start"]);
    workspace.await_service("job", "a backoff of seconds", |now| {
        now.next_try_ms.is_some_and(|next| next - now.since_ms > 3_000)
    });
    let before = births(&workspace, "w").len();
    workspace.pipctl(&["start", "--no-wait"]).ok();
    until("a new try", Duration::from_secs(3), || births(&workspace, "w").len() > before);
}

#[test]
fn a_clean_exit_is_the_end_and_policies_are_kept() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("policies");
    let stub = |name: &str, code: i32, keys: &str| {
        let arguments = format!("--exit-after 200 --exit-code {code} {}", witness(&workspace, name));
        workspace.stub_service(name, &arguments, &format!("ready = \"none\"\n{keys}"));
    };
    stub("clean", 0, "");
    stub("never", 1, "restart = \"never\"");
    stub("always", 0, "restart = { policy = \"always\" }");
    workspace.pipctl(&["start", "--no-wait"]).ok();

    let clean = workspace.await_phase("clean", Phase::Finished);
    assert_eq!(clean.goal, Goal::Up, "a clean exit does not change what the user wants");
    workspace.await_service("never", "the end", |now| now.pid.is_none() && now.last_exit.is_some());
    workspace.await_service("always", "a second life", |now| now.restarts >= 2);
    assert_eq!((births(&workspace, "clean").len(), births(&workspace, "never").len()), (1, 1));

    workspace.pipctl(&["start", "clean", "--no-wait"]).ok();
    until("a second life", SHORT, || births(&workspace, "clean").len() == 2);
}

#[test]
fn case_09_a_program_that_is_gone_blocks_and_starts_when_it_is_back() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("missing");
    let tool = workspace.path("tool");
    std::os::unix::fs::symlink(sandbox.stub(), &tool).unwrap();
    workspace.config("[services.tool]\ncommand = [\"./tool\"]\n");
    workspace.pipctl(&["start"]).ok();
    let first = workspace.pid("tool");
    std::fs::remove_file(&tool).unwrap();
    kill(first);
    let blocked = workspace.await_phase("tool", Phase::Blocked);
    assert!(blocked.detail.as_ref().unwrap().contains("tool"), "{blocked:?}");
    assert!(blocked.detail.as_ref().unwrap().contains("o such file"), "{blocked:?}");
    // The machine's fault, not the service's.
    assert!(blocked.restarts <= 1, "{blocked:?}");
    std::os::unix::fs::symlink(sandbox.stub(), &tool).unwrap();
    workspace.await_phase("tool", Phase::Ready);
}

#[test]
fn case_19_a_service_that_never_gets_ready_is_not_called_running() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("deaf");
    workspace.stub_service(
        "web",
        "--say 'still thinking'",
        &format!("port = {port}\nready = {{ http = \"/\", timeout = \"1s\" }}"),
    );
    workspace.pipctl(&["start", "--no-wait"]).ok();
    let service = workspace.await_service("web", "a process", |now| now.pid.is_some());
    assert_eq!(service.phase, Phase::Starting);
    let failed = workspace.pipctl(&["start"]);
    assert!([exit::FAILED, exit::TIMEOUT].contains(&failed.code), "{failed}");
    assert!(
        failed.all().contains("still thinking") || failed.all().contains("pipctl logs -f web"),
        "its last lines, or the way to them, expected in {failed}"
    );
    workspace.pipctl(&["logs", "web"]).ok().says("still thinking");
    assert_ne!(workspace.service("web").phase, Phase::Ready);
}

#[test]
fn case_22_starts_and_stops_typed_wildly_end_in_one_instance() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("wild");
    workspace.stub_service(
        "web",
        &format!("--listen {port} --ready-after 30 {}", witness(&workspace, "w")),
        &format!("port = {port}"),
    );
    for round in 0..100 {
        workspace.pipctl(&["start", "--no-wait"]).ok();
        if round % 3 == 0 {
            workspace.pipctl(&["restart", "--no-wait"]).ok();
        }
        workspace.pipctl(&["stop", "--no-wait"]).ok();
    }
    workspace.pipctl(&["start"]).ok();
    let living: Vec<i32> = births(&workspace, "w").into_iter().filter(|&pid| alive(pid)).collect();
    assert_eq!(living, [workspace.pid("web")]);
    assert_eq!(status_of(&port), 200);
}

// Stop

#[test]
fn case_10_a_service_that_ignores_every_request_is_killed_at_its_grace() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("stubborn");
    workspace.stub_service(
        "web",
        &format!(
            "--listen {port} --ignore TERM --ignore INT {} --child '--ignore TERM --ignore INT {}'",
            witness(&workspace, "w"),
            witness(&workspace, "child")
        ),
        &format!("port = {port}\nstop = {{ grace = \"1500ms\" }}"),
    );
    workspace.pipctl(&["start"]).ok();
    let pid = workspace.pid("web");
    until("the child", SHORT, || !births(&workspace, "child").is_empty());
    let stopped = workspace.pipctl(&["stop"]).ok();
    assert!(!alive(pid) && !alive(births(&workspace, "child")[0]), "not the whole tree");
    assert!(stopped.took >= Duration::from_millis(1_500), "killed too early: {stopped}");
    assert!(stopped.took < Duration::from_secs(5), "killed too late: {stopped}");
    assert!(workspace.read("w").contains("SIGTERM"), "it was never asked: {}", workspace.read("w"));
    let end = workspace.service("web").last_exit.unwrap();
    assert_eq!((end.cause, end.asked), (ExitCause::Signal(9), true));
}

#[test]
fn case_11_a_suspended_service_can_be_stopped() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("suspended");
    workspace.stub_service("job", &witness(&workspace, "w"), "ready = \"none\"");
    workspace.pipctl(&["start"]).ok();
    until("the stub to listen to signals", SHORT, || !births(&workspace, "w").is_empty());
    let pid = workspace.pid("job");
    suspend(pid);
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(pid));
    assert!(workspace.read("w").contains("SIGTERM"), "it was killed, not asked: {}", workspace.read("w"));
}

// The tree

#[test]
fn case_02_a_worker_that_outlives_its_parent_does_not_keep_the_port() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("worker");
    let worker = format!("--listen {port} {}", witness(&workspace, "workers"));
    workspace.stub_service("web", &format!("--child '{worker}'"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    let before = workspace.service("web");
    let worker = births(&workspace, "workers")[0];
    kill(before.pid.unwrap());
    let after = workspace
        .await_service("web", "ready again", |now| now.phase == Phase::Ready && now.pid != before.pid);
    assert!(!alive(worker), "the old worker is still there");
    assert_eq!(after.restarts, 1);
    assert_eq!(status_of(&port), 200);
    assert!(!after.last_exit.unwrap().swept.is_empty());
}

#[test]
fn case_03_a_grandchild_in_a_session_of_its_own_is_swept() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("session");
    let hidden = format!("--setsid --ignore TERM {}", witness(&workspace, "hidden"));
    workspace.stub_service("web", &format!("--listen {port} --child '{hidden}'"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    until("the grandchild", SHORT, || !births(&workspace, "hidden").is_empty());
    let hidden = births(&workspace, "hidden")[0];
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(hidden), "the grandchild is still there after stop");
    assert_eq!(status_of(&port), 0);
}

#[test]
fn case_04_a_main_that_leaves_its_worker_serving_is_followed() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("daemonizing");
    let worker = format!("--listen {port} --setsid {}", witness(&workspace, "workers"));
    workspace.stub_service("web", &format!("--child '{worker}' --exit-after 400"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    let worker = births(&workspace, "workers")[0];
    workspace.await_service("web", "the worker as its process", |now| now.pid == Some(worker));
    assert_eq!((workspace.service("web").phase, births(&workspace, "workers").len()), (Phase::Ready, 1));
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(worker));
}

#[test]
fn case_20_a_service_that_is_silent_is_called_unhealthy_and_left_alone() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("silent");
    workspace.stub_service("web", &format!("--listen {port} --silent-after 1500"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    let pid = workspace.pid("web");
    until("silence", SHORT, || {
        // Asks that are never answered fill the queue as a browser would.
        std::net::TcpStream::connect(("127.0.0.1", port.number())).is_ok() && status_of(&port) == 0
    });
    suspend(pid);
    let held: Vec<_> = (0..8).map(|_| std::net::TcpStream::connect(("127.0.0.1", port.number()))).collect();
    until("a look at it", LONG, || workspace.service("web").phase == Phase::Unhealthy);
    assert_eq!(workspace.pid("web"), pid, "a service that only hangs was restarted");
    testkit::resume(pid);
    drop(held);
    workspace.pipctl(&["stop"]).ok();
}

// The real servers

fn fasthtml<'a>(sandbox: &'a Sandbox, venv: &std::path::Path, port: &testkit::Port) -> Workspace<'a> {
    let workspace = sandbox.workspace("app");
    workspace.link_venv(venv);
    workspace.write(
        "server.py",
        "import asyncio\nfrom fasthtml.common import *\nfrom starlette.responses import StreamingResponse\n\n\
         app, rt = fast_app()\n\n\n@rt('/')\ndef index():\n    return 'hello'\n\n\n\
         async def ticks():\n    while True:\n        yield 'data: x\\n\\n'\n        await asyncio.sleep(0.1)\n\n\n\
         @rt('/stream')\ndef stream():\n    return StreamingResponse(ticks(), media_type='text/event-stream')\n\n\n\
         serve()\n",
    );
    workspace.config(&format!("[services.jupyter]\nenabled = false\n\n[services.server]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    workspace
}

#[test]
fn fasthtml_with_an_open_stream_stops_and_frees_its_port() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let tree = testkit::descendants(workspace.pid("server"));
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port.number())).unwrap();
    write!(stream, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 64];
    assert!(stream.read(&mut first).unwrap() > 0);
    workspace.pipctl(&["stop"]).ok();
    let left: Vec<i32> = tree.into_iter().filter(|&pid| alive(pid)).collect();
    assert!(left.is_empty(), "still there: {left:?}");
    assert!(std::net::TcpListener::bind(("0.0.0.0", port.number())).is_ok());
    let end = workspace.service("server").last_exit.unwrap();
    assert_ne!(end.cause, ExitCause::Signal(9), "it took the KILL");
}

#[test]
fn case_20_fasthtml_whose_worker_died_is_restarted() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = fasthtml(&sandbox, &venv, &port);
    let before = workspace.pid("server");
    let worker = testkit::descendants(before)
        .into_iter()
        .find(|&pid| os::process::command_line(pid).contains("spawn_main"))
        .expect("a worker");
    // The reloader keeps the port and never starts another one.
    kill(worker);
    workspace.await_service("server", "a new process that answers", |now| {
        now.phase == Phase::Ready && now.pid != Some(before)
    });
    assert_eq!(status_of(&port), 200);
}

#[test]
fn stopping_jupyterlab_says_first_what_is_lost_and_leaves_no_kernel() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("busy");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    let jupyter = workspace.jupyter("jupyter");
    let kernel = jupyter.start_kernel();
    let pid: i32 = jupyter.execute(&kernel, "import os, time; os.getpid()").parse().unwrap();
    jupyter.begin(&kernel, "time.sleep(1000)");

    let refused = workspace.pipctl(&["stop", "jupyter"]).expect(exit::BUSY);
    assert!(refused.all().contains("kernel"), "{refused}");
    assert!(refused.all().contains("--force"), "the command to type expected in {refused}");
    assert!(alive(pid));
    assert_eq!(workspace.service("jupyter").phase, Phase::Ready);
    workspace.pipctl(&["restart", "jupyter"]).expect(exit::BUSY);

    workspace.pipctl(&["stop", "jupyter", "--force"]).ok();
    assert!(!alive(pid), "the kernel outlived the stop");
    assert_eq!(workspace.service("jupyter").phase, Phase::Down);
}

#[test]
fn what_a_person_detached_in_a_terminal_is_left_running_unless_asked() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("detached");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    let detach = |file: &str| {
        workspace.pipctl(&["start"]).ok();
        let line = format!(
            "nohup sleep 1000 >/dev/null 2>&1 & echo $! >{}; echo do''ne",
            workspace.path(file).display()
        );
        workspace.jupyter("jupyter").type_line(&line, "done");
        workspace.read(file).trim().parse::<i32>().unwrap()
    };
    let person = detach("one");
    workspace.pipctl(&["stop", "--force"]).ok();
    assert!(alive(person), "a person's process was swept");
    let end = workspace.service("jupyter").last_exit.unwrap();
    assert!(end.left_running.iter().any(|line| line.contains("sleep 1000")), "{end:?}");
    kill(person);

    let person = detach("two");
    workspace.pipctl(&["stop", "--force", "--all-processes"]).ok();
    assert!(!alive(person), "--all-processes left it");
}

#[test]
fn shutting_jupyterlab_down_from_its_menu_is_final() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("menu");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    let jupyter = workspace.jupyter("jupyter");
    jupyter.shut_down();
    let end = workspace.await_phase("jupyter", Phase::Finished);
    assert_eq!(end.last_exit.unwrap().cause, ExitCause::Code(0));
    assert_eq!(workspace.why("jupyter").runs.len(), 1);
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.jupyter("jupyter").token, jupyter.token, "the token is the workspace's, for ever");
    until("the page", LONG, || {
        get(&workspace.service("jupyter").url.unwrap()).is_ok_and(|answer| answer.status == 200)
    });
}
