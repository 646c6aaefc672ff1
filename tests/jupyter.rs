//! JupyterLab from within: kernels, notebooks, terminals, with both releases of ipykernel.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::path::Path;
use std::time::Duration;

use testkit::{
    Port, Sandbox, Stack, Workspace, alive, exit, resume, sandbox, skip, suspend, until, until_some,
};
use wire::{KernelView, MemoryKind, Phase};

/// A workspace with a JupyterLab and nothing else, started.
fn lab<'a>(sandbox: &'a Sandbox, venv: &Path, name: &str, port: &Port) -> Workspace<'a> {
    let workspace = sandbox.workspace(name);
    workspace.link_venv(venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    workspace
}

fn await_kernel(workspace: &Workspace, what: &str, wanted: impl Fn(&KernelView) -> bool) -> KernelView {
    until_some(&format!("a kernel that is {what}"), testkit::SHORT, || {
        workspace.kernels("jupyter").kernels.into_iter().find(|kernel| wanted(kernel))
    })
}

#[test]
fn status_shows_kernels_notebooks_memory_and_addresses_of_both_ipykernels() {
    for stack in [Stack::Current, Stack::OldKernel] {
        let Some(venv) = stack.venv() else { skip!("run `cargo xtask test` for the real servers") };
        let _slot = testkit::real_server_slot();
        let sandbox = sandbox!();
        let port = sandbox.port();
        let workspace = lab(&sandbox, &venv, "inside", &port);
        let jupyter = workspace.jupyter("jupyter");
        let (idle, busy) = (jupyter.start_kernel(), jupyter.open("deep/train.ipynb"));
        let pid =
            |kernel: &str| jupyter.execute(kernel, "import os, time; os.getpid()").parse::<i32>().unwrap();
        let pids = (pid(&idle), pid(&busy));
        jupyter.execute(&busy, "block = bytearray(64 << 20); child = os.popen('sleep 1000')");
        jupyter.begin(&busy, "time.sleep(1000)");

        // Nobody has asked yet: a plain status asks nobody.
        assert_eq!(workspace.service("jupyter").jupyter, None);
        await_kernel(&workspace, "busy", |kernel| kernel.state == "busy");
        let details = workspace.details("jupyter");
        let view = details.jupyter.unwrap();
        assert_eq!(view.silent, None);
        let [first, second] = &view.kernels[..] else { panic!("{view:#?}") };
        assert_eq!(
            (&first.id, first.notebook.as_deref(), first.pid),
            (&busy, Some("deep/train.ipynb"), Some(pids.1))
        );
        assert_eq!((&second.id, second.notebook.as_deref(), second.pid), (&idle, None, Some(pids.0)));
        assert_eq!((&*first.state, &*second.state, &*first.name), ("busy", "idle", "python3"));
        assert!(first.memory_bytes.unwrap() > second.memory_bytes.unwrap() + (60 << 20), "{view:#?}");
        let age = view.at_ms - first.last_activity_ms.unwrap();
        assert!((-1_000..60_000).contains(&age), "{age} ms");

        let tree = details.tree.unwrap();
        // JupyterLab, two kernels, and what one of them started.
        assert!(tree.processes >= 4, "{tree:?}");
        assert!(tree.memory_bytes > first.memory_bytes.unwrap() + second.memory_bytes.unwrap());
        assert!(tree.cpu_ms > 500, "{tree:?}");
        if cfg!(target_os = "linux") {
            assert_eq!(tree.memory_kind, MemoryKind::Pss);
        }
        let addresses = details.listening.unwrap().addresses;
        assert!(addresses.contains(&format!("127.0.0.1:{port}")), "{addresses:?}");
        assert!(addresses.iter().all(|address| address.ends_with(&format!(":{port}"))), "{addresses:?}");

        // For people; and now a plain status knows what was said last.
        let shown = workspace.pipctl(&["status", "-l"]).ok();
        for text in
            ["deep/train.ipynb  busy", "managed", "listens on", "memory of this machine", &pids.1.to_string()]
        {
            assert!(shown.stdout.contains(text), "{text:?} expected in {shown}");
        }
        workspace.pipctl(&["status"]).ok().says("1 busy (deep/train.ipynb), 1 idle");
        // To be asked is no event in its log.
        let lines = workspace.log_lines("jupyter").len();
        until("a fresh answer", testkit::SHORT, || workspace.kernels("jupyter").at_ms > view.at_ms);
        assert_eq!(workspace.log_lines("jupyter").len(), lines);
        workspace.pipctl(&["stop", "--force"]).ok();
    }
}

