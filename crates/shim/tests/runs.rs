//! Whole runs: output, ends, stops, sweeps.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

mod common;

use std::time::{Duration, Instant};

use common::{SOON, command, is_alive, python, report, script, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use run::log::{Stream, last_words};
use run::protocol::{Order, Report};
use wire::{ExitCause, StopSpec, Text};

#[test]
fn a_run_is_logged_recorded_and_reported() {
    let mut run = script("echo one; echo two >&2; echo three; exit 3").start();
    let pid = run.started();
    assert_eq!(run.recorded().main.pid, pid);
    let exited = run.exited();
    assert_eq!(exited.cause, ExitCause::Code(3));
    assert!(!exited.asked && exited.swept.is_empty() && exited.usage.is_some());
    assert_eq!(run.lines(Stream::Stdout), ["one", "three"]);
    assert_eq!(run.lines(Stream::Stderr), ["two"]);
    assert_eq!(
        run.lines(Stream::Pipd),
        [format!("run 7 started, pid {pid}"), "run 7 ended: exit code 3".into()]
    );
    run.reap_shim();
    assert!(!run.dir.spool().exists() && !run.dir.out().exists() && !run.spec.socket.as_path().exists());
}

#[test]
fn last_words_are_complete_before_the_exit_is_recorded() {
    let mut run = python(
        "import os, sys\nfor n in range(2000): os.write(2, b'%06d %s\\n' % (n, b'x' * 26))\nos.write(2, b'last'); os._exit(1)",
    )
    .start();
    assert_eq!(run.exited().cause, ExitCause::Code(1));
    let lines = run.lines(Stream::Stderr);
    assert_eq!(lines.len(), 2001);
    assert!(lines[..2000].iter().enumerate().all(|(n, line)| line.starts_with(&format!("{n:06} "))));
    assert_eq!(lines[2000], "last");
}

#[test]
fn a_traceback_is_found_by_who_asks_for_last_words() {
    let mut run = python("print('fine'); import nosuchmodule").start();
    assert_eq!(run.exited().cause, ExitCause::Code(1));
    let words = last_words(&run.service.logs(), 7);
    assert_eq!(words.first().unwrap(), "Traceback (most recent call last):");
    assert_eq!(words.last().unwrap(), "ModuleNotFoundError: No module named 'nosuchmodule'");
}

#[test]
fn what_cannot_be_executed_is_named() {
    let mut run = command(&["/nowhere/.venv/bin/python", "-m", "jupyterlab"]).start();
    let ExitCause::ExecFailed { message, errno } = run.exited().cause else { panic!() };
    assert_eq!(errno, 2);
    assert_eq!(message, "cannot execute /nowhere/.venv/bin/python: no such file or directory");
    assert_eq!(run.lines(Stream::Pipd), [format!("run 7 ended: {message}")]);

    let run = command(&["./tool"]);
    let tool = run.tmp.path().join("tool");
    std::fs::write(&tool, "#!/moved/away/python\n").unwrap();
    let mut run = run.start();
    let ExitCause::ExecFailed { message, .. } = run.exited().cause else { panic!() };
    assert!(message.contains("permission denied"), "{message}");

    let run = command(&["./tool"]);
    let tool = run.tmp.path().join("tool");
    std::fs::write(&tool, "#!/moved/away/python\n").unwrap();
    std::fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut run = run.start();
    let ExitCause::ExecFailed { message, .. } = run.exited().cause else { panic!() };
    assert!(message.ends_with("(its interpreter /moved/away/python is gone)"), "{message}");

    let mut run = script("true");
    run.spec.cwd = Text::from("/nowhere");
    let mut run = run.start();
    let ExitCause::ExecFailed { message, .. } = run.exited().cause else { panic!() };
    assert_eq!(message, "cannot enter /nowhere: no such file or directory");
}

#[test]
fn a_service_that_ignores_term_is_killed_at_the_end_of_the_ladder() {
    let mut run = script("trap '' TERM INT; echo ready; while :; do sleep 0.05; done").start();
    run.started();
    wait_for("its trap", SOON, || (run.lines(Stream::Stdout) == ["ready"]).then_some(()));
    let begun = Instant::now();
    run.stop();
    run.stop();
    let exited = run.exited();
    assert_eq!(exited.cause, ExitCause::Signal(9));
    assert!(exited.asked);
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
}

#[test]
fn a_service_that_needs_int_gets_it_at_a_third() {
    let mut run = script("trap '' TERM; trap 'exit 5' INT; echo ready; while :; do sleep 0.02; done").start();
    run.started();
    wait_for("its trap", SOON, || (run.lines(Stream::Stdout) == ["ready"]).then_some(()));
    run.stop();
    assert_eq!(run.exited().cause, ExitCause::Code(5));
}

#[test]
fn a_stopped_service_is_woken_to_end() {
    let mut run = script("echo ready; while :; do sleep 0.02; done").start();
    let pid = run.started();
    wait_for("its start", SOON, || (run.lines(Stream::Stdout) == ["ready"]).then_some(()));
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    run.stop();
    assert_eq!(run.exited().cause, ExitCause::Signal(15));
}

#[test]
fn an_end_unasked_and_an_end_by_order_are_told_apart() {
    let mut run = script("exec sleep 1000").start();
    let pid = run.started();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let exited = run.exited();
    assert_eq!((exited.cause, exited.asked), (ExitCause::Signal(9), false));
    let mut run = script("exec sleep 1000").start();
    run.started();
    run.send(&Order::Kill);
    let exited = run.exited();
    assert_eq!((exited.cause, exited.asked), (ExitCause::Signal(9), true));
}

#[test]
fn what_left_the_group_is_swept() {
    let mut run = script(
        "setsid sh -c 'echo $$ > far; exec sleep 1000' & (setsid sh -c 'trap \"\" TERM; echo $$ > deaf; while :; do sleep 0.05; done' &)
         while [ ! -s far ] || [ ! -s deaf ]; do sleep 0.01; done; exit 0",
    )
    .start();
    let exited = run.exited();
    assert_eq!(exited.cause, ExitCause::Code(0));
    assert!(exited.swept.iter().any(|line| line == "sleep 1000"), "{:?}", exited.swept);
    assert!(exited.swept.iter().any(|line| line.contains("trap")), "{:?}", exited.swept);
    for name in ["far", "deaf"] {
        assert!(!is_alive(run.pid_in(name)), "{name} lives");
    }
}

#[test]
fn what_a_person_started_in_a_terminal_stays_and_kernels_go() {
    let text = "
        JUPYTER_SERVER_URL=http://localhost setsid sh -c 'echo $$ > mine; exec sleep 1000' &
        JUPYTER_SERVER_URL=http://localhost JPY_PARENT_PID=$$ setsid sh -c 'echo $$ > kernel; exec sleep 1001' &
        while [ ! -s mine ] || [ ! -s kernel ]; do sleep 0.01; done";
    let mut run = script(text);
    run.spec.spare_terminals = true;
    let mut run = run.start();
    let exited = run.exited();
    assert_eq!(exited.left_running, ["sleep 1000"]);
    assert_eq!(exited.swept, ["sleep 1001"]);
    let mine = run.pid_in("mine");
    assert!(is_alive(mine) && !is_alive(run.pid_in("kernel")));
    kill(Pid::from_raw(mine), Signal::SIGKILL).unwrap();

    let mut run = script(&format!("{text}; sleep 1000"));
    run.spec.spare_terminals = true;
    let mut run = run.start();
    let mine = run.pid_in("mine");
    run.pid_in("kernel");
    run.send(&Order::Stop { all_processes: true });
    let exited = run.exited();
    assert!(exited.left_running.is_empty() && !is_alive(mine));
}

#[test]
fn a_process_that_replaces_itself_is_the_service() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut run = python(&format!(
        "import os, socket, time
if os.fork(): os._exit(0)
os.setsid()
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
time.sleep(0.15); s.bind(('127.0.0.1', {port})); s.listen()
print('serving'); time.sleep(1000)"
    ));
    run.spec.port = Some(port);
    let mut run = run.start();
    let first = run.started();
    let Report::Replaced { pid } = run.report() else { panic!() };
    assert!(pid != first && run.recorded().main.pid == pid && is_alive(pid));
    let mut later = run.connect();
    assert!(matches!(report(&mut later), Report::Hello { .. }));
    assert!(matches!(report(&mut later), Report::Started { pid: told, .. } if told == pid));
    run.stop();
    let exited = run.exited();
    assert_eq!((exited.cause, exited.asked), (ExitCause::Signal(15), true));
    assert_eq!(run.lines(Stream::Stdout), ["serving"]);
}

