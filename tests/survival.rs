//! What dies and what does not: terminals, process groups, daemons, shims, in any order.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::path::Path;
use std::time::{Duration, Instant};

use testkit::{LONG, Port, SHORT, Sandbox, Stack, Workspace, alive, get, kill, sandbox, skip, tool, until};
use wire::{Phase, ServiceView};

fn stub_workspace<'a>(sandbox: &'a Sandbox, name: &str, port: &Port) -> Workspace<'a> {
    let workspace = sandbox.workspace(name);
    workspace.stub_service("web", &format!("--listen {port} --tick 20"), &format!("port = {port}"));
    workspace
}

fn real_jupyter<'a>(sandbox: &'a Sandbox, venv: &Path, port: &Port) -> Workspace<'a> {
    let workspace = sandbox.workspace("notebooks");
    workspace.link_venv(venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    workspace
}

fn answers(port: &Port) -> bool {
    get(&format!("http://127.0.0.1:{port}/")).is_ok_and(|answer| answer.status == 200)
}

/// Lines `tick 0`, `tick 1`, … with none missing and none twice.
fn assert_contiguous(lines: &[String]) {
    let ticks: Vec<u64> = lines.iter().filter_map(|line| line.strip_prefix("tick ")?.parse().ok()).collect();
    assert!(!ticks.is_empty(), "no line was logged");
    for pair in ticks.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "the log jumps from tick {} to tick {}", pair[0], pair[1]);
    }
}

fn await_more_ticks(workspace: &Workspace) {
    let before = workspace.stdout_lines("web").len();
    until("more log lines", SHORT, || workspace.stdout_lines("web").len() > before + 5);
}

// The terminal

fn survives_terminal(how: &str) {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = stub_workspace(&sandbox, "terminal", &port);
    let mut typed = workspace.command("python3");
    let line = format!("{} start && echo typed-to-its-end; sleep 1000", sandbox.program().display());
    typed.arg(tool("terminal.py")).args([how, "typed-to-its-end", "sh", "-c", &line]);
    workspace.run(typed, LONG).ok();
    let service = workspace.service("web");
    assert_eq!(service.phase, Phase::Ready);
    assert!(answers(&port));
    assert!(alive(sandbox.daemon()));
    await_more_ticks(&workspace);
    assert_eq!(workspace.pid("web"), service.pid.unwrap());
    assert_contiguous(&workspace.stdout_lines("web"));
}

#[test]
fn a_closed_terminal_takes_nothing_with_it() {
    survives_terminal("close");
}

#[test]
fn a_hang_up_to_the_session_takes_nothing_with_it() {
    survives_terminal("hangup");
}

#[test]
fn a_parent_that_kills_its_group_takes_nothing_with_it() {
    survives_terminal("killgroup");
}

#[test]
fn nothing_of_ours_is_in_the_callers_session_or_holds_its_output() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = stub_workspace(&sandbox, "session", &port);
    // `finish` reads the output to its end: a daemon that held it would be noticed here.
    workspace.pipctl(&["start"]).ok();
    let own = os::process::info(std::process::id().try_into().unwrap()).unwrap().unwrap();
    let service = workspace.service("web");
    for pid in [sandbox.daemon(), service.shim_pid.unwrap(), service.pid.unwrap()] {
        let process = os::process::info(pid).unwrap().unwrap();
        assert_ne!(process.sid, own.sid, "{}", os::process::command_line(pid));
        assert_eq!(process.tty, 0);
    }
    let shim = os::process::info(service.shim_pid.unwrap()).unwrap().unwrap();
    assert_eq!(shim.sid, shim.pid, "the shim leads a session of its own");
    let main = os::process::info(service.pid.unwrap()).unwrap().unwrap();
    assert_eq!(main.pgid, main.pid, "the service has a group of its own");
}

// The daemon

