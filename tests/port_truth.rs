//! What `status` says of where a service really listens, of who else does, and of holders that are hard to see.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::{LONG, Port, SHORT, Sandbox, Stack, alive, exit, get, sandbox, skip, until};
use wire::{Goal, Owner, Phase, ServiceView};

/// A process of somebody else's, ended with the test.
struct Other(Child);

impl Other {
    fn runs(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves HTTP on one address, with socket options that the stub has no words for, and says so in a file.
const ODD: &str = "
import socket, sys
address, port, options, ready = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
family = socket.AF_INET6 if ':' in address else socket.AF_INET
s = socket.socket(family)
if 'v6only' in options:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
if 'reuseport' in options:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((address, port))
s.listen()
open(ready, 'w').close()
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')
    c.close()
";

fn odd(sandbox: &Sandbox, address: &str, port: &Port, options: &str) -> Other {
    let ready = sandbox.folder().join(format!("odd-{port}-{}", address.len()));
    let _ = std::fs::remove_file(&ready);
    let mut command = sandbox.command("python3");
    command.args(["-c", ODD, address, &port.to_string(), options]).arg(&ready);
    let other = Other::runs(command);
    until("it to listen", SHORT, || ready.exists());
    other
}

fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

fn warns(service: &ServiceView, parts: &[&str]) -> bool {
    service.warnings.iter().any(|warning| parts.iter().all(|part| warning.contains(part)))
}

#[test]
fn a_service_that_listens_elsewhere_is_told_where() {
    let sandbox = sandbox!();
    let (promised, real) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("elsewhere");
    workspace.stub_service("web", &format!("--listen {real}"), &format!("port = {promised}"));
    workspace.pipctl(&["start", "--no-wait"]).ok();
    let real = real.to_string();
    let wanted = [
        &format!("listens on 127.0.0.1:{real}, not on its port {promised}") as &str,
        "`{port}`",
        &format!("port = {real}"),
        "[services.web]",
    ];
    workspace.await_service("web", "a word about its real port", |service| warns(service, &wanted));
    assert_eq!(workspace.service("web").phase, Phase::Starting);
    let shown = workspace.pipctl(&["status"]).expect(exit::TIMEOUT);
    assert!(wanted.iter().all(|part| shown.stdout.contains(part)), "{shown}");
    // What it advises helps.
    let mended =
        workspace.read("pipd.toml").replace(&format!("port = {promised}"), &format!("port = {real}"));
    workspace.write("pipd.toml", &mended);
    workspace.pipctl(&["restart", "web"]).ok();
    let service = workspace.service("web");
    assert_eq!((service.phase, &service.warnings[..]), (Phase::Ready, &[] as &[String]));
}

#[test]
fn a_listener_for_the_whole_network_beside_the_promised_one_is_a_warning() {
    let sandbox = sandbox!();
    let (port, open) = (sandbox.port(), sandbox.port());
    for (name, address) in [("four", "0.0.0.0"), ("six", "[::]")] {
        if name == "six" && !has_ipv6() {
            skip!("no IPv6 on this machine");
        }
        let workspace = sandbox.workspace(name);
        workspace.stub_service(
            "web",
            &format!("--listen {port} --listen {address}:{open}"),
            &format!("port = {port}"),
        );
        workspace.pipctl(&["start"]).ok();
        let wanted = [&format!("listens on {address}:{open}") as &str, "others in this network", "127.0.0.1"];
        workspace.await_service("web", "a word about the open door", |service| warns(service, &wanted));
        workspace.pipctl(&["status"]).ok().says("others in this network can reach it");
        workspace.pipctl(&["stop"]).ok();
    }
}

#[test]
fn the_wildcard_that_fasthtml_binds_by_default_is_a_warning_whose_advice_helps() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("open");
    workspace.link_venv(&venv);
    let app = "from fasthtml.common import *\napp, rt = fast_app()\nserve()\n";
    workspace.write("server.py", app);
    workspace.config(&format!("[services.jupyter]\nenabled = false\n\n[services.server]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    let advice = "serve(host=\"127.0.0.1\")";
    let wanted = [&format!("0.0.0.0:{port}") as &str, "others in this network can reach it", advice];
    workspace.await_service("server", "a word about its address", |service| warns(service, &wanted));
    workspace.write("server.py", &app.replace("serve()", advice));
    workspace.pipctl(&["restart"]).ok();
    workspace.await_service("server", "an address of this machine alone", |service| {
        service.phase == Phase::Ready && service.warnings.is_empty()
    });
    let listening = workspace.details("server").listening.unwrap().addresses;
    assert_eq!(listening, [format!("127.0.0.1:{port}")]);
}

#[test]
fn a_jupyterlab_that_is_open_or_has_a_token_of_its_own_is_a_warning() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let config = sandbox.folder().join("home/.jupyter");
    std::fs::create_dir_all(&config).unwrap();
    let configure = |text: &str| std::fs::write(config.join("jupyter_server_config.py"), text).unwrap();
    let workspace = sandbox.workspace("lab");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));

    configure("c.IdentityProvider.token = ''\n");
    workspace.pipctl(&["start"]).ok();
    let wanted = ["its token is empty", "may run code", "jupyter_server_config.py", "pipctl restart jupyter"];
    let service =
        workspace.await_service("jupyter", "a word about the door", |service| warns(service, &wanted));
    assert!(!service.url.unwrap().contains("token="));
    let shown = workspace.pipctl(&["status"]).ok().stdout;
    assert!(shown.contains("its token is empty"), "{shown}");

    configure("c.IdentityProvider.token = 'chosen-by-somebody'\n");
    workspace.pipctl(&["restart"]).ok();
    let wanted = ["its token is not pipd's", "jupyter_server_config.py", "pipctl restart jupyter"];
    let service =
        workspace.await_service("jupyter", "a word about the token", |service| warns(service, &wanted));
    assert!(!warns(&service, &["its token is empty"]), "{service:?}");
    // Where people are sent is where they get in; and no secret is in a warning.
    assert!(service.url.as_ref().unwrap().ends_with("?token=chosen-by-somebody"), "{service:?}");
    assert!(!service.warnings.concat().contains("chosen-by-somebody"));

    // What it advises helps.
    configure("");
    workspace.pipctl(&["restart"]).ok();
    let service = workspace.await_service("jupyter", "no word about a token", |service| {
        service.phase == Phase::Ready && !warns(service, &["token"])
    });
    let (_, token) = service.url.as_ref().unwrap().split_once("token=").unwrap();
    assert!(token.len() >= 32 && token != "chosen-by-somebody", "{service:?}");
    assert_eq!(get(&format!("http://127.0.0.1:{port}/api/status?token={token}")).unwrap().status, 200);
}

#[test]
fn case_79_an_answer_on_the_other_family_while_it_is_waited_for_is_nobodys_readiness() {
    let sandbox = sandbox!();
    if !has_ipv6() {
        skip!("no IPv6 on this machine");
    }
    let port = sandbox.port();
    let workspace = sandbox.workspace("waiting");
    workspace.stub_service("web", &format!("--listen {port} --ready-after 4000"), &format!("port = {port}"));
    workspace.pipctl(&["start", "--no-wait"]).ok();
    workspace.await_phase("web", Phase::Starting);
    // It comes between the check and the bind, and answers at once.
    let other = odd(&sandbox, "::1", &port, "");
    assert_eq!(get(&format!("http://[::1]:{port}/")).unwrap().status, 200);
    let named = format!("pid {}", other.pid());
    workspace.await_service("web", "a word about who answers", |service| {
        assert_ne!(service.phase, Phase::Ready, "a stranger's answer made it ready");
        service.detail.as_ref().is_some_and(|detail| {
            detail.contains("is answered by")
                && detail.contains(&named)
                && detail.contains("not part of this run")
        })
    });
    // Then its own listener is there, and the stranger is no obstacle, but said: localhost may be either of them.
    workspace.await_phase("web", Phase::Ready);
    let wanted = [&named as &str, &format!("[::1]:{port}"), "localhost", &format!("kill {}", other.pid())];
    workspace.await_service("web", "a word about the other one", |service| warns(service, &wanted));
    let pid = workspace.pid("web");
    drop(other);
    workspace.await_service("web", "no word about one that is gone", |service| {
        !warns(service, &["localhost may"])
    });
    assert_eq!((workspace.pid("web"), workspace.service("web").restarts), (pid, 0));
}

#[test]
fn case_76_one_that_shares_the_port_is_seen_before_and_afterwards() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("shared");
    let served = sandbox.folder().join("served");
    workspace.write("odd.py", ODD);
    workspace.config(&format!(
        "[services.web]\ncommand = [\"python3\", \"odd.py\", \"127.0.0.1\", \"{port}\", \"reuseport\", \"{}\"]\nport = {port}\n",
        served.display()
    ));
    // Though a bind would succeed beside it.
    let other = odd(&sandbox, "127.0.0.1", &port, "reuseport");
    workspace.pipctl(&["start"]).expect(exit::BLOCKED).says(&format!("pid {}", other.pid()));
    assert!(!served.exists(), "it was started beside a stranger");
    assert_eq!(workspace.service("web").owner, Owner::Foreign);
    drop(other);
    workspace.await_phase("web", Phase::Ready);
    assert!(workspace.service("web").warnings.is_empty());
    let other = odd(&sandbox, "127.0.0.1", &port, "reuseport");
    let wanted = [&format!("pid {}", other.pid()) as &str, &format!("listens on 127.0.0.1:{port} too")];
    workspace.await_service("web", "a word about who shares its port", |service| warns(service, &wanted));
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    assert!(alive(other.pid()));
}