#[test]
fn a_process_that_just_ends_is_not_replaced() {
    let mut run = script("sleep 0.2 & exit 0");
    run.spec.port = Some(1);
    let mut run = run.start();
    assert_eq!(run.exited().cause, ExitCause::Code(0));
}

#[test]
fn signals_go_where_they_are_sent() {
    let mut run =
        script("trap 'echo hup' HUP; trap 'exit 4' USR1; echo ready; while :; do sleep 0.02; done").start();
    run.started();
    wait_for("its trap", SOON, || (run.lines(Stream::Stdout) == ["ready"]).then_some(()));
    run.send(&Order::Signal { signal: wire::Signal::Hup, to: wire::StopTarget::Main });
    wait_for("HUP", SOON, || (run.lines(Stream::Stdout) == ["ready", "hup"]).then_some(()));
    run.send(&Order::Signal { signal: wire::Signal::Usr1, to: wire::StopTarget::Tree });
    let exited = run.exited();
    assert_eq!((exited.cause, exited.asked), (ExitCause::Code(4), false));
}

#[test]
fn case_13_a_service_that_closes_its_output_neither_ends_nor_wakes_the_shim() {
    let mut run = script("exec >&- 2>&-; exec sleep 1000").start();
    run.started();
    let shim = run.shim;
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let mut last = (switches(), Instant::now());
    // Quiet means: for a third of a second nothing woke it.
    wait_for("a quiet shim", SOON, || {
        let now = switches();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(350)).then_some(())
    });
    run.stop();
    assert_eq!(run.exited().cause, ExitCause::Signal(15));
}

