//! How services end, and what they leave.

use std::time::{Duration, Instant};

use testkit::{LONG, SHORT, alive, exit, kill, sandbox, until, until_some};
use wire::{ExitCause, Phase};

use crate::world::{births, pass};

#[test]
fn case_03_a_worker_in_a_session_of_its_own_is_gone_before_the_next_start() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("session");
    let worker = format!(
        "--setsid --ignore TERM --listen {port} --witness {}",
        workspace.path("worker.births").display()
    );
    workspace.stub_service("web", &format!("--child '{worker}'"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    let first = workspace.pid("web");
    let worker = births(&workspace, "worker")[0];
    kill(first);
    workspace.await_service("web", "ready again", |now| now.phase == Phase::Ready && now.pid != Some(first));
    assert!(!alive(worker), "the old worker lives beside the new one");
    assert_eq!(births(&workspace, "worker").len(), 2);
}

#[test]
fn case_05_each_end_is_named() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("ends");
    let ends = [
        ("clean", "raise SystemExit(0)", ExitCause::Code(0), "exit code 0"),
        ("failed", "raise SystemExit(1)", ExitCause::Code(1), "exit code 1"),
        ("odd", "import os; os._exit(201)", ExitCause::Code(201), "exit code 201"),
        ("segv", "import os; os.kill(os.getpid(), 11)", ExitCause::Signal(11), "SIGSEGV"),
        ("abort", "import os; os.abort()", ExitCause::Signal(6), "SIGABRT"),
    ];
    let mut text = String::new();
    for (name, script, _, _) in &ends {
        let script = format!("import time; time.sleep(0.3); {script}");
        text.push_str(&format!(
            "[services.{name}]\ncommand = [\"python3\", \"-c\", {script:?}]\nrestart = \"never\"\n"
        ));
    }
    workspace.config(&text);
    workspace.pipctl(&["start"]);
    for (name, _, cause, said) in ends {
        let service = workspace.await_service(name, "its end", |now| now.last_exit.is_some());
        assert_eq!(service.last_exit.unwrap().cause, cause, "{name}");
        let why = workspace.pipctl(&["why", name]).ok();
        assert!(why.stdout.contains(said), "{said:?} expected in {why}");
    }
}