#[test]
fn case_76_a_wildcard_of_ipv6_alone_is_a_collision_for_localhost() {
    let sandbox = sandbox!();
    if !has_ipv6() {
        skip!("no IPv6 on this machine");
    }
    let port = sandbox.port();
    for (name, options) in [("sixonly", "v6only"), ("both", "")] {
        let workspace = sandbox.workspace(name);
        workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
        let other = odd(&sandbox, "::", &port, options);
        workspace.pipctl(&["start"]).expect(exit::BLOCKED).says(&format!("pid {}", other.pid()));
        let service = workspace.service("web");
        assert_eq!(
            (service.holders.len(), &service.holders[0].address),
            (1, &format!("[::]:{port}")),
            "{service:?}"
        );
        drop(other);
        workspace.await_phase("web", Phase::Ready);
        workspace.pipctl(&["stop"]).ok();
    }
}

#[test]
fn case_74_an_orphan_of_ours_is_ended_when_somebody_takes_its_port() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("orphan");
    let witness = workspace.path("witness");
    workspace.stub_service(
        "web",
        &format!("--listen {port} --witness {}", witness.display()),
        &format!("port = {port}"),
    );
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("web");
    let (orphan, shim) = (service.pid.unwrap(), service.shim_pid.unwrap());
    let host = sandbox.host();
    // Everything that knew of it is gone at once: daemon, shim, records.
    testkit::suspend(shim);
    sandbox.kill_daemon();
    testkit::kill(shim);
    until("its shim to be gone", SHORT, || !alive(shim));
    std::fs::remove_dir_all(host).unwrap();
    let births = || workspace.read("witness").lines().filter(|line| line.contains("start")).count();
    let before = births();

    let refused = workspace.pipctl(&["start"]).expect(exit::BLOCKED);
    for part in ["left over from `web`", &format!("kill {orphan}"), "pipctl start web --takeover"] {
        assert!(refused.all().contains(part), "{part:?} expected in {refused}");
    }
    let blocked = workspace.service("web");
    assert_eq!((blocked.phase, blocked.goal, blocked.owner), (Phase::Blocked, Goal::Up, Owner::Foreign));
    assert_eq!(blocked.holders[0].owner, Owner::Managed, "{blocked:?}");
    // No loop of attempts that cannot succeed: it waits.
    let run = blocked.run;
    let since = std::time::Instant::now();
    until("a while", SHORT, || since.elapsed() > Duration::from_secs(2));
    assert_eq!((births(), workspace.service("web").run), (before, run));
    assert!(alive(orphan));

    workspace.pipctl(&["start", "web", "--takeover"]).ok();
    assert!(!alive(orphan));
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    assert_eq!(births(), before + 1);
}