#[test]
fn a_daemon_that_is_stopped_or_replaced_leaves_the_services_alone() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = stub_workspace(&sandbox, "goodbye", &port);
    workspace.pipctl(&["start"]).ok();
    let (service, daemon) = (workspace.service("web"), sandbox.daemon());

    workspace.pipctl(&["daemon", "restart"]).ok();
    let second = sandbox.daemon();
    assert_ne!(second, daemon);
    assert_same(&workspace.await_phase("web", Phase::Ready), &service);

    workspace.pipctl(&["daemon", "stop"]).ok();
    until("the daemon to be gone", SHORT, || !alive(second));
    assert!(answers(&port));
    // It said goodbye: nobody brings it back.
    let watched = Instant::now();
    until("three seconds without a daemon", SHORT, || {
        assert!(sandbox.try_daemon().is_none(), "a stopped daemon came back");
        watched.elapsed() > Duration::from_secs(3)
    });
    assert!(answers(&port));

    workspace.pipctl(&["start"]).ok();
    assert_same(&workspace.service("web"), &service);
    assert_contiguous(&workspace.stdout_lines("web"));
    assert_eq!(workspace.why("web").runs.len(), 1);
}

#[track_caller]
fn assert_same(now: &ServiceView, before: &ServiceView) {
    assert_eq!((now.phase, now.pid, now.run), (before.phase, before.pid, before.run));
    assert_eq!((now.restarts, now.started_ms), (before.restarts, before.started_ms));
}

#[test]
fn case_23_a_killed_daemon_is_back_by_itself_and_finds_everything() {
    let sandbox = sandbox!();
    let (one, other) = (sandbox.port(), sandbox.port());
    let workspace = stub_workspace(&sandbox, "first", &one);
    let second = stub_workspace(&sandbox, "second", &other);
    workspace.pipctl(&["start"]).ok();
    second.pipctl(&["start"]).ok();
    let before = [workspace.service("web"), second.service("web")];
    for _ in 0..3 {
        let killed = sandbox.kill_daemon();
        let since = Instant::now();
        until("a daemon without anybody asking", SHORT, || {
            sandbox.try_daemon().is_some_and(|pid| pid != killed)
        });
        let took = since.elapsed();
        assert!(took < Duration::from_secs(5), "the daemon was back only after {took:?}");
        sandbox.await_daemon(killed);
        assert_same(&workspace.await_phase("web", Phase::Ready), &before[0]);
        assert_same(&second.await_phase("web", Phase::Ready), &before[1]);
        assert!(answers(&one) && answers(&other));
    }
    await_more_ticks(&workspace);
    assert_contiguous(&workspace.stdout_lines("web"));
}

#[test]
fn case_26_a_service_that_ends_without_a_daemon_is_known_and_restarted() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = stub_workspace(&sandbox, "meanwhile", &port);
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("web");
    // Down on purpose, so that no shim brings it back before the service ends.
    sandbox.pipctl(&["daemon", "stop"]).ok();
    kill(service.pid.unwrap());
    until("the shim to be done", SHORT, || !alive(service.shim_pid.unwrap()));
    let over = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    sandbox.pipctl(&["daemon", "start"]).ok();
    let again = workspace
        .await_service("web", "ready again", |now| now.phase == Phase::Ready && now.pid != service.pid);
    let runs = workspace.why("web").runs;
    assert_eq!(runs.len(), 2, "restarted once");
    let exit = runs[0].exit.as_ref().unwrap();
    assert_eq!(exit.cause, wire::ExitCause::Signal(9));
    assert!(exit.at_ms <= over as i64, "the time of the end, not that at which it was found out");
    assert_eq!(again.last_exit.unwrap().cause, wire::ExitCause::Signal(9));
}

