//! The programs replaced while services run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use run::layout::{HostDir, workspace_id};
use testkit::{SHORT, Sandbox, Workspace, exit, sandbox, skip, until};

use crate::kills::Load;
use crate::machine::Mounted;
use crate::world::{answers, assert_ticks, pair, serves_once};

/// The programs, where a package manager would have put them and may replace them.
struct Installed {
    folder: PathBuf,
    built: PathBuf,
}

impl Installed {
    fn new(sandbox: &Sandbox) -> Self {
        let folder = sandbox.folder().join("bin");
        std::fs::create_dir(&folder).unwrap();
        let installed = Self { folder, built: sandbox.program().parent().unwrap().to_owned() };
        installed.replace_all();
        installed
    }

    fn replace_all(&self) {
        for name in ["pipctl", "pipd", "pipd-shim"] {
            self.put(name, &std::fs::read(self.built.join(name)).unwrap());
        }
    }

    /// Beside it and renamed over it, as installers do.
    fn put(&self, name: &str, content: &[u8]) {
        let fresh = self.folder.join(format!("{name}.new"));
        std::fs::write(&fresh, content).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(fresh, self.folder.join(name)).unwrap();
    }

    fn pipctl(&self, workspace: &Workspace, arguments: &[&str]) -> testkit::Finished {
        let mut command = workspace.command(self.folder.join("pipctl"));
        command.args(arguments);
        workspace.run(command, 4 * SHORT)
    }
}

#[test]
fn case_88_programs_replaced_under_load_cost_no_request() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "--tick 5");
    let installed = Installed::new(&sandbox);
    installed.pipctl(&workspace, &["start"]).ok();
    let before = (workspace.pid("web"), workspace.pid("keep"));
    let load = Load::begin(&port, 200);
    let mut gap = Duration::ZERO;
    for _ in 0..5 {
        let daemon = sandbox.daemon();
        installed.replace_all();
        let begun = Instant::now();
        installed.pipctl(&workspace, &["daemon", "restart"]).ok().says("2 of 2 kept their pid");
        until("status", SHORT, || workspace.pipctl(&["daemon", "status"]).code == 0);
        gap = gap.max(begun.elapsed());
        assert_ne!(sandbox.daemon(), daemon);
    }
    let (asked, failed) = load.end();
    println!("five upgrades, {asked} requests, {} failed; from old to new at most {gap:?}", failed.len());
    assert!(failed.is_empty(), "{failed:?}");
    assert!(gap < Duration::from_secs(4), "{gap:?}");
    assert_eq!((workspace.pid("web"), workspace.pid("keep")), before);
    assert_ticks(&workspace.stdout_lines("web"));
    assert_ticks(&workspace.stdout_lines("keep"));
}

#[test]
fn case_89_a_new_program_that_cannot_serve_leaves_the_old_daemon() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    let installed = Installed::new(&sandbox);
    installed.pipctl(&workspace, &["start"]).ok();
    let (daemon, web) = (sandbox.daemon(), workspace.pid("web"));
    let broken: [(&str, &[u8]); 3] = [
        ("pipd", b"not a program"),
        ("pipd", b"#!/bin/sh\nexit 1\n"),
        ("pipd", b"#!/bin/sh\nkill -SEGV $$\n"),
    ];
    for (name, content) in broken {
        installed.put(name, content);
        let refused = installed.pipctl(&workspace, &["daemon", "restart"]).expect(exit::FAILED);
        assert!(refused.all().contains("cannot serve") && refused.all().contains("goes on"), "{refused}");
        assert_eq!((sandbox.daemon(), workspace.pid("web")), (daemon, web));
    }
    std::fs::remove_file(installed.folder.join("pipd")).unwrap();
    let refused = installed.pipctl(&workspace, &["daemon", "restart"]);
    assert!(refused.code != exit::OK && refused.all().contains("pipd"), "{refused}");
    assert_eq!((sandbox.daemon(), workspace.pid("web")), (daemon, web));
    installed.replace_all();
    std::fs::remove_file(installed.folder.join("pipd-shim")).unwrap();
    installed.pipctl(&workspace, &["daemon", "restart"]).expect(exit::FAILED).says("pipd-shim is missing");
    assert_eq!((sandbox.daemon(), workspace.pid("web")), (daemon, web));
    installed.replace_all();
    installed.pipctl(&workspace, &["daemon", "restart"]).ok();
    assert_ne!(sandbox.daemon(), daemon);
    assert!(serves_once(&workspace, &port));
}

/// A record as the next version might write it.
fn newer(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.replacen("pipd 1 ", "pipd 2 ", 1).into_bytes()
}

#[test]
fn case_90_what_a_newer_version_wrote_is_refused_and_stays_as_it_is() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let record = HostDir::at(sandbox.host()).workspace(&workspace_id(workspace.root())).record();
    let (old, new) = (std::fs::read(&record).unwrap(), newer(&record));
    std::fs::write(&record, &new).unwrap();
    let daemon = sandbox.daemon();
    // An older program does not take over from the daemon that serves.
    workspace.pipctl(&["daemon", "restart"]).expect(exit::FAILED).says("newer pipd");
    assert_eq!(sandbox.daemon(), daemon);
    // One that has to, because that one is dead, leaves it as it is and says so.
    testkit::kill(daemon);
    sandbox.await_daemon(daemon);
    sandbox.pipctl(&["daemon", "status"]).ok().says("newer pipd");
    assert!(answers(&port), "what runs was touched");
    assert_eq!(std::fs::read(&record).unwrap(), new, "it was changed");
    std::fs::write(&record, old).unwrap();
    workspace.pipctl(&["daemon", "restart"]).ok();
    assert!(serves_once(&workspace, &port));
}

#[test]
fn case_92_an_upgrade_without_room_on_the_disk_loses_nothing() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let Some(disk) = Mounted::over(&sandbox.state(), "size=4m,mode=700") else {
        skip!("needs root and mount(8)")
    };
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let before = (workspace.pid("web"), workspace.pid("keep"));
    let ballast = crate::machine::fill(&sandbox.state());
    workspace.pipctl(&["daemon", "restart"]);
    until("a daemon", SHORT, || sandbox.pipctl(&["daemon", "status"]).code == 0);
    assert_eq!((workspace.pid("web"), workspace.pid("keep")), before);
    assert!(answers(&port));
    std::fs::remove_file(ballast).unwrap();
    workspace.pipctl(&["daemon", "restart"]).ok();
    assert_eq!((workspace.pid("web"), workspace.pid("keep")), before);
    workspace.pipctl(&["stop"]).ok();
    sandbox.pipctl(&["daemon", "stop"]).ok();
    drop(disk);
}