#[test]
fn case_09_what_cannot_be_executed_is_named_with_the_reason() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("exec");
    workspace.write("not-a-program", "\x00\x01 no program\n");
    workspace.write("closed", "#!/bin/sh\nexec sleep 1000\n");
    workspace.write("orphaned", "#!/no/such/interpreter\n");
    std::fs::set_permissions(
        workspace.path("not-a-program"),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    std::fs::set_permissions(workspace.path("orphaned"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    std::fs::set_permissions(workspace.path("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    let programs = ["missing", "not-a-program", "closed", "orphaned"];
    let mut text = String::new();
    for name in programs {
        text.push_str(&format!("[services.{name}]\ncommand = [\"./{name}\"]\n"));
    }
    workspace.config(&text);
    let begun = Instant::now();
    workspace.pipctl(&["start"]).expect(exit::BLOCKED);
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    for (name, reason) in
        programs.into_iter().zip(["does not exist", "exec format", "not executable", "interpreter"])
    {
        let service = workspace.service(name);
        let detail = service.detail.unwrap_or_default();
        assert_eq!(service.phase, Phase::Blocked, "{name}: {detail}");
        assert!(detail.contains(name) && detail.to_lowercase().contains(reason), "{name}: {detail}");
    }
    // It costs nothing to wait, and a change is seen.
    let before = sandbox.cpu_time(sandbox.daemon());
    pass(Duration::from_secs(2));
    let used = sandbox.cpu_time(sandbox.daemon()) - before;
    assert!(used < Duration::from_millis(200), "{used:?} of processor time in two seconds of waiting");
    std::fs::set_permissions(workspace.path("closed"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .unwrap();
    workspace.write("closed", "#!/bin/sh\nexec sleep 1001\n");
    workspace.await_phase("closed", Phase::Ready);
}

#[test]
fn case_13_closed_output_is_no_end_and_nothing_spins() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("closed");
    workspace.config(
        "[services.job]\ncommand = [\"python3\", \"-c\", \"import os, time; os.close(1); os.close(2); time.sleep(1000)\"]\n",
    );
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("job");
    let (shim, daemon) = (service.shim_pid.unwrap(), sandbox.daemon());
    let before = sandbox.cpu_time(shim) + sandbox.cpu_time(daemon);
    pass(Duration::from_secs(2));
    let used = sandbox.cpu_time(shim) + sandbox.cpu_time(daemon) - before;
    assert!(used < Duration::from_millis(200), "{used:?} of processor time");
    kill(service.pid.unwrap());
    workspace.await_service("job", "another run", |now| now.run == Some(2) && now.phase == Phase::Ready);
}

/// Two thousand processes, a third of them in sessions of their own, in a group that bounds them whatever happens.
#[test]
fn case_15_a_bomb_of_two_thousand_is_gone_after_stop() {
    let sandbox = sandbox!();
    let Some(group) = crate::world::ControlGroup::new("pids", "bomb", &[("pids.max", "2600")]) else {
        testkit::skip!("needs root and a pids control group of version 1");
    };
    let workspace = sandbox.workspace("bomb");
    workspace.write(
        "bomb.py",
        &format!(
            "import os, signal, time\nopen({:?}, 'w').write(str(os.getpid()))\n\
             signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n\
             for n in range(2000):\n    if os.fork() == 0:\n        if n % 3 == 0: os.setsid()\n        \
             time.sleep(1000)\nopen('full', 'w')\ntime.sleep(1000)\n",
            group.procs()
        ),
    );
    workspace.config(
        "[services.bomb]\ncommand = [\"python3\", \"bomb.py\"]\nready = \"none\"\nstop = { grace = \"500ms\" }\n",
    );
    workspace.pipctl(&["start"]).ok();
    until("the bomb", LONG, || workspace.path("full").exists());
    assert!(group.pids().len() > 1_900, "{} processes", group.pids().len());
    let mut stop = workspace.command(sandbox.program());
    let mut stop = stop.args(["stop"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while stop.try_wait().unwrap().is_none() {
        let status = workspace.pipctl(&["daemon", "status"]).ok();
        slowest = slowest.max(status.took);
        assert!(begun.elapsed() < LONG, "it does not end");
    }
    println!("2,000 processes gone after {:?}; status took {slowest:?} at most", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    assert!(slowest < Duration::from_secs(2), "status took {slowest:?}");
    // All were killed; on a busy machine the last of two thousand take a moment to be gone, and are then reported.
    until("everybody to be gone", SHORT, || !group.pids().into_iter().any(alive));
}

#[test]
fn case_18_a_worker_killed_for_memory_is_no_clean_exit() {
    let sandbox = sandbox!();
    let Some(group) = crate::world::ControlGroup::new("memory", "oom", &[("memory.limit_in_bytes", "60M")])
    else {
        testkit::skip!("needs root and a memory control group of version 1");
    };
    let workspace = sandbox.workspace("oom");
    workspace.write(
        "hungry.py",
        "import time\ntime.sleep(0.5)\nkept = []\nwhile True: kept.append(bytearray(1 << 20))\n",
    );
    workspace.config("[services.hungry]\ncommand = [\"python3\", \"hungry.py\"]\nready = \"none\"\n");
    sandbox.pipctl(&["daemon", "start"]).ok();
    group.take_in(sandbox.daemon());
    workspace.pipctl(&["start"]).ok();
    let service =
        workspace.await_service("hungry", "a restart", |now| now.restarts >= 1 && now.last_exit.is_some());
    let end = service.last_exit.unwrap();
    assert_eq!((end.cause, end.asked), (ExitCause::Signal(9), false));
    let log = workspace.pipctl(&["logs", "hungry"]).ok();
    assert!(log.all().contains("out of memory"), "{log}");
    workspace.pipctl(&["stop"]).ok();
}

#[test]
fn case_21_a_thousand_grandchildren_a_second_leave_no_zombie() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("churn");
    // Each grandchild loses its parent at once, so it ends as somebody else's child.
    workspace.config(
        "[services.churn]\ncommand = [\"sh\", \"-c\", \"while :; do (true & ) ; done\"]\nready = \"none\"\n",
    );
    workspace.pipctl(&["start"]).ok();
    pass(Duration::from_secs(3));
    let service = workspace.service("churn");
    let helpers = [sandbox.daemon(), service.shim_pid.unwrap()];
    let zombies = || {
        let table = os::process::table().unwrap();
        table
            .iter()
            .filter(|process| {
                helpers.contains(&process.ppid) && process.state == os::process::Liveness::Zombie
            })
            .count()
    };
    until("few zombies", SHORT, || zombies() < 5);
    kill(service.pid.unwrap());
    let begun = Instant::now();
    until_some("another run", SHORT, || (workspace.service("churn").run == Some(2)).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(8), "the restart took {:?}", begun.elapsed());
    workspace.pipctl(&["stop"]).ok();
    assert_eq!(zombies(), 0);
}
