//! A port that is somebody else's: named, never touched, waited for.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::process::Child;

use testkit::{SHORT, Sandbox, Stack, alive, exit, get, sandbox, skip, until};
use wire::Phase;

/// A stranger: a stub of nobody's, in the sandbox's home.
struct Stranger(Child);

impl Stranger {
    fn listening(sandbox: &Sandbox, address: &str) -> Self {
        let child = sandbox.command(sandbox.stub()).args(["--listen", address]).spawn().unwrap();
        let stranger = Self(child);
        until("the stranger to listen", SHORT, || get(&format!("http://{address}/")).is_ok());
        stranger
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    fn leave(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn case_73_a_stranger_is_named_and_left_alone_until_the_port_is_free() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("taken");
    let witness = workspace.path("witness");
    workspace.stub_service(
        "web",
        &format!("--listen {port} --witness {}", witness.display()),
        &format!("port = {port}"),
    );
    let stranger = Stranger::listening(&sandbox, &format!("127.0.0.1:{port}"));

    let refused = workspace.pipctl(&["start"]).expect(exit::BLOCKED);
    let said = refused.all();
    for part in [&port.to_string(), &stranger.pid().to_string(), "stub", "kill"] {
        assert!(said.contains(part), "{part:?} expected in {refused}");
    }
    let service = workspace.service("web");
    assert_eq!((service.phase, service.pid), (Phase::Blocked, None));
    let holder = &service.holders[0];
    assert_eq!(holder.pid, Some(stranger.pid()));
    assert!(holder.command.as_ref().unwrap().contains("stub"), "{holder:?}");
    assert!(holder.user.is_some() && holder.cwd.is_some() && holder.since_ms.is_some(), "{holder:?}");
    assert_eq!(workspace.read("witness"), "", "it was spawned although the port was taken");

    assert!(alive(stranger.pid()));
    stranger.leave();
    workspace.await_phase("web", Phase::Ready);
    assert_eq!(workspace.service("web").restarts, 0);
}

#[test]
fn case_76_a_stranger_on_any_address_of_the_port_is_seen() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("families");
    workspace.stub_service("web", &format!("--listen 0.0.0.0:{port}"), &format!("port = {port}"));
    let addresses: [SocketAddr; 3] = [
        (Ipv4Addr::UNSPECIFIED, port.number()).into(),
        (Ipv6Addr::LOCALHOST, port.number()).into(),
        (Ipv6Addr::UNSPECIFIED, port.number()).into(),
    ];
    for address in addresses {
        let Ok(listener) = TcpListener::bind(address) else { skip!("no IPv6 on this machine: {address}") };
        workspace.pipctl(&["start"]).expect(exit::BLOCKED).says(&port.to_string());
        let holder = workspace.service("web").holders[0].clone();
        assert_eq!(holder.pid, Some(std::process::id().try_into().unwrap()), "{address}: {holder:?}");
        drop(listener);
        workspace.await_phase("web", Phase::Ready);
        workspace.pipctl(&["stop"]).ok();
    }
}

/// Somebody with a socket that may be shared: a second listener would even get the port.
#[test]
fn case_76_a_stranger_that_would_share_the_port_is_seen() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("shared");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    let script = "import socket, sys, time\ns = socket.socket()\n\
                  s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
                  s.bind(('127.0.0.1', int(sys.argv[1])))\ns.listen()\nprint('listens', flush=True)\ntime.sleep(1000)\n";
    let stranger = python(&sandbox, script, &port.to_string());
    workspace.pipctl(&["start"]).expect(exit::BLOCKED).says(&stranger.pid().to_string());
    stranger.leave();
    workspace.await_phase("web", Phase::Ready);
}

/// Python in the sandbox's home, once it has said that it is so far.
fn python(sandbox: &Sandbox, script: &str, argument: &str) -> Stranger {
    use std::io::BufRead as _;
    let mut command = sandbox.command("python3");
    let mut child =
        command.args(["-c", script, argument]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "it ended");
    Stranger(child)
}

/// The other side has hung up, this side has not noticed: nobody listens there.
#[test]
fn case_75_a_connection_left_half_open_does_not_hold_the_port() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("half-open");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    let script = "import socket, sys, time\nl = socket.socket()\n\
                  l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
                  l.bind(('127.0.0.1', int(sys.argv[1])))\nl.listen()\n\
                  c = socket.create_connection(l.getsockname())\ns, _ = l.accept()\nl.close()\nc.close()\n\
                  print('half open', flush=True)\ntime.sleep(1000)\n";
    let stranger = python(&sandbox, script, &port.to_string());
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    assert!(alive(stranger.pid()));
}

#[test]
fn case_75_a_connection_that_is_over_does_not_hold_the_port() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("lingering");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    for _ in 0..3 {
        workspace.pipctl(&["start"]).ok();
        // The server closes first: its side of these connections stays in TIME_WAIT.
        for _ in 0..5 {
            assert_eq!(get(&format!("http://127.0.0.1:{port}/")).unwrap().status, 200);
        }
        workspace.pipctl(&["stop"]).ok();
    }
}

