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
