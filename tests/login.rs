//! Login, logout, reboot and power failure on a machine with a real systemd; and what a service manager is told.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{LONG, Stack, SystemdBox, exit, shared_tool, skip, systemd_box, until, until_some};

const SERVICES: &str = r#"
[services.one]
command = ["stub", "--listen", "{port}", "--witness", "/home/dev/one.witness", "--env-file", "/home/dev/one.env"]
port = 6101

[services.two]
command = ["stub", "--listen", "{port}", "--witness", "/home/dev/two.witness"]
port = 6102
"#;

/// A workspace with two services, which are up: the environment they were started with has a mark.
fn started(machine: &SystemdBox) {
    machine.write("/home/dev/ws/pipd.toml", SERVICES, "dev");
    machine.login();
    machine.dev("cd ws && MARK='an own one' pipctl start").ok();
}

/// Process ids by service. Starts nothing.
fn pids(machine: &SystemdBox, workspace: &str) -> BTreeMap<String, i64> {
    let status: Value = machine.dev(&format!("pipctl status --json -w {workspace}")).json();
    let services = status["workspaces"][0]["services"].as_array().cloned().unwrap_or_default();
    let up = services.iter().filter(|service| service["phase"] == "ready");
    up.map(|service| (service["name"].as_str().unwrap().to_owned(), service["pid"].as_i64().unwrap()))
        .collect()
}

/// Waits until that many services are ready, without a session that could help; returns their ids.
#[track_caller]
fn await_ready(machine: &SystemdBox, count: usize) -> BTreeMap<String, i64> {
    let answers =
        "for p in 6101 6102; do exec 3<>/dev/tcp/127.0.0.1/$p && echo up; exec 3>&-; done 2>/dev/null; true";
    until("services that answer", LONG, || machine.root(answers).stdout.lines().count() == count);
    until_some("services that are ready", LONG, || {
        Some(pids(machine, "ws")).filter(|found| found.len() == count)
    })
}

fn witness(machine: &SystemdBox, name: &str) -> String {
    machine.root(&format!("cat /home/dev/{name}.witness")).stdout
}

/// How often a service was asked to end.
fn asked(machine: &SystemdBox, name: &str) -> usize {
    witness(machine, name).matches("signal").count()
}

fn daemon(machine: &SystemdBox) -> String {
    machine.root("pgrep -x pipd").stdout.trim().to_owned()
}

fn await_another_daemon(machine: &SystemdBox, old: &str) {
    until("another daemon that serves", LONG, || {
        let now = daemon(machine);
        !now.is_empty() && now != old && machine.dev("pipctl daemon status").code == exit::OK
    });
}

#[test]
fn case_28_services_come_back_after_reboot_and_power_failure() {
    let machine = systemd_box!();
    machine.root("loginctl enable-linger dev").ok();
    started(&machine);
    machine.dev("pipctl autostart status").expect(exit::FAILED).says("not enabled");
    machine.dev("pipctl autostart enable").ok().says("services keep running (linger is on)");
    machine.dev("pipctl autostart status").ok().says("when the machine is up");
    let before = pids(&machine, "ws");
    assert_eq!(before.len(), 2);

    // In order: both were asked, and nobody logs in afterwards.
    machine.reboot();
    let after = await_ready(&machine, 2);
    assert_eq!((asked(&machine, "one"), asked(&machine, "two")), (1, 1), "{}", witness(&machine, "one"));
    let environment = machine.root("tr '\\0' '\\n' </home/dev/one.env").stdout;
    assert!(environment.contains("MARK=an own one"), "{environment}");
    assert!(!environment.contains("NOTIFY_SOCKET") && !environment.contains("WATCHDOG_"), "{environment}");
    machine.dev("systemctl --user is-active pipd").ok();
    assert!(!after.is_empty());

    // What was stopped stays stopped, and a power failure asks nobody.
    machine.dev("pipctl stop two -w ws").ok();
    machine.lose_power();
    await_ready(&machine, 1);
    assert_eq!(asked(&machine, "one"), 1);
    machine.dev("pipctl status -w ws").says("down");
}