/// Whether commands can be run in a network of their own.
fn can_leave_the_network() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a program in a network of its own.
const APART: [&str; 5] = ["--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"];

#[test]
fn a_holder_in_another_network_is_no_obstacle() {
    if !can_leave_the_network() {
        skip!("a network namespace needs root and unshare");
    }
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("apart");
    workspace.stub_service("web", &format!("--listen 0.0.0.0:{port}"), &format!("port = {port}"));
    let witness = sandbox.folder().join("apart");
    let mut command = sandbox.command("unshare");
    command
        .args(APART)
        .arg(sandbox.stub())
        .args(["--listen", &format!("0.0.0.0:{port}"), "--witness"])
        .arg(&witness);
    let other = Other::runs(command);
    until("the other to run", SHORT, || witness.exists());
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    assert!(alive(other.pid()));
    workspace.pipctl(&["stop"]).ok();
}

#[test]
fn a_service_in_a_network_of_its_own_is_told_why_nobody_can_ask_it() {
    if !can_leave_the_network() {
        skip!("a network namespace needs root and unshare");
    }
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("jailed");
    let stub = sandbox.stub().display().to_string();
    let words: Vec<String> = std::iter::once("unshare")
        .chain(APART)
        .chain([&*stub, "--listen", &port.to_string()])
        .map(|word| format!("{word:?}"))
        .collect();
    let table = format!("[services.web]\ncommand = [{}]\nport = {port}\n", words.join(", "));
    workspace.config(&table);
    workspace.pipctl(&["start", "--no-wait"]).ok();
    let wanted = ["a network of their own", "ready = \"none\"", "[services.web]"];
    workspace.await_service("web", "a word about its network", |service| warns(service, &wanted));
    // Somebody else on the port here is not it.
    let other = odd(&sandbox, "127.0.0.1", &port, "");
    workspace.await_service("web", "a word about who answers", |service| {
        assert_ne!(service.phase, Phase::Ready);
        service.detail.as_ref().is_some_and(|detail| detail.contains(&format!("pid {}", other.pid())))
    });
    drop(other);
    workspace.pipctl(&["stop"]).ok();
    workspace.config(&format!("{table}ready = \"none\"\n"));
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.service("web").phase, Phase::Ready);
}

