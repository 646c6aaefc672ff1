//! Memory that runs out: said before, and said after. In a control group of the first version, so for root only.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::path::PathBuf;

use testkit::{LONG, Stack, Workspace, sandbox, skip, until, until_some};
use wire::{ExitCause, Snapshot};

/// A group with a limit on memory. Removed with all that is left in it.
struct Group(PathBuf);

impl Group {
    fn new(bytes: u64) -> Option<Self> {
        let folder = PathBuf::from(format!("/sys/fs/cgroup/memory/pipd-test-{}", std::process::id()));
        std::fs::create_dir(&folder).ok()?;
        let group = Self(folder);
        std::fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        Some(group)
    }

    fn take(&self, pid: i32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pids = std::fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for pid in pids.split_whitespace() {
            let _ = std::fs::write("/sys/fs/cgroup/memory/cgroup.procs", pid);
        }
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn warnings(workspace: &Workspace) -> Vec<String> {
    let snapshot: Snapshot = workspace.pipctl(&["status", "--json"]).json();
    snapshot.warnings
}

#[test]
fn a_kernel_that_eats_the_memory_is_named_before_and_after_the_system_kills_it() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let Some(group) = Group::new(400 << 20) else {
        skip!("needs root and a memory control group of the first version")
    };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("hungry");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    group.take(workspace.pid("jupyter"));
    let jupyter = workspace.jupyter("jupyter");
    let kernel = jupyter.open("hungry.ipynb");
    jupyter.execute(&kernel, "1");
    assert_eq!(warnings(&workspace), Vec::<String>::new());

    // Up to nine tenths and a little: bytes that are really written.
    jupyter.execute(
        &kernel,
        "import os\npath = '/sys/fs/cgroup/memory/' + [line.split(':')[2].strip() for line in open('/proc/self/cgroup') \
         if ':memory:' in line][0]\nused = lambda: int(open(path + '/memory.usage_in_bytes').read())\nblocks = []\n\
         while used() < 375 << 20: blocks.append(bytearray(os.urandom(1 << 20)))",
    );
    let warning = until_some("a warning", LONG, || warnings(&workspace).into_iter().next());
    assert!(warning.contains("memory is running out"), "{warning}");
    assert!(warning.contains("the kernel of hungry.ipynb (pid "), "{warning}");
    assert!(warning.contains("its control group"), "{warning}");

    // And then too much of it.
    let pid = workspace.kernels("jupyter").kernels[0].pid.unwrap();
    jupyter.begin(&kernel, "while True: blocks.append(bytearray(os.urandom(1 << 20)))");
    let killed = until_some("the end of the kernel", LONG, || {
        workspace.kernels("jupyter").killed.into_iter().find(|end| end.pid == pid)
    });
    assert_eq!((&killed.id, killed.notebook.as_deref()), (&kernel, Some("hungry.ipynb")));
    assert_eq!((killed.cause, killed.out_of_memory), (ExitCause::Signal(9), Some(true)));
    workspace.pipctl(&["status"]).says("killed the kernel of hungry.ipynb").says("for lack of memory");
    until("the warning to go", LONG, || warnings(&workspace).is_empty());
    workspace.pipctl(&["stop", "--force"]).ok();
}