#[test]
fn case_49_logout_ends_services_in_order_and_login_brings_them_back() {
    let machine = systemd_box!();
    started(&machine);
    machine.dev("pipctl autostart enable").ok().says("loginctl enable-linger dev");
    machine.logout();
    until("the user's manager to be gone", LONG, || {
        machine.root("systemctl is-active user@1000.service").stdout.trim() == "inactive"
    });
    assert_eq!((asked(&machine, "one"), asked(&machine, "two")), (1, 1));
    assert_eq!(machine.root("pgrep -u dev -x 'pipd|pipd-shim|stub'").stdout, "");
    machine.login();
    let before = await_ready(&machine, 2);

    // A service that ended by itself is finished for this session, and back in the next.
    machine.root("pkill -TERM -u dev -of 'stub .*two'").ok();
    until("it to be finished", LONG, || machine.dev("pipctl status -w ws").all().contains("finished"));
    machine.dev("systemctl --user restart pipd").ok();
    assert_eq!(pids(&machine, "ws").len(), 1, "a restart of the daemon is no login");
    machine.logout();
    until("the user's manager to be gone", LONG, || {
        machine.root("systemctl is-active user@1000.service").stdout.trim() == "inactive"
    });
    machine.login();
    await_ready(&machine, 2);

    // With linger a logout is nothing.
    machine.root("loginctl enable-linger dev").ok();
    let before_logout = pids(&machine, "ws");
    assert_ne!(before["one"], before_logout["one"]);
    machine.logout();
    machine.root("sleep 12").ok();
    assert_eq!(pids(&machine, "ws"), before_logout);
}

#[test]
fn the_daemon_comes_and_goes_and_services_stay() {
    let machine = systemd_box!();
    started(&machine);
    let place = machine.dev("cat /proc/$(pgrep -x pipd)/cgroup").stdout;
    assert!(place.contains("/user@1000.service/") && place.contains("/pipd.service"), "{place}");
    let before = pids(&machine, "ws");

    // Not enabled: the unit lies in the runtime folder. Each of these leaves everything as it was.
    machine.dev("systemctl --user restart pipd").ok();
    assert_eq!(pids(&machine, "ws"), before);
    machine.dev("pipctl autostart enable").ok();
    for line in ["systemctl --user restart pipd", "pkill -KILL -x pipd", "pipctl daemon restart"] {
        let old = daemon(&machine);
        machine.dev(line).ok();
        await_another_daemon(&machine, &old);
        assert_eq!(pids(&machine, "ws"), before, "{line}");
        machine.dev("pipctl daemon status").says("systemd");
    }
    // An upgrade is another program in the same place; then one in another.
    let old = daemon(&machine);
    machine.root("cd /usr/local/bin && cp pipd new && mv new pipd").ok();
    machine.dev("pipctl daemon restart").ok().says("2 of 2");
    await_another_daemon(&machine, &old);
    machine.root("mkdir /opt/pipd && mv /usr/local/bin/pip* /opt/pipd").ok();
    machine.dev("/opt/pipd/pipctl autostart status").ok().says("mended").says("/opt/pipd/pipd");
    machine
        .dev("systemctl --user restart pipd && readlink /proc/$(pgrep -x pipd)/exe")
        .ok()
        .says("/opt/pipd/pipd");
    machine.root("mv /opt/pipd/* /usr/local/bin").ok();
    machine.dev("pipctl daemon restart").ok().says("2 of 2");
    machine.dev("systemctl --user cat pipd").ok().says("ExecStart=/usr/local/bin/pipd");
    assert_eq!(pids(&machine, "ws"), before);

    // One that hangs is put in its place by another one.
    let old = daemon(&machine);
    machine.write(
        "/home/dev/.config/systemd/user/pipd.service.d/soon.conf",
        "[Service]\nWatchdogSec=2\n",
        "dev",
    );
    machine.dev("systemctl --user daemon-reload && systemctl --user restart pipd").ok();
    await_another_daemon(&machine, &old);
    let old = daemon(&machine);
    machine.root("sleep 5").ok();
    assert_eq!(daemon(&machine), old, "a daemon that is well is left alone");
    machine.root(&format!("kill -STOP {old}")).ok();
    await_another_daemon(&machine, &old);
    assert_eq!(pids(&machine, "ws"), before);

    // A process that is killed for memory is its own end: the unit goes on, the service is restarted.
    machine.dev("systemctl --user show -p OOMPolicy pipd").ok().says("OOMPolicy=continue");
    machine.root(&format!("kill -KILL {}", before["two"])).ok();
    until("it to be restarted", LONG, || {
        pids(&machine, "ws").get("two").is_some_and(|&pid| pid != before["two"])
    });
    assert_eq!(pids(&machine, "ws")["one"], before["one"]);
    machine.dev("systemctl --user is-active pipd").ok();
    assert_eq!(asked(&machine, "one"), 0);
}

