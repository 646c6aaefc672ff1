//! The promise of the first page, on the real servers: `pipctl start`, two addresses, and everything one
//! does next.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::time::Duration;

use testkit::{Port, SHORT, Sandbox, Stack, Workspace, exit, get, sandbox, skip, until};
use wire::{Goal, Kind, Phase, Snapshot};

/// What a user has: a `.venv` and a `server.py`; ports of the test's own.
fn real<'a>(sandbox: &'a Sandbox, venv: &std::path::Path, jupyter: &Port, server: &Port) -> Workspace<'a> {
    let workspace = sandbox.workspace("project");
    workspace.link_venv(venv);
    workspace.write(
        "server.py",
        "from fasthtml.common import *\n\napp, rt = fast_app()\n\n\n@rt('/health')\ndef health():\n    \
         return {'ok': True}\n\n\nserve()\n",
    );
    workspace
        .config(&format!("[services.jupyter]\nport = {jupyter}\n\n[services.server]\nport = {server}\n"));
    workspace
}

#[test]
fn start_gives_two_addresses_that_work_and_a_second_start_changes_nothing() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let (jupyter_port, server_port) = (sandbox.port(), sandbox.port());
    let workspace = real(&sandbox, &venv, &jupyter_port, &server_port);

    let started = workspace.pipctl(&["start"]).ok();
    let jupyter = workspace.service("jupyter");
    let server = workspace.service("server");
    assert_eq!((jupyter.phase, server.phase), (Phase::Ready, Phase::Ready));
    assert_eq!((jupyter.goal, server.goal), (Goal::Up, Goal::Up));
    assert_eq!((jupyter.kind, server.kind), (Kind::Jupyter, Kind::Web));
    assert_eq!(jupyter.port, Some(jupyter_port.number()));
    assert_eq!(server.port, Some(server_port.number()));

    // Both addresses are printed, and both work when clicked.
    let lab = jupyter.url.clone().expect("an address");
    let page = server.url.clone().expect("an address");
    assert!(started.stdout.contains(&lab), "{lab} expected in {started}");
    assert!(started.stdout.contains(&page), "{page} expected in {started}");
    assert_logs_in(&lab);
    assert_eq!(get(&format!("{}/health", page.trim_end_matches('/'))).unwrap().status, 200);

    // It says what it found: the interpreter and why each service is there.
    let said = started.all();
    assert!(said.contains(".venv"), "the interpreter expected in {started}");
    assert!(said.contains("server.py"), "the reason for `server` expected in {started}");

    let pids = |workspace: &Workspace| (workspace.pid("jupyter"), workspace.pid("server"));
    let before = pids(&workspace);
    let again = workspace.pipctl(&["start"]).ok();
    assert_eq!(pids(&workspace), before, "a second start changed a process");
    assert!(again.took < Duration::from_secs(3), "a second start took {:?}", again.took);
    assert!(again.stdout.contains(&lab), "{lab} expected in {again}");

    let kernel = workspace.jupyter("jupyter").start_kernel();
    assert_eq!(workspace.jupyter("jupyter").execute(&kernel, "6 * 7"), "42");

    let stopped = workspace.pipctl(&["stop"]).ok();
    assert!(stopped.took < Duration::from_secs(15), "{stopped}");
    for (name, (pid, port)) in [("jupyter", (before.0, &jupyter_port)), ("server", (before.1, &server_port))]
    {
        let service = workspace.service(name);
        assert_eq!((service.phase, service.goal, service.pid), (Phase::Down, Goal::Down, None));
        assert!(!testkit::alive(pid), "{name} is still alive");
        assert!(
            std::net::TcpListener::bind(("127.0.0.1", port.number())).is_ok(),
            "{name}: port still taken"
        );
    }
    workspace.pipctl(&["stop"]).ok();
}

/// `/lab` with the token shows the application or goes there, never to the login form.
fn assert_logs_in(url: &str) {
    let answer = get(url).unwrap();
    let location =
        answer.head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap_or_default().to_owned();
    assert!(matches!(answer.status, 200 | 302), "{url}: {}", answer.head);
    assert!(!location.contains("login"), "{url} goes to {location}");
    assert!(!answer.body.contains("password_input"), "{url} shows a login form");
    // Without it, the door is closed.
    let bare = get(url.split('?').next().unwrap()).unwrap();
    assert_eq!(bare.status, 302);
    assert!(bare.head.contains("login"), "{}", bare.head);
}