#[test]
fn case_78_two_workspaces_that_want_one_port_are_told_of_each_other() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let (first, second) = (sandbox.workspace("first"), sandbox.workspace("second"));
    for workspace in [&first, &second] {
        workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    }
    first.pipctl(&["start"]).ok();
    let pid = first.pid("web");
    let refused = second.pipctl(&["start"]).expect(exit::BLOCKED);
    assert!(refused.all().contains("first"), "the other workspace expected in {refused}");
    assert!(refused.all().contains("pipctl stop"), "the command to type expected in {refused}");
    assert_eq!(first.pid("web"), pid);
    first.pipctl(&["stop"]).ok();
    second.await_phase("web", Phase::Ready);
}

#[test]
fn case_78_an_automatic_port_goes_around_a_stranger_and_is_remembered() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("auto");
    workspace.stub_service("web", "--listen {port}", "port = \"auto\"");
    workspace.pipctl(&["start"]).ok();
    let first = workspace.service("web").port.unwrap();
    assert_eq!(get(&format!("http://127.0.0.1:{first}/")).unwrap().status, 200);
    workspace.pipctl(&["stop"]).ok();
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.service("web").port, Some(first));
}

#[test]
fn case_79_80_an_answer_from_somebody_elses_socket_is_not_readiness() {
    let sandbox = sandbox!();
    let (port, elsewhere) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("impostor");
    // It says it serves on `port` and listens elsewhere; the stranger takes the port after the check.
    workspace.stub_service(
        "web",
        &format!("--listen {elsewhere}"),
        &format!("port = {port}\nready = {{ http = \"/\", timeout = \"3s\" }}"),
    );
    workspace.pipctl(&["start", "--no-wait"]).ok();
    workspace.await_phase("web", Phase::Starting);
    let stranger = Stranger::listening(&sandbox, &format!("127.0.0.1:{port}"));
    let finished = workspace.pipctl(&["start", "--timeout", "2s"]);
    assert_ne!(finished.code, exit::OK, "{finished}");
    assert_ne!(workspace.service("web").phase, Phase::Ready);
    assert!(alive(stranger.pid()));
}

#[test]
fn case_77_jupyterlab_never_moves_to_another_port() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("lab");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    let stranger = Stranger::listening(&sandbox, &format!("127.0.0.1:{port}"));
    workspace.pipctl(&["start"]).expect(exit::BLOCKED).says(&stranger.pid().to_string());
    assert_eq!(workspace.service("jupyter").pid, None, "it was spawned although the port was taken");
    stranger.leave();
    until("JupyterLab by itself", testkit::LONG, || workspace.service("jupyter").phase == Phase::Ready);
    assert_eq!(workspace.service("jupyter").port, Some(port.number()));
}

#[test]
fn case_78_of_two_workspaces_the_second_may_choose() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let (first, second) = (sandbox.workspace("holds"), sandbox.workspace("wants"));
    for workspace in [&first, &second] {
        workspace.stub_service("web", "--listen {port}", &format!("port = {port}"));
    }
    first.pipctl(&["start"]).ok();
    let root = first.root().display().to_string();
    let refused = second.pipctl(&["start"]).expect(exit::BLOCKED);
    let choices = second.service("web").choices;
    assert_eq!(choices.len(), 3, "{choices:?}");
    for (choice, begin) in choices.iter().zip([
        &format!("pipctl stop web -w {root}") as &str,
        "pipctl start web --takeover",
        "pipctl start web --port auto",
    ]) {
        assert!(choice.starts_with(begin), "{choice}");
        assert!(refused.all().contains(begin), "{begin} expected in {refused}");
    }

    // Another port, kept over a restart of pipd.
    second.pipctl(&["start", "--port", "auto"]).ok();
    let own = second.service("web").port.unwrap();
    assert_ne!(own, port.number());
    assert_eq!(get(&format!("http://127.0.0.1:{own}/")).unwrap().status, 200);
    second.pipctl(&["stop"]).ok();
    second.pipctl(&["daemon", "restart"]).ok();
    second.pipctl(&["start"]).ok();
    assert_eq!(second.service("web").port, Some(own));
    // Back to what is configured, and the other one makes way, through its own lifecycle.
    second.pipctl(&["stop"]).ok();
    second.pipctl(&["start", "--port", "configured", "--takeover"]).ok();
    assert_eq!(second.service("web").port, Some(port.number()));
    let stopped = first.service("web");
    assert_eq!((stopped.phase, stopped.goal), (Phase::Down, wire::Goal::Down));
    assert!(stopped.last_exit.is_some_and(|exit| exit.asked));
}

#[test]
fn case_73_a_stranger_is_ended_only_by_name() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("named");
    workspace.stub_service("web", "--listen {port}", &format!("port = {port}"));
    let stranger = Stranger::listening(&sandbox, &format!("127.0.0.1:{port}"));
    let pid = stranger.pid();
    let said = workspace.pipctl(&["start", "web", "--takeover"]).expect(exit::BLOCKED);
    assert!(said.all().contains(&format!("pipctl start web --takeover={pid}")), "{said}");
    // Another number is no leave.
    workspace.pipctl(&["start", "web", &format!("--takeover={}", std::process::id())]).expect(exit::BLOCKED);
    assert!(alive(pid));
    let mut stranger = stranger;
    let reaper = std::thread::spawn(move || stranger.0.wait());
    workspace.pipctl(&["start", "web", &format!("--takeover={pid}")]).ok();
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    reaper.join().unwrap().unwrap();
}