#[test]
fn case_52_a_control_group_that_is_killed_comes_back_once() {
    let machine = systemd_box!();
    started(&machine);
    machine.dev("pipctl autostart enable").ok();
    let (before, old) = (pids(&machine, "ws"), daemon(&machine));
    machine.dev("systemctl --user kill --signal=KILL --kill-whom=all pipd").ok();
    await_another_daemon(&machine, &old);
    let after = await_ready(&machine, 2);
    assert!(before.iter().all(|(name, pid)| after[name] != *pid), "{before:?} {after:?}");
    for name in ["one", "two"] {
        assert_eq!(witness(&machine, name).matches("started").count(), 2, "{}", witness(&machine, name));
    }
    machine.dev("pipctl daemon status").ok().says("manager  systemd");
}

#[test]
fn a_session_that_is_killed_takes_nothing_with_it() {
    let machine = systemd_box!();
    machine.write("/etc/systemd/logind.conf.d/kill.conf", "[Login]\nKillUserProcesses=yes\n", "root");
    machine.root("systemctl restart systemd-logind && loginctl enable-linger dev").ok();
    // This session is over when its line is.
    machine.write("/home/dev/ws/pipd.toml", SERVICES, "dev");
    machine.dev("cd ws && pipctl start").ok();
    let before = await_ready(&machine, 2);
    machine.login();
    machine.logout();
    assert_eq!(pids(&machine, "ws"), before);
    machine.dev("pipctl stop -w ws && pipctl daemon stop").ok();

    // One that detaches by itself is a member of its session, and says what that means.
    machine.login();
    machine
        .dev("cd ws && PIPD_MANAGER=none pipctl start && pipctl autostart status")
        .expect(exit::FAILED)
        .says("one, two ends with its session (KillUserProcesses=yes)");
    until("services to be gone with their session", LONG, || pids_of_stubs(&machine).is_empty());
}

fn pids_of_stubs(machine: &SystemdBox) -> String {
    machine.root("pgrep -x stub").stdout
}

#[test]
fn case_93_enable_takes_over_and_disable_leaves_nothing() {
    let machine = systemd_box!();
    machine.write("/home/dev/ws/pipd.toml", SERVICES, "dev");
    machine.login();
    machine.dev("find . ! -path './ws*' | sort >before").ok();
    // A daemon that no manager has makes way for the manager's.
    machine.dev("cd ws && PIPD_MANAGER=none pipctl start").ok();
    let before = pids(&machine, "ws");
    let old = daemon(&machine);
    machine.dev("pipctl autostart enable").ok();
    await_another_daemon(&machine, &old);
    machine.dev("pipctl daemon status").ok().says("manager  systemd");
    assert_eq!(pids(&machine, "ws"), before);
    machine.dev("pipctl autostart enable").ok();
    machine.dev("systemctl --user is-enabled pipd").ok();

    // What runs goes on, and belongs to the manager still.
    machine
        .dev("pipctl autostart disable")
        .ok()
        .says("still running: one, two")
        .says("pipctl stop -w /home/dev/ws");
    assert_eq!(pids(&machine, "ws"), before);
    machine.dev("systemctl --user restart pipd").ok();
    assert_eq!(pids(&machine, "ws"), before);
    machine
        .dev("pipctl autostart disable --stop")
        .ok()
        .says("autostart was not enabled")
        .says("stopped pipd");
    let left = machine.dev("find . ! -path './ws*' | sort | diff before - | grep '^>'").stdout;
    let left: Vec<&str> =
        left.lines().filter(|line| !line.contains("/.local") && !line.contains("witness")).collect();
    assert_eq!(left, ["> ./one.env"]);
    assert_eq!(machine.root("pgrep -u dev -x 'pipd|pipd-shim|stub'").stdout, "");
    machine.reboot();
    machine.login();
    machine.dev("systemctl --user cat pipd").expect(1);
    assert_eq!(daemon(&machine), "");
}

