//! What is damaged, cut off or taken out of the configuration: nothing that lives is forgotten, started twice or left
//! alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::time::{Duration, Instant};

use run::layout::{HostDir, RunDir, ServiceDir, workspace_id};
use testkit::{SHORT, Workspace, alive, kill, sandbox, suspend, until};
use wire::{Goal, Phase};

fn folder(host: std::path::PathBuf, workspace: &Workspace<'_>, service: &str) -> ServiceDir {
    HostDir::at(host).workspace(&workspace_id(workspace.root())).service(service)
}

fn last_run(folder: &ServiceDir) -> RunDir {
    folder.run(folder.run_numbers().unwrap().pop().unwrap())
}

#[test]
fn a_service_that_comes_back_into_the_configuration_goes_on_counting() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("counting");
    workspace.stub_service("one", "", "").stub_service("two", "", "");
    workspace.pipctl(&["start"]).ok();
    workspace.pipctl(&["stop", "two"]).ok();
    let both = workspace.read("pipd.toml");

    workspace.write("pipd.toml", "");
    workspace.stub_service("one", "", "");
    workspace.pipctl(&["start"]).ok();
    assert!(workspace.status().services.iter().all(|service| service.name != "two"));

    workspace.write("pipd.toml", &both);
    workspace.pipctl(&["start"]).ok();
    let runs = folder(sandbox.host(), &workspace, "two").run_numbers().unwrap();
    assert_eq!((workspace.service("two").run, runs), (Some(2), vec![1, 2]));

    // Also when a new daemon has never heard of it.
    workspace.pipctl(&["stop", "two"]).ok();
    workspace.write("pipd.toml", "");
    workspace.stub_service("one", "", "");
    workspace.pipctl(&["start"]).ok();
    workspace.pipctl(&["daemon", "restart"]).ok();
    workspace.write("pipd.toml", &both);
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.service("two").run, Some(3));
}

fn a_lost_record_forgets_nothing(lose: impl Fn(&std::path::Path)) {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("lost");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    workspace.stub_service("worker", "", "");
    workspace.stub_service("idle", "", "");
    workspace.pipctl(&["start"]).ok();
    workspace.pipctl(&["stop", "idle"]).ok();
    let before = (workspace.pid("web"), workspace.pid("worker"));

    lose(&HostDir::at(sandbox.host()).workspace(&workspace_id(workspace.root())).record());
    let daemon = sandbox.kill_daemon();
    sandbox.await_daemon(daemon);
    let web = workspace.await_phase("web", Phase::Ready);
    workspace.await_phase("worker", Phase::Ready);
    assert_eq!((workspace.pid("web"), workspace.pid("worker")), before);
    assert_eq!((web.goal, web.port), (Goal::Up, Some(port.number())));

    workspace.pipctl(&["start"]).ok();
    assert_eq!((workspace.pid("web"), workspace.pid("worker")), before, "started next to what lived");
    assert_eq!(workspace.service("idle").run, Some(2), "the number of a run was used twice");
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(before.0) && !alive(before.1));
}

#[test]
fn what_runs_outlives_a_workspace_record_that_makes_no_sense() {
    a_lost_record_forgets_nothing(|record| std::fs::write(record, "pipd 1 nonsense").unwrap());
}

#[test]
fn what_runs_outlives_a_workspace_record_that_is_gone() {
    a_lost_record_forgets_nothing(|record| std::fs::remove_file(record).unwrap());
}

#[test]
fn a_run_whose_records_make_no_sense_is_found_by_its_processes() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("damaged");
    workspace.stub_service("worker", "--child '--setsid'", "");
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("worker");
    let (pid, shim) = (service.pid.unwrap(), service.shim_pid.unwrap());

    let run = last_run(&folder(sandbox.host(), &workspace, "worker"));
    std::fs::write(run.spec(), "pipd 1 nonsense").unwrap();
    std::fs::write(run.started(), "pipd 1 nonsense").unwrap();
    // Frozen, so that it does not bring the daemon back.
    suspend(shim);
    let daemon = sandbox.kill_daemon();
    kill(shim);
    until("daemon and shim to be gone", SHORT, || !alive(daemon) && !alive(shim));

    workspace.pipctl(&["start"]).ok();
    let found = workspace.await_service("worker", "with a shim", |found| found.shim_pid.is_some());
    assert_eq!(found.pid, Some(pid), "a second copy was started next to a living one");
    let members = testkit::descendants(pid);
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(pid) && !members.into_iter().any(alive));
}

#[test]
fn a_run_whose_records_make_no_sense_and_that_is_dead_is_started_anew() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("damaged");
    workspace.stub_service("worker", "", "");
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("worker");
    let (pid, shim) = (service.pid.unwrap(), service.shim_pid.unwrap());
    let run = last_run(&folder(sandbox.host(), &workspace, "worker"));
    std::fs::write(run.started(), "pipd 1 nonsense").unwrap();
    suspend(shim);
    sandbox.kill_daemon();
    kill(shim);
    kill(pid);
    until("all to be gone", SHORT, || !alive(pid) && !alive(shim));
    workspace.pipctl(&["start"]).ok();
    let again = workspace.await_phase("worker", Phase::Ready);
    assert_eq!(again.run, Some(2));
}