#[test]
fn case_24_a_killed_daemon_goes_on_with_a_start_and_with_a_stop() {
    let sandbox = sandbox!();
    let (slow, stubborn) = (sandbox.port(), sandbox.port());
    let workspace = sandbox.workspace("half");
    workspace.stub_service("slow", &format!("--listen {slow} --ready-after 2000"), &format!("port = {slow}"));
    workspace.stub_service(
        "stubborn",
        &format!("--listen {stubborn} --ignore TERM --ignore INT"),
        &format!("port = {stubborn}\nstop = {{ grace = \"3s\" }}"),
    );
    workspace.pipctl(&["start", "stubborn"]).ok();
    workspace.pipctl(&["start", "slow", "--no-wait"]).ok();
    let pid = workspace.await_phase("slow", Phase::Starting).pid;
    let killed = sandbox.kill_daemon();
    sandbox.await_daemon(killed);
    assert_eq!(workspace.await_phase("slow", Phase::Ready).pid, pid);

    let victim = workspace.pid("stubborn");
    workspace.pipctl(&["stop", "stubborn", "--no-wait"]).ok();
    let killed = sandbox.kill_daemon();
    sandbox.await_daemon(killed);
    workspace.await_phase("stubborn", Phase::Down);
    assert!(!alive(victim));
    assert_eq!(workspace.why("stubborn").runs.len(), 1);
}

#[test]
fn case_30_a_signal_to_the_daemon_never_reaches_the_services() {
    use nix::sys::signal::{Signal, kill};
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = stub_workspace(&sandbox, "signals", &port);
    workspace.pipctl(&["start"]).ok();
    let before = workspace.service("web");
    for signal in [
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGPIPE,
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGQUIT,
    ] {
        let daemon = sandbox.daemon();
        kill(nix::unistd::Pid::from_raw(daemon), signal).unwrap();
        // Two end it; what is asked of one that is about to go is not asked here. `pipctl` finds a daemon, and that
        // finds the same process.
        if matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
            until("the daemon is gone", SHORT, || !alive(daemon));
        }
        workspace.pipctl(&["start"]).ok();
        let now = workspace.service("web");
        assert_eq!((now.pid, now.run, now.phase), (before.pid, before.run, Phase::Ready), "after {signal}");
    }
    assert_contiguous(&workspace.stdout_lines("web"));
}

/// Requests and deaths at moments without a pattern. The invariant: never two of a service, and in the end
/// exactly what was asked for.
#[test]
fn case_24_deaths_at_any_moment_leave_one_of_each() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("chaos");
    let file = workspace.path("witness");
    workspace.stub_service(
        "web",
        &format!("--listen {port} --witness {}", file.display()),
        &format!("port = {port}"),
    );
    workspace.pipctl(&["start"]).ok();
    let seed = u64::from(std::process::id()) | 1;
    println!("seed {seed}");
    let mut state = seed;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let living = || -> Vec<i32> {
        let text = workspace.read("witness");
        text.lines()
            .filter_map(|line| line.split_once(" started ")?.1.parse().ok())
            .filter(|&pid| alive(pid))
            .collect()
    };
    for _ in 0..40 {
        let verb = [&["start", "--no-wait"][..], &["stop", "--no-wait"], &["restart", "--no-wait"]]
            [below(3) as usize];
        // The daemon may die under it: any exit code will do.
        let mut request = workspace.command(sandbox.program());
        request.args(verb).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut request = request.spawn().unwrap();
        let moment = Instant::now();
        let wait = Duration::from_micros(below(40_000));
        until("a moment", SHORT, || moment.elapsed() >= wait);
        if below(3) > 0
            && let Some(daemon) = sandbox.try_daemon()
        {
            kill_if_alive(daemon);
        }
        if below(4) == 0
            && let Some(shim) = shims(&sandbox).first()
        {
            kill_if_alive(*shim);
        }
        request.wait().unwrap();
        let now = living();
        assert!(now.len() <= 1, "two at once: {now:?}\n{}", workspace.read("witness"));
    }
    // A stop that was under way when its daemon died may still end this run; then there is another.
    workspace.pipctl(&["start", "--no-wait"]).ok();
    until("one that serves", SHORT, || {
        let service = workspace.service("web");
        service.phase == Phase::Ready && service.pid.is_some_and(|pid| living() == [pid]) && answers(&port)
    });
    workspace.pipctl(&["stop"]).ok();
    assert_eq!(living(), Vec::<i32>::new());
    workspace.pipctl(&["start"]).ok();
    assert_eq!(living(), [workspace.pid("web")]);
    workspace.pipctl(&["stop"]).ok();
    assert_eq!(living(), Vec::<i32>::new());
}