#[test]
fn every_reading_verb_speaks_json() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("json");
    workspace.stub_service(
        "web",
        &format!("--listen {port} --say hello --print 3"),
        &format!("port = {port}"),
    );
    workspace.pipctl(&["start"]).ok();

    let snapshot: Snapshot = workspace.pipctl(&["status", "--json"]).ok().json();
    assert_eq!(snapshot.workspaces.len(), 1);
    let service = &snapshot.workspaces[0].services[0];
    assert_eq!((service.name.as_str(), service.phase), ("web", Phase::Ready));
    assert!(service.pid.is_some() && service.shim_pid.is_some() && service.started_ms.is_some());

    let all = sandbox.list();
    assert_eq!(all[0].root.as_ref().map(|root| root.as_path().to_owned()), Some(workspace.root().to_owned()));

    let why = workspace.why("web");
    assert_eq!(why.runs.len(), 1);
    assert_eq!(why.runs[0].pid, service.pid);

    let urls: serde_json::Value = workspace.pipctl(&["url", "--json"]).ok().json();
    assert!(urls.to_string().contains(&format!(":{port}")), "{urls}");
    let plain = workspace.pipctl(&["url", "web"]).ok();
    assert_eq!(plain.stdout.trim(), service.url.clone().unwrap());

    let lines = workspace.pipctl(&["logs", "web", "--json"]).ok();
    let texts: Vec<String> = lines
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(texts.windows(4).any(|four| four == ["hello", "line 0", "line 1", "line 2"]), "{texts:?}");

    let version: serde_json::Value = workspace.pipctl(&["version", "--json"]).ok().json();
    assert!(version.to_string().contains(env!("CARGO_PKG_VERSION")), "{version}");
    let daemon: serde_json::Value = workspace.pipctl(&["daemon", "status", "--json"]).ok().json();
    assert!(daemon.to_string().contains(&sandbox.daemon().to_string()), "{daemon}");
}

#[test]
fn case_65_status_without_a_daemon_says_so_quickly_and_starts_none() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("quiet");
    workspace.stub_service("web", "", "");
    for verb in [&["status"][..], &["status", "--json"], &["list"], &["daemon", "status"]] {
        let finished = workspace.pipctl(verb);
        assert!(finished.all().contains("not running") || finished.all().contains("no daemon"), "{finished}");
        assert!(finished.took < Duration::from_secs(2), "{finished}");
    }
    assert_eq!(sandbox.processes(), Vec::<i32>::new(), "a reading verb started something");
    assert!(sandbox.try_daemon().is_none());
}

#[test]
fn case_59_ten_starts_at_once_give_one_daemon_and_one_of_each() {
    let sandbox = sandbox!();
    let (one, other) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("crowd");
    let witness = workspace.path("witness");
    let witness = witness.display();
    workspace.stub_service("one", &format!("--listen {one} --witness {witness}"), &format!("port = {one}"));
    workspace.stub_service(
        "other",
        &format!("--listen {other} --witness {witness}"),
        &format!("port = {other}"),
    );
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..10).map(|_| scope.spawn(|| workspace.pipctl(&["start"]))).collect();
        for start in starts {
            start.join().unwrap().ok();
        }
    });
    let births = workspace.read("witness").lines().filter(|line| line.contains(" started ")).count();
    assert_eq!(births, 2, "{}", workspace.read("witness"));
    let pipd = sandbox.program().with_file_name("pipd");
    // One that lost the race may still be on its way out.
    until("one daemon", SHORT, || {
        sandbox.processes().into_iter().filter(|&pid| program_of(pid) == Some(pipd.clone())).count() == 1
    });
}

fn program_of(pid: i32) -> Option<std::path::PathBuf> {
    os::process::command(pid)?.first().map(std::path::PathBuf::from)
}

#[test]
fn start_returns_at_ready_failed_or_timeout_with_its_own_code() {
    let sandbox = sandbox!();
    let (slow, late) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("codes");
    workspace.stub_service("slow", &format!("--listen {slow} --ready-after 700"), &format!("port = {slow}"));
    workspace.stub_service(
        "broken",
        "--say 'about to fail' --exit-after 50 --exit-code 7",
        &format!("port = {}", sandbox.port()),
    );
    workspace.stub_service(
        "late",
        &format!("--ready-after 60000 --listen {late}"),
        &format!("port = {late}"),
    );

    let began = std::time::Instant::now();
    workspace.pipctl(&["start", "slow"]).ok();
    assert!(began.elapsed() >= Duration::from_millis(700), "start returned before it was ready");

    workspace.pipctl(&["start", "broken"]).expect(exit::FAILED).says("exit code 7").says("about to fail");
    workspace.pipctl(&["start", "late", "--timeout", "1s"]).expect(exit::TIMEOUT).says("late");
    workspace.pipctl(&["start", "late", "--no-wait"]).ok();
    workspace.pipctl(&["start", "nosuch"]).expect(exit::USAGE).says("nosuch");
    workspace.pipctl(&["start", "--nosuch"]).expect(exit::USAGE);
    // The walk upwards finds nothing here.
    sandbox.pipctl(&["start"]).expect(exit::USAGE);
}