#[test]
fn many_kernels_are_shown_by_what_they_use_and_all_end_with_a_stop() {
    const KERNELS: usize = 9;
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = lab(&sandbox, &venv, "many", &port);
    let jupyter = workspace.jupyter("jupyter");
    // Started together, as by somebody who opens yesterday's notebooks.
    let names: Vec<String> = (0..KERNELS).map(|number| format!("n{number}.ipynb")).collect();
    let ids: Vec<String> = std::thread::scope(|scope| {
        let opening: Vec<_> = names.iter().map(|name| scope.spawn(|| jupyter.open(name))).collect();
        opening.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let pid = |kernel: &str| jupyter.execute(kernel, "import os, time; os.getpid()").parse::<i32>().unwrap();
    let pids: Vec<i32> = std::thread::scope(|scope| {
        let asking: Vec<_> = ids.iter().map(|id| scope.spawn(|| pid(id))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    // One is large, two are at work, one has a child in its own group and one in a session of its own.
    jupyter.execute(&ids[3], "block = bytearray(96 << 20)");
    let helper = |code: &str| jupyter.execute(&ids[4], code).parse::<i32>().unwrap();
    let helpers = [
        helper("import subprocess as s; s.Popen(['sleep', '1002']).pid"),
        helper("s.Popen(['sleep', '1003'], start_new_session=True).pid"),
    ];
    for id in &ids[..2] {
        jupyter.begin(id, "time.sleep(1000)");
    }

    let busy = |view: &wire::JupyterView| view.kernels.iter().filter(|kernel| kernel.state == "busy").count();
    let view = until_some("two kernels at work", testkit::SHORT, || {
        Some(workspace.kernels("jupyter")).filter(|view| view.kernels.len() == KERNELS && busy(view) == 2)
    });
    for (id, (name, pid)) in ids.iter().zip(names.iter().zip(&pids)) {
        let kernel = view.kernels.iter().find(|kernel| kernel.id == *id).unwrap();
        assert_eq!((kernel.notebook.as_ref(), kernel.pid), (Some(name), Some(*pid)), "{view:#?}");
        assert!(kernel.memory_bytes.is_some_and(|bytes| bytes > 10 << 20), "{kernel:?}");
    }
    let largest = view.kernels.iter().max_by_key(|kernel| kernel.memory_bytes).unwrap();
    assert_eq!(largest.id, ids[3], "{view:#?}");
    // However many there are, one line of a plain status tells of them.
    let shown = workspace.pipctl(&["status"]).ok().says("kernels: 2 busy (n0.ipynb, n1.ipynb), 7 idle");
    assert_eq!(shown.stdout.matches("ipynb").count(), 2, "{shown}");
    let long = workspace.pipctl(&["status", "--long"]).ok().stdout;
    assert!(names.iter().all(|name| long.contains(name)), "{long}");

    let refused = workspace.pipctl(&["stop"]).expect(exit::BUSY);
    for name in &names[..2] {
        assert!(refused.stdout.contains(&format!("kernel of {name} is busy")), "{refused}");
    }
    assert!(pids.iter().all(|&pid| alive(pid)));
    workspace.pipctl(&["stop", "--force"]).ok();
    for pid in pids.iter().chain(&helpers) {
        assert!(!alive(*pid), "{pid} is left, of kernels {pids:?} and what they started {helpers:?}");
    }
}

#[test]
fn a_jupyterlab_that_hangs_counts_as_busy_within_a_second() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = lab(&sandbox, &venv, "hung", &port);
    let jupyter = workspace.jupyter("jupyter");
    let kernel = jupyter.start_kernel();
    jupyter.execute(&kernel, "1");
    let process = await_kernel(&workspace, "idle", |kernel| kernel.state == "idle").pid.unwrap();
    let main = workspace.pid("jupyter");
    suspend(main);
    let refused = workspace.pipctl(&["stop"]).expect(exit::BUSY).says("did not answer within 1 s");
    let view = workspace.kernels("jupyter");
    resume(main);
    assert!(refused.took < Duration::from_secs(4), "{refused}");
    assert!(view.silent.is_some_and(|why| why.contains("did not answer")));
    // What its processes show is shown all the same.
    let [hidden] = &view.kernels[..] else { panic!("{:#?}", view.kernels) };
    assert_eq!((&*hidden.id, hidden.pid, &*hidden.state), (&*kernel, Some(process), "unknown"));
    assert!(alive(process));
    workspace.await_phase("jupyter", Phase::Ready);
    until("a quiet JupyterLab", testkit::SHORT, || workspace.kernels("jupyter").silent.is_none());
    workspace.pipctl(&["stop"]).ok();
}

#[test]
fn a_stop_that_waits_for_idle_does_nothing_before_and_everything_then() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("patient");
    workspace.link_venv(&venv);
    workspace.config(&format!(
        "[services.jupyter]\nport = {port}\n\n[services.worker]\ncommand = [{:?}]\n",
        sandbox.stub()
    ));
    workspace.pipctl(&["start"]).ok();
    let jupyter = workspace.jupyter("jupyter");
    let kernel = jupyter.open("train.ipynb");
    let go = workspace.path("go");
    let code = format!(
        "import os, time\nwhile not os.path.exists({go:?}): time.sleep(0.02)\nopen({:?}, 'w').write('whole')",
        workspace.path("result")
    );
    jupyter.begin(&kernel, &code);
    await_kernel(&workspace, "busy", |kernel| kernel.state == "busy");

    // A script is refused, and a wait that is too short ends the same way; the other service is left alone, too.
    let (main, worker) = (workspace.pid("jupyter"), workspace.pid("worker"));
    let refused = workspace.pipctl(&["stop", "--when-idle=1s"]).expect(exit::BUSY);
    assert!(refused.stderr.contains("kernel of train.ipynb is busy"), "{refused}");
    assert!(alive(main) && alive(worker));
    workspace.pipctl(&["stop", "--when-idle", "--force"]).expect(exit::USAGE);

    // Ctrl-C while it waits leaves everything as it is.
    let mut command = workspace.command(sandbox.program());
    command.args(["stop", "--when-idle"]).stderr(std::process::Stdio::piped());
    let mut waiting = command.spawn().unwrap();
    let mut said = std::io::BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert!(line.contains("waiting"), "{line}");
    let process = os::process::ProcessIdentity::of(waiting.id().cast_signed()).unwrap().unwrap();
    process.signal(os::signals::Signal::SIGINT).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(7));
    std::io::Read::read_to_string(&mut said, &mut line).unwrap();
    assert!(line.contains("everything is as it was"), "{line}");
    assert!(alive(main) && alive(worker));

    // When the kernel has done its work it all ends: a restart first, then a stop.
    let mut command = workspace.command(sandbox.program());
    let mut waiting = command.args(["restart", "--when-idle", "jupyter"]).spawn().unwrap();
    until("a second look", testkit::SHORT, || workspace.kernels("jupyter").kernels[0].state == "busy");
    workspace.write("go", "");
    let status = until_some("the restart", testkit::LONG, || waiting.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert_eq!(workspace.read("result"), "whole");
    assert!(!alive(main));
    assert_eq!((workspace.service("jupyter").phase, workspace.pid("worker")), (Phase::Ready, worker));
    workspace.pipctl(&["stop", "--when-idle=30s"]).ok().says("stopped");
    assert!(!alive(worker));
}

#[test]
fn a_kernel_survives_the_daemon_and_the_restarts_of_everything_else() {
    for stack in [Stack::Current, Stack::OldKernel] {
        let Some(venv) = stack.venv() else { skip!("run `cargo xtask test` for the real servers") };
        let _slot = testkit::real_server_slot();
        let sandbox = sandbox!();
        let port = sandbox.port();
        let workspace = sandbox.workspace("keeper");
        workspace.link_venv(&venv);
        workspace.config(&format!(
            "[services.jupyter]\nport = {port}\n\n[services.web]\ncommand = [{:?}]\n",
            sandbox.stub()
        ));
        workspace.pipctl(&["start"]).ok();
        let other = sandbox.workspace("neighbour");
        other.stub_service("web", "", "");
        other.pipctl(&["start"]).ok();
        let jupyter = workspace.jupyter("jupyter");
        let kernel = jupyter.start_kernel();
        jupyter.execute(&kernel, "precious = 41");
        let before = workspace.kernels("jupyter").kernels;

        workspace.pipctl(&["restart", "web"]).ok();
        other.pipctl(&["restart"]).ok();
        other.pipctl(&["stop"]).ok();
        workspace.pipctl(&["daemon", "restart"]).ok();
        let killed = sandbox.kill_daemon();
        sandbox.await_daemon(killed);
        workspace.await_phase("jupyter", Phase::Ready);
        assert_eq!(jupyter.execute(&kernel, "precious + 1"), "42");
        let after = workspace.kernels("jupyter").kernels;
        assert_eq!((&after[0].id, after[0].pid), (&before[0].id, before[0].pid));
        workspace.pipctl(&["stop"]).ok();
    }
}

#[test]
fn a_terminal_is_at_work_only_while_more_than_its_shell_has_it() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = lab(&sandbox, &venv, "terminals", &port);
    let jupyter = workspace.jupyter("jupyter");
    // An idle shell, and what a person has detached from one: neither is work that a stop would end.
    jupyter.type_line("nohup sleep 1000 >/dev/null 2>&1 & echo do''ne", "done");
    until("two idle terminals", testkit::SHORT, || workspace.kernels("jupyter").terminals.is_empty());
    let line = format!("touch {}; echo wor''ks; sleep 1001", workspace.path("typed").display());
    jupyter.type_line(&line, "works");
    let terminals = until_some("a terminal at work", testkit::SHORT, || {
        let view = workspace.kernels("jupyter");
        (!view.terminals.is_empty()).then_some(view.terminals)
    });
    assert_eq!(terminals.len(), 1, "{terminals:#?}");
    assert_eq!(terminals[0].command, "sleep 1001");
    let refused = workspace.pipctl(&["stop"]).expect(exit::BUSY);
    assert!(refused.stdout.contains("a terminal runs: sleep 1001"), "{refused}");
    testkit::kill(terminals[0].pid);
    until("the shell to have it back", testkit::SHORT, || workspace.kernels("jupyter").terminals.is_empty());
    workspace.pipctl(&["stop", "--all-processes"]).ok();
}

#[test]
fn a_configuration_with_another_path_and_token_is_asked_as_it_wants() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let config = sandbox.folder().join("home/.jupyter");
    std::fs::create_dir_all(&config).unwrap();
    let write = |text: &str| std::fs::write(config.join("jupyter_server_config.py"), text).unwrap();
    write("c.ServerApp.base_url = '/deep/down/'\nc.IdentityProvider.token = 'chosen'\n");
    let workspace = lab(&sandbox, &venv, "based", &port);
    assert_eq!(workspace.kernels("jupyter").silent, None);

    // One that takes no token at all cannot be asked, so it counts as busy, and says why.
    workspace.pipctl(&["stop"]).ok();
    write(
        "c.IdentityProvider.token = ''\nc.PasswordIdentityProvider.hashed_password = 'argon2:$argon2id$v=19$m=10240,t=10,p=8$c29tZXNhbHQ$AAAA'\n",
    );
    workspace.pipctl(&["start"]).ok();
    let silent = workspace.kernels("jupyter").silent.expect("an answer that was refused");
    assert!(silent.contains("does not take the token"), "{silent}");
    workspace.pipctl(&["stop"]).expect(exit::BUSY).says("does not take the token");
    workspace.pipctl(&["stop", "--force"]).ok();
}

#[test]
fn a_watch_shows_a_kernel_that_becomes_busy() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = lab(&sandbox, &venv, "watched", &port);
    let mut command = workspace.command(sandbox.program());
    let mut watch = command.args(["status", "--watch"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let stdout = watch.stdout.take().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(stdout)).map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let shows = |wanted: &str| {
        until(&format!("{wanted:?} in the watch"), testkit::LONG, || {
            lines.try_iter().any(|line| line.contains(wanted))
        });
    };
    shows("ready");
    let jupyter = workspace.jupyter("jupyter");
    let kernel = jupyter.open("seen.ipynb");
    jupyter.begin(&kernel, "import time; time.sleep(1000)");
    shows("1 busy (seen.ipynb)");
    // It goes on with the next daemon.
    let killed = sandbox.kill_daemon();
    sandbox.await_daemon(killed);
    jupyter.interrupt(&kernel);
    shows("1 idle");
    testkit::kill(watch.id().cast_signed());
    watch.wait().unwrap();
}