#[test]
fn only_the_chosen_workspaces_come_back() {
    let machine = systemd_box!();
    started(&machine);
    let other = SERVICES.replace("610", "620").replace("/home/dev/", "/tmp/");
    machine.write("/home/dev/other/pipd.toml", &other, "dev");
    machine.dev("cd other && pipctl start").ok();
    machine.dev("pipctl autostart enable --workspace ws").ok().says("only /home/dev/ws");
    machine.reboot();
    machine.login();
    await_ready(&machine, 2);
    machine.dev("systemctl --user restart pipd && pipctl status -w other").says("down");
    assert_eq!(pids(&machine, "other").len(), 0);
    // It rests until somebody asks, and from then on is what it was.
    machine.dev("cd other && pipctl start").ok();
    let started = pids(&machine, "other");
    machine.dev("systemctl --user restart pipd").ok();
    assert_eq!(pids(&machine, "other"), started);
    machine.dev("pipctl autostart disable -w ws").ok().says("disabled: removed");
    machine.dev("pipctl autostart status --json").expect(exit::FAILED);
}

#[test]
fn without_a_manager_pipd_detaches_and_says_how_to_do_it_by_hand() {
    let machine = systemd_box!();
    machine.write("/home/dev/ws/pipd.toml", SERVICES, "dev");
    machine
        .outside("pipctl autostart enable")
        .expect(exit::BLOCKED)
        .says("loginctl enable-linger dev")
        .says("@reboot");
    // Whoever ends this line ends all that it began: so everything in one.
    let line = "cd ws && pipctl start && pipctl daemon status && pipctl stop && pipctl daemon stop";
    let said = machine.outside(line).ok();
    assert!(said.stdout.contains("is running") && !said.stdout.contains("manager"), "{said}");
    // With linger there is a manager, though the caller has no session: cron.
    machine.root("loginctl enable-linger dev").ok();
    until("the user's manager", LONG, || machine.root("systemctl is-active user@1000.service").code == 0);
    machine.outside("cd ws && pipctl start && pipctl daemon status").ok().says("manager  systemd");
}

/// Moves an environment into the box: its packages, with the box's own Python of the same release.
fn bring_servers(machine: &SystemdBox, venv: &Path) -> Result<(), String> {
    let packages = "lib/python3.11/site-packages";
    if !venv.join(packages).is_dir() {
        return Err(format!("the box has Python 3.11, and {} has not", venv.display()));
    }
    let root = testkit::repository();
    machine.dev("mkdir ws && python3 -m venv --without-pip ws/.venv").ok();
    machine.copy_in(&venv.join(packages), &format!("/home/dev/ws/.venv/{packages}"), "dev");
    machine.copy_in(&root.join("examples/workspace/server.py"), "/home/dev/ws/server.py", "dev");
    machine.copy_in(&testkit::tool("kernel.py"), "/home/dev/kernel.py", "dev");
    Ok(())
}

/// Begins a kernel that writes a file when it is told to end; returns its identifier and its process.
fn begin_kernel(machine: &SystemdBox, token: &str) -> (String, String) {
    let python = format!("ws/.venv/bin/python kernel.py http://localhost:8888 {token}");
    let kernel = machine.dev(&format!("{python} start")).ok().stdout.trim().to_owned();
    let code = "import atexit, os; atexit.register(lambda: open('/home/dev/kernel.end', 'w').write('told')); print(os.getpid())";
    let said = machine.dev(&format!("{python} run {kernel} \"{code}\"")).ok().stdout;
    (kernel, said.lines().next().unwrap().trim().to_owned())
}