/// A home of another user's, with programs and a workspace in it.
struct Nobody {
    world: tempfile::TempDir,
    workspace: PathBuf,
}

/// An ordinary user that every system has.
const NOBODY: u32 = 65_534;

impl Nobody {
    fn new(config: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let world = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(world.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["pipctl", "pipd", "pipd-shim", "stub"] {
            let from = Path::new(env!("CARGO_BIN_EXE_pipctl")).with_file_name(name);
            std::fs::copy(from, world.path().join(name)).unwrap();
        }
        let workspace = world.path().join("home/ws");
        std::fs::create_dir_all(&workspace).unwrap();
        std::fs::write(
            workspace.join("pipd.toml"),
            config.replace("STUB", &world.path().join("stub").display().to_string()),
        )
        .unwrap();
        for folder in [world.path().join("home"), workspace.clone()] {
            nix::unistd::chown(&folder, Some(NOBODY.into()), Some(NOBODY.into())).unwrap();
        }
        Self { world, workspace }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        let id = NOBODY.to_string();
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--inh-caps=-all", "--"])
            .arg(self.world.path().join("pipctl"))
            .args(arguments)
            .current_dir(&self.workspace)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PIPD_MANAGER", "none")
            .env("HOME", self.world.path().join("home"));
        command
    }

    fn pipctl(&self, arguments: &[&str]) -> testkit::Finished {
        testkit::run(self.command(arguments), LONG)
    }
}

impl Drop for Nobody {
    fn drop(&mut self) {
        for arguments in [&["stop", "--all-processes"][..], &["daemon", "stop"]] {
            let _ = self.command(arguments).output();
        }
    }
}

#[test]
fn a_port_of_another_user_is_told_with_the_user_and_without_a_pid() {
    let can = Command::new("setpriv").args(["--reuid", "65534", "true"]).stderr(Stdio::null()).status();
    if !nix::unistd::geteuid().is_root() || !can.is_ok_and(|status| status.success()) {
        skip!("needs root and setpriv to become another user");
    }
    let sandbox = sandbox!();
    let port = sandbox.port();
    let nobody = Nobody::new(&format!(
        "[services.jupyter]\nenabled = false\n[services.web]\ncommand = [\"STUB\", \"--listen\", \"{port}\"]\nport = {port}\n"
    ));
    // Root's: its descriptors are nobody else's business.
    let other = odd(&sandbox, "127.0.0.1", &port, "");
    let refused = nobody.pipctl(&["start"]).expect(exit::BLOCKED);
    for part in [
        "a process whose pid is not visible from here",
        "user root",
        &format!("sudo ss -ltnp 'sport = :{port}'"),
    ] {
        assert!(refused.all().contains(part), "{part:?} expected in {refused}");
    }
    assert!(!refused.all().contains(&format!("pid {}", other.pid())), "{refused}");
    // It cannot be ended from here, and nobody tries.
    nobody.pipctl(&["start", "web", &format!("--takeover={}", other.pid())]).expect(exit::BLOCKED);
    nobody.pipctl(&["start", "web", "--takeover"]).expect(exit::BLOCKED);
    assert!(alive(other.pid()));
    drop(other);
    until("it to start by itself", LONG, || {
        let status = nobody.pipctl(&["status", "--json"]);
        status.stdout.contains("\"phase\":\"ready\"") || status.stdout.contains("\"phase\": \"ready\"")
    });
    nobody.pipctl(&["stop"]).ok();
    nobody.pipctl(&["daemon", "stop"]).ok();
}