#[test]
fn the_service_keeps_a_reader_of_its_own_and_nothing_else_of_ours() {
    let mut run = script("ls -l /proc/$$/fd | sed 's/.* \\([0-9]*\\) -> /\\1 /'; exec sleep 1000").start();
    run.started();
    let lines = wait_for("the list", SOON, || {
        let lines = run.lines(Stream::Stdout);
        lines.iter().any(|line| line.starts_with("2 ")).then_some(lines)
    });
    let numbers: Vec<i32> = lines
        .iter()
        .filter(|line| !line.contains(" pipe:[")) // the shell's own
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .collect();
    assert!(lines.iter().any(|line| line == "0 /dev/null"), "{lines:?}");
    assert_eq!(numbers.iter().filter(|&&number| number >= 200).count(), 2, "{lines:?}");
    assert!(numbers.iter().all(|&number| number <= 3 || number >= 200), "{lines:?}");
    run.stop();
    run.exited();
}

#[test]
fn a_pipe_full_of_output_does_not_lose_the_stop() {
    let mut run = python("import sys\nwhile True: sys.stdout.write('x' * 99 + '\\n')");
    run.spec.stop = StopSpec { sweep_ms: 400, ..StopSpec::web(3_000) };
    run.spec.log.files = 2;
    run.spec.log.file_bytes = 1 << 20;
    let mut run = run.start();
    run.started();
    wait_for("output", SOON, || (run.lines(Stream::Stdout).len() > 1000).then_some(()));
    run.stop();
    assert_eq!(run.exited().cause, ExitCause::Signal(15));
    let size: u64 = std::fs::read_dir(run.service.logs())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size <= 2 << 20);
}

#[test]
fn a_tombstone_sends_a_late_shim_away() {
    let run = script("touch ran");
    let exited = run::record::Exited {
        cause: ExitCause::Unknown,
        at_ms: 1,
        uptime_ms: 0,
        asked: false,
        out_of_memory: None,
        usage: None,
        swept: Vec::new(),
        left_running: Vec::new(),
        unkillable: Vec::new(),
    };
    run::record::write(&run.dir.exited(), &exited, run::record::Durability::Rename).unwrap();
    let run = run.start();
    run.reap_shim();
    assert!(!run.tmp.path().join("ran").exists() && !run.dir.started().exists());
}