fn kill_if_alive(pid: i32) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
}

fn shims(sandbox: &Sandbox) -> Vec<i32> {
    let program = sandbox.program().with_file_name("pipd-shim");
    sandbox
        .processes()
        .into_iter()
        .filter(|&pid| {
            os::process::command(pid)
                .is_some_and(|command| command.first().is_some_and(|name| *name == *program))
        })
        .collect()
}

#[test]
fn case_23_a_kernel_keeps_its_variables_when_the_daemon_is_killed() {
    for stack in [Stack::Current, Stack::OldKernel] {
        let Some(venv) = stack.venv() else { skip!("run `cargo xtask test` for the real servers") };
        let _slot = testkit::real_server_slot();
        let sandbox = sandbox!();
        let port = sandbox.port();
        let workspace = real_jupyter(&sandbox, &venv, &port);
        let (service, jupyter) = (workspace.service("jupyter"), workspace.jupyter("jupyter"));
        let kernel = jupyter.start_kernel();
        jupyter.execute(&kernel, "kept = 'since before'");

        let killed = sandbox.kill_daemon();
        assert_eq!(jupyter.execute(&kernel, "kept"), "'since before'");
        sandbox.await_daemon(killed);
        assert_same(&workspace.await_phase("jupyter", Phase::Ready), &service);
        assert_eq!(jupyter.execute(&kernel, "kept"), "'since before'");
        let fresh = jupyter.start_kernel();
        assert_eq!(jupyter.execute(&fresh, "1 + 1"), "2");
    }
}

// The shim

#[test]
fn case_32_a_killed_shim_is_replaced_and_no_line_is_lost() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = stub_workspace(&sandbox, "shimless", &port);
    workspace.pipctl(&["start"]).ok();
    let before = workspace.service("web");
    let mut shim = before.shim_pid.unwrap();
    for _ in 0..3 {
        kill(shim);
        let now = workspace.await_service("web", "a new shim", |service| {
            service.shim_pid.is_some_and(|pid| pid != shim && alive(pid)) && service.phase == Phase::Ready
        });
        assert_eq!((now.pid, now.run, now.restarts), (before.pid, before.run, before.restarts));
        shim = now.shim_pid.unwrap();
        await_more_ticks(&workspace);
    }
    assert_contiguous(&workspace.stdout_lines("web"));
    // The replacement, no parent of the service, still ends it and knows that it ended.
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(before.pid.unwrap()));
    assert_eq!(workspace.why("web").runs.len(), 1);
}

#[test]
fn how_a_run_ended_is_known_though_its_shim_was_killed() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = stub_workspace(&sandbox, "orphan", &port);
    workspace.pipctl(&["start"]).ok();
    let before = workspace.service("web");
    kill(before.shim_pid.unwrap());
    workspace.await_service("web", "a new shim", |service| {
        service.shim_pid.is_some_and(|pid| Some(pid) != before.shim_pid && alive(pid))
    });
    kill(before.pid.unwrap());
    workspace.await_service("web", "a new run", |now| now.phase == Phase::Ready && now.run != before.run);
    let cause = || workspace.why("web").runs[0].exit.as_ref().map(|exit| exit.cause.clone());
    until("the cause on record", SHORT, || cause() == Some(wire::ExitCause::Signal(9)));
    let killed = sandbox.kill_daemon();
    sandbox.await_daemon(killed);
    assert_eq!(cause(), Some(wire::ExitCause::Signal(9)));
}