#[test]
fn a_shim_that_cannot_be_reached_is_replaced() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("deaf");
    workspace.stub_service("worker", "", "");
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("worker");
    let sockets = HostDir::at(sandbox.host()).shim_sockets();
    for socket in std::fs::read_dir(sockets).unwrap() {
        std::fs::remove_file(socket.unwrap().path()).unwrap();
    }
    let daemon = sandbox.kill_daemon();
    sandbox.await_daemon(daemon);
    let shim = service.shim_pid;
    let again = workspace.await_service("worker", "with another shim", |found| {
        found.shim_pid.is_some() && found.shim_pid != shim
    });
    assert_eq!((again.pid, again.run), (service.pid, service.run));
    assert!(!alive(shim.unwrap()));
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(service.pid.unwrap()));
}

#[test]
fn a_shim_that_cannot_begin_is_not_tried_all_the_time() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("storm");
    workspace.stub_service("worker", "", "");
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("worker");
    let run = last_run(&folder(sandbox.host(), &workspace, "worker"));
    // A shim that finds something else in the place of the pipe cannot begin.
    std::fs::remove_file(run.out()).unwrap();
    std::fs::create_dir(run.out()).unwrap();
    kill(service.shim_pid.unwrap());
    let begun = Instant::now();
    let tries = || sandbox.daemon_log().matches("run has a shim again").count();
    until("two seconds", SHORT, || begun.elapsed() > Duration::from_secs(2));
    assert!((2..20).contains(&tries()), "{} replacements in two seconds", tries());
    assert!(alive(service.pid.unwrap()));

    std::fs::remove_dir(run.out()).unwrap();
    os::fifo::make(&run.out()).unwrap();
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(service.pid.unwrap()));
}

#[test]
fn a_service_goes_on_after_a_dependency_that_a_new_daemon_found_ready() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("order");
    workspace.stub_service("first", "", "after = [\"second\"]").stub_service("second", "", "");
    workspace.pipctl(&["start"]).ok();
    let pid = workspace.pid("first");
    workspace.pipctl(&["daemon", "stop"]).ok();
    let run = last_run(&folder(sandbox.host(), &workspace, "first"));
    kill(pid);
    until("its end to be recorded", SHORT, || run.exited().exists());
    // Asked for the other one only: a daemon is there again.
    workspace.pipctl(&["start", "second"]).ok();
    workspace.await_phase("first", Phase::Ready);
    assert_ne!(workspace.pid("first"), pid);
}

#[test]
fn case_32_a_shim_that_says_nothing_is_replaced() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("silent");
    workspace.stub_service("worker", "", "");
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("worker");
    let shim = service.shim_pid.unwrap();
    suspend(shim);
    let daemon = sandbox.kill_daemon();
    until("the daemon to be gone", SHORT, || !alive(daemon));
    workspace.pipctl(&["start"]).ok();
    let again = workspace
        .await_service("worker", "with another shim", |found| found.shim_pid.is_some_and(|pid| pid != shim));
    assert_eq!((again.pid, again.run), (service.pid, service.run));
    assert!(!alive(shim));
}

#[test]
fn a_server_whose_helpers_come_and_go_is_not_asked_about_each_of_them() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("helpers");
    workspace.write(
        "app.py",
        &format!(
            "import http.server, subprocess, threading\n\n\
             class Asked(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n        \
             open('asked', 'a').write('x')\n        self.send_response(200)\n        self.end_headers()\n\n\
             def helpers():\n    while True:\n        subprocess.run(['sleep', '0.05'])\n\n\
             threading.Thread(target=helpers, daemon=True).start()\n\
             http.server.HTTPServer(('127.0.0.1', {port}), Asked).serve_forever()\n"
        ),
    );
    workspace.config(&format!("[services.app]\ncommand = [\"python3\", \"app.py\"]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    let (begun, before) = (Instant::now(), workspace.read("asked").len());
    until("three seconds", SHORT, || begun.elapsed() > Duration::from_secs(3));
    let asked = workspace.read("asked").len() - before;
    assert!(asked <= 5, "asked {asked} times in three seconds");
}

#[test]
fn a_server_is_still_known_as_its_runs_own_after_its_shim_died() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("orphan");
    // The server has left its parent, its group and its session; helpers die all the time, so it is looked at.
    workspace.write(
        "app.py",
        &format!(
            "import http.server, os, subprocess\n\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        \
             http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()\n    \
             os._exit(0)\nos.wait()\nwhile True:\n    subprocess.run(['sleep', '0.2'])\n"
        ),
    );
    workspace.config(&format!("[services.app]\ncommand = [\"python3\", \"app.py\"]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("app");
    kill(service.shim_pid.unwrap());
    let begun = Instant::now();
    until("four seconds", SHORT, || begun.elapsed() > Duration::from_secs(4));
    let now = workspace.service("app");
    assert_eq!((now.pid, now.run, now.phase), (service.pid, service.run, Phase::Ready));
}

#[test]
fn a_run_of_many_processes_leaves_the_daemon_its_descriptors() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("many");
    workspace.write(
        "app.py",
        &format!(
            "import http.server, subprocess\n\nkept = [subprocess.Popen(['sleep', '1000']) for _ in range(300)]\n\
             http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()\n"
        ),
    );
    workspace.config(&format!("[services.app]\ncommand = [\"python3\", \"app.py\"]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    if !cfg!(target_os = "linux") {
        testkit::skip!("descriptors of another process cannot be counted here");
    }
    let open = || std::fs::read_dir(format!("/proc/{}/fd", sandbox.daemon())).unwrap().count();
    let begun = Instant::now();
    until("the members to be noted", SHORT, || open() > 100 || begun.elapsed() > Duration::from_secs(3));
    assert!(open() < 200, "{} descriptors for one run", open());
}