#[test]
fn case_36_a_full_log_disk_neither_stops_nor_kills_the_service() {
    let run = python(
        "import time, os\nn = 0\nwhile True:\n    os.write(1, b''.join(b'line %08d %s\\n' % (n + i, b'x' * 60) for i in range(100)))\n    n += 100\n    open('count', 'w').write('%d\\n' % n)\n    time.sleep(0.002)",
    );
    let logs = run.service.logs();
    std::fs::create_dir_all(&logs).unwrap();
    let mount = |arguments: &[&str]| {
        std::process::Command::new(arguments[0])
            .args(&arguments[1..])
            .arg(&logs)
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"]) {
        eprintln!("SKIPPED: a full disk needs root and mount(8)");
        return;
    }
    let mut run = run.start();
    let pid = run.started();
    let Report::Dropped { lines } = run.report() else { panic!() };
    assert!(lines > 0);
    let count = run.pid_in("count");
    wait_for("a service that goes on", SOON, || (run.pid_in("count") > count + 2_000).then_some(()));
    // Room again.
    assert!(mount(&["mount", "-o", "remount,size=64m"]));
    let mark = wait_for("the mark", SOON, || {
        run.lines(Stream::Pipd).into_iter().find(|line| line.starts_with("dropped"))
    });
    assert!(mark.ends_with("lines: no space left on device"), "{mark}");
    assert!(is_alive(pid));
    run.stop();
    loop {
        match run.report() {
            Report::Exited(exited) => {
                assert_eq!(exited.cause, ExitCause::Signal(15));
                break;
            }
            Report::Dropped { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    // Every line is there or counted.
    let dropped: u64 = run
        .lines(Stream::Pipd)
        .iter()
        .filter_map(|line| line.strip_prefix("dropped ")?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    let logged = run.lines(Stream::Stdout);
    let last: u64 = logged.last().unwrap()[5..13].parse().unwrap();
    assert_eq!(logged.len() as u64 + dropped, last + 1);
    run.reap_shim();
    assert!(mount(&["umount"]));
}

#[test]
fn case_18_a_kill_for_memory_is_told_from_another_kill() {
    let cgroup =
        std::path::PathBuf::from(format!("/sys/fs/cgroup/memory/pipd-shim-test-{}", std::process::id()));
    let limited = std::fs::create_dir(&cgroup)
        .and_then(|()| std::fs::write(cgroup.join("memory.limit_in_bytes"), "40M"));
    if limited.is_err() {
        let _ = std::fs::remove_dir(&cgroup);
        eprintln!("SKIPPED: a memory limit needs root and cgroup v1");
        return;
    }
    let mut run = python("x = []\nwhile True: x.append(bytearray(1 << 20))");
    run.before = Some(format!("echo $$ > {}/cgroup.procs", cgroup.display()));
    let mut run = run.start();
    let exited = run.exited();
    run.reap_shim();
    assert_eq!((exited.cause, exited.out_of_memory), (ExitCause::Signal(9), Some(true)));

    let mut run = script("exec sleep 1000");
    run.before = Some(format!("echo $$ > {}/cgroup.procs", cgroup.display()));
    let mut run = run.start();
    let pid = run.started();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let exited = run.exited();
    run.reap_shim();
    assert_eq!((exited.cause, exited.out_of_memory), (ExitCause::Signal(9), Some(false)));
    wait_for("an empty cgroup", SOON, || std::fs::remove_dir(&cgroup).ok());
}

#[test]
fn case_39_a_machine_without_descriptors_is_no_fault_of_the_service() {
    // Below, the shim itself cannot be loaded.
    for limit in 7..24 {
        let mut run = script("touch ran; exec sleep 1000");
        run.before = Some(format!("ulimit -n {limit}"));
        let mut run = run.start();
        let first = run.report();
        let second = if matches!(first, Report::Hello { .. }) { run.report() } else { first };
        match second {
            Report::Refused { errno, .. } => {
                assert_eq!(errno, 24, "limit {limit}");
                run.reap_shim();
                assert!(!run.tmp.path().join("ran").exists() && !run.dir.exited().exists());
            }
            Report::Started { .. } => {
                run.stop();
                assert_eq!(run.exited().cause, ExitCause::Signal(15), "limit {limit}");
            }
            other => panic!("limit {limit}: {other:?}"),
        }
    }
}