fn runtime_files(machine: &SystemdBox) -> Vec<String> {
    let said =
        machine.root("ls /home/dev/.local/share/jupyter/runtime | grep -e '^jpserver-.*json$' -e '^kernel-'");
    said.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn real_servers_come_back_and_their_kernels_are_told() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let machine = systemd_box!();
    if let Err(reason) = bring_servers(&machine, &venv) {
        skip!("{reason}");
    }
    machine.login();
    machine.dev("cd ws && pipctl start --timeout 120 && pipctl autostart enable").ok();
    let url = machine.dev("pipctl url jupyter -w ws").ok().stdout;
    let token = url.trim().split_once("token=").unwrap().1.to_owned();
    let ready = |machine: &SystemdBox| {
        until_some("JupyterLab and FastHTML", 2 * LONG, || {
            Some(pids(machine, "ws")).filter(|found| found.len() == 2)
        })
    };
    let before = ready(&machine);

    // A kernel that is killed for memory takes nobody along.
    let (_, process) = begin_kernel(&machine, &token);
    machine.root(&format!("kill -KILL {process}")).ok();
    until("the kernel to be begun anew", LONG, || {
        machine.root("pgrep -u dev -f ipykernel").stdout.trim() != process
    });
    assert_eq!(ready(&machine), before);
    machine.dev("systemctl --user is-active pipd").ok();

    // Logout: told, and nothing of them is left behind.
    begin_kernel(&machine, &token);
    machine.dev("rm -f kernel.end").ok();
    machine.logout();
    until("the user's manager to be gone", LONG, || {
        machine.root("systemctl is-active user@1000.service").stdout.trim() == "inactive"
    });
    assert_eq!(machine.root("cat /home/dev/kernel.end").stdout, "told");
    assert_eq!(runtime_files(&machine), Vec::<String>::new());

    // Login, with no Python of the workspace on anybody's PATH.
    machine.login();
    let begun = std::time::Instant::now();
    let after = ready(&machine);
    eprintln!("from login to both ready: {:.1} s", begun.elapsed().as_secs_f32());
    assert_ne!(after, before);
    assert_eq!(
        machine.dev("pipctl url jupyter -w ws").ok().stdout,
        url,
        "the address is the same, its token, too"
    );
    machine.root("rm -f /home/dev/kernel.end && loginctl enable-linger dev").ok();
    begin_kernel(&machine, &token);
    machine.reboot();
    assert_eq!(machine.root("cat /home/dev/kernel.end").stdout, "told");
    ready(&machine);
    assert_eq!(runtime_files(&machine).len(), 1, "{:?}", runtime_files(&machine));
    machine.dev("pipctl autostart disable --stop").ok().says("stopped pipd");
}

#[test]
fn the_unit_and_the_agent_are_what_their_managers_take() {
    let plist = testkit::repository().join("launchd/dev.pipd.pipd.plist");
    let Some(check) = shared_tool("check-launchd") else { skip!("no check-launchd beside the repository") };
    let output = Command::new(check).arg(&plist).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let machine = systemd_box!();
    machine.root("cd /usr/bin && ln -s ../local/bin/pip* .").ok();
    machine.copy_in(&testkit::repository().join("systemd/pipd.service"), "/tmp/unit/pipd.service", "dev");
    machine.login();
    let said = machine.dev("systemd-analyze --user --man=no verify /tmp/unit/pipd.service").ok();
    assert_eq!(said.all().trim(), "");
    // Whatever a person may do in a terminal of JupyterLab must be possible there: nothing is taken away.
    let said =
        machine.dev("systemd-analyze --user security --offline=true --no-pager /tmp/unit/pipd.service").ok();
    assert!(said.stdout.contains("Overall exposure level"), "{said}");
    let unit = std::fs::read_to_string(testkit::repository().join("systemd/pipd.service")).unwrap();
    for taken in ["NoNewPrivileges", "Private", "Protect", "Restrict", "SystemCall", "Capability"] {
        assert!(!unit.contains(taken), "{taken}");
    }
}