#[test]
fn shim_and_daemon_killed_together_still_leave_the_service_running() {
    let sandbox = sandbox!();
    let (port, other) = (sandbox.port(), sandbox.port());
    let workspace = stub_workspace(&sandbox, "both", &port);
    workspace.stub_service("other", &format!("--listen {other}"), &format!("port = {other}"));
    workspace.pipctl(&["start"]).ok();
    let before = workspace.service("web");
    let daemon = sandbox.daemon();
    kill(daemon);
    kill(before.shim_pid.unwrap());
    sandbox.await_daemon(daemon);
    let now = workspace.await_service("web", "a new shim", |service| {
        service.phase == Phase::Ready
            && service.shim_pid.is_some_and(|pid| Some(pid) != before.shim_pid && alive(pid))
    });
    assert_eq!((now.pid, now.run), (before.pid, before.run));
    assert!(answers(&port));

    // Now main dies under the replacement: a crash like any other.
    kill(before.pid.unwrap());
    let again = workspace.await_service("web", "a new run", |service| {
        service.phase == Phase::Ready && service.pid != before.pid
    });
    assert!(again.run > before.run);
    assert!(answers(&port));
}

#[test]
fn case_32_notebooks_start_new_kernels_after_the_shim_was_killed() {
    for stack in [Stack::Current, Stack::OldKernel] {
        let Some(venv) = stack.venv() else { skip!("run `cargo xtask test` for the real servers") };
        let _slot = testkit::real_server_slot();
        let sandbox = sandbox!();
        let port = sandbox.port();
        let workspace = real_jupyter(&sandbox, &venv, &port);
        let (before, jupyter) = (workspace.service("jupyter"), workspace.jupyter("jupyter"));
        let kernel = jupyter.start_kernel();
        jupyter.execute(&kernel, "kept = 1");
        // Without a daemon nobody replaces the shim: the worst case for who writes to its pipe.
        sandbox.pipctl(&["daemon", "stop"]).ok();
        kill(before.shim_pid.unwrap());
        let fresh = jupyter.start_kernel();
        assert_eq!(jupyter.execute(&fresh, "2 + 2"), "4");

        sandbox.pipctl(&["daemon", "start"]).ok();
        let now = workspace.await_service("jupyter", "a new shim", |service| {
            service.phase == Phase::Ready && service.shim_pid.is_some_and(|pid| Some(pid) != before.shim_pid)
        });
        assert_eq!(now.pid, before.pid);
        let another = jupyter.start_kernel();
        assert_eq!(jupyter.execute(&another, "3 + 3"), "6");
        assert_eq!(jupyter.execute(&kernel, "kept"), "1");
    }
}

// A terminal in JupyterLab

#[test]
fn what_is_started_in_a_jupyterlab_terminal_is_not_that_jupyterlabs() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let (port, other) = (sandbox.port(), sandbox.port());
    let workspace = real_jupyter(&sandbox, &venv, &port);
    let second = stub_workspace(&sandbox, "second", &other);
    let jupyter = workspace.jupyter("jupyter");
    // The daemon too is started from there.
    let old = sandbox.daemon();
    sandbox.pipctl(&["daemon", "stop"]).ok();
    until("the daemon to be gone", SHORT, || !alive(old));
    let line = format!(
        "{} start -w {} && echo typed-to-its-''end",
        sandbox.program().display(),
        second.root().display()
    );
    jupyter.type_line(&line, "typed-to-its-end");

    let daemon = sandbox.daemon();
    let there = second.service("web");
    assert_eq!(there.phase, Phase::Ready);
    let below = testkit::descendants(workspace.pid("jupyter"));
    let shim = workspace.service("jupyter").shim_pid.unwrap();
    let below_shim = testkit::descendants(shim);
    for pid in [daemon, there.shim_pid.unwrap(), there.pid.unwrap()] {
        assert!(!below.contains(&pid) && !below_shim.contains(&pid), "{}", os::process::command_line(pid));
    }
    let marker = |pid| os::process::environ_value(pid, "PIPD_RUN").unwrap();
    assert_eq!((marker(daemon), marker(there.shim_pid.unwrap())), (None, None));
    assert_ne!(marker(there.pid.unwrap()), marker(workspace.pid("jupyter")));

    workspace.pipctl(&["stop", "jupyter", "--force"]).ok();
    assert_eq!(sandbox.daemon(), daemon);
    let now = second.service("web");
    assert_eq!((now.phase, now.pid, now.shim_pid), (Phase::Ready, there.pid, there.shim_pid));
    assert!(answers(&other));
}