#[test]
fn one_service_is_stopped_and_restarted_without_the_other() {
    let sandbox = sandbox!();
    let (one, other) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("pair");
    workspace.stub_service("one", &format!("--listen {one}"), &format!("port = {one}"));
    workspace.stub_service("other", &format!("--listen {other}"), &format!("port = {other}"));
    workspace.pipctl(&["start"]).ok();
    let (first, kept) = (workspace.pid("one"), workspace.pid("other"));

    workspace.pipctl(&["restart", "one"]).ok();
    assert_ne!(workspace.pid("one"), first);
    assert_eq!(workspace.pid("other"), kept);

    workspace.pipctl(&["stop", "one"]).ok();
    assert_eq!(workspace.service("one").phase, Phase::Down);
    assert_eq!(workspace.pid("other"), kept);
    assert_eq!(get(&format!("http://127.0.0.1:{other}/")).unwrap().status, 200);
}

#[test]
fn a_workspace_is_found_from_below_and_named_from_afar() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("deep");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    workspace.write("a/b/c/file", "");
    let mut below = workspace.command(sandbox.program());
    below.current_dir(workspace.path("a/b/c")).arg("start");
    workspace.run(below, testkit::LONG).ok();
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    sandbox.pipctl(&["stop", "-w", &workspace.root().to_string_lossy()]).ok();
    assert_eq!(workspace.service("web").phase, Phase::Down);
}

#[test]
fn services_start_in_the_order_of_after() {
    let sandbox = sandbox!();
    let (database, web) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("order");
    let witness = workspace.path("witness");
    let witness = witness.display();
    workspace.stub_service(
        "web",
        &format!("--listen {web} --witness {witness}"),
        &format!("port = {web}\nafter = [\"database\"]"),
    );
    workspace.stub_service(
        "database",
        &format!("--listen {database} --ready-after 300 --witness {witness}"),
        &format!("port = {database}"),
    );
    workspace.pipctl(&["start"]).ok();
    let text = workspace.read("witness");
    let events: Vec<&str> = text.lines().filter_map(|line| line.splitn(3, ' ').nth(2)).collect();
    let ready = events.iter().position(|event| *event == format!("listening 127.0.0.1:{database}")).unwrap();
    let started = events.iter().rposition(|event| event.starts_with("started")).unwrap();
    assert!(ready < started, "{text}");
}

/// Both well-known ports, untouched by whatever else this machine runs: a network of the test's own.
#[test]
fn zero_configuration_means_8888_and_5001() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("zero");
    workspace.link_venv(&venv);
    workspace.write("server.py", "from fasthtml.common import *\n\napp, rt = fast_app()\n\nserve()\n");
    let script = format!(
        "set -e; ip link set lo up 2>/dev/null || {python} -c {up}; {pipctl} start; \
         {python} -c {ask}; {pipctl} status --json; {pipctl} stop >&2; {pipctl} daemon stop >&2",
        python = venv.join("bin/python").display(),
        pipctl = sandbox.program().display(),
        up = "'import fcntl, socket, struct; s = socket.socket(); \
              fcntl.ioctl(s, 0x8914, struct.pack(\"16sh\", b\"lo\", 0x49))'",
        ask = "'import urllib.request as r; r.urlopen(\"http://localhost:8888/api\"); r.urlopen(\"http://localhost:5001/\")' \
               || true",
    );
    let mut command = workspace.command("unshare");
    command.args(["--net", "--", "sh", "-c", &script]);
    if !can_unshare() {
        skip!("needs root for a network namespace of its own");
    }
    let finished = workspace.run(command, 3 * testkit::LONG).ok();
    let (printed, json) = finished.stdout.split_at(finished.stdout.find('{').expect("JSON in the output"));
    assert!(printed.contains("localhost:8888/lab?token="), "{finished}");
    assert!(printed.contains("localhost:5001"), "{finished}");
    let snapshot: Snapshot = serde_json::from_str(json).unwrap();
    let ports: Vec<_> =
        snapshot.workspaces[0].services.iter().map(|service| (service.name.as_str(), service.port)).collect();
    assert_eq!(ports, [("jupyter", Some(8888)), ("server", Some(5001))]);
}

fn can_unshare() -> bool {
    std::process::Command::new("unshare")
        .args(["--net", "true"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn open_hands_the_browser_the_address_that_logs_in_and_start_opens_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("browser");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    let browser = workspace.path("browser");
    workspace.write("browser", &format!("#!/bin/sh\necho \"$1\" >>{}\n", workspace.path("opened").display()));
    std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.set("BROWSER", Some(&browser.to_string_lossy()));
    workspace.pipctl(&["start"]).ok();
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.read("opened"), "", "start opened a browser unasked");
    workspace.pipctl(&["open", "web"]).ok();
    until("the browser", SHORT, || !workspace.read("opened").is_empty());
    assert_eq!(workspace.read("opened").trim(), workspace.service("web").url.unwrap());
}
