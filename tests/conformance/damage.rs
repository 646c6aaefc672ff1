//! Files that cannot be read: kept, told of, and no reason to forget what lives.

use std::path::{Path, PathBuf};

use run::layout::{HostDir, workspace_id};
use testkit::{SHORT, Sandbox, Workspace, alive, exit, kill, sandbox, suspend, until};
use wire::{Goal, Phase};

use crate::world::{answers, births, pair, serves_once};

const DAMAGED: &[u8] = b"pipd 1 00000000 9\nnonsense\xff";

/// Where the damaged content lies now, beside the place it was found in.
fn aside_of(path: &Path) -> PathBuf {
    let found = run::record::put_aside(path.parent().unwrap());
    let name = path.file_name().unwrap().to_str().unwrap();
    let of_it = found.into_iter().find(|aside| aside.to_str().is_some_and(|text| text.contains(name)));
    let aside = of_it.unwrap_or_else(|| panic!("{} was not put aside", path.display()));
    assert_eq!(std::fs::read(&aside).unwrap(), DAMAGED, "what was put aside is what was there");
    aside
}

/// `status` and `doctor` name what was put aside.
fn assert_told(workspace: &Workspace, aside: &Path) {
    let name = aside.file_name().unwrap().to_str().unwrap();
    let status = workspace.pipctl(&["status"]);
    assert!(status.all().contains(name), "{name} expected in {status}");
    let doctor = workspace.pipctl(&["doctor"]);
    assert!(doctor.all().contains(name) && doctor.all().contains("rm "), "{name} expected in {doctor}");
}

fn host(sandbox: &Sandbox) -> HostDir {
    HostDir::at(sandbox.host())
}

/// The daemon dies, a record is damaged, the next daemon comes.
fn damaged_under_a_dead_daemon(sandbox: &Sandbox, path: &Path) {
    // Nobody brings a daemon back before the damage is done.
    sandbox.pipctl(&["daemon", "stop"]).ok();
    std::fs::write(path, DAMAGED).unwrap();
    sandbox.pipctl(&["daemon", "start"]).ok();
}

#[test]
fn case_24_an_unreadable_record_of_daemon_or_workspace_is_kept_and_told_of() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let before = (workspace.pid("web"), workspace.pid("keep"));
    let host = host(&sandbox);
    let record = host.workspace(&workspace_id(workspace.root())).record();
    for path in [host.daemon_record(), host.autostart_record(), record] {
        damaged_under_a_dead_daemon(&sandbox, &path);
        let aside = aside_of(&path);
        assert_told(&workspace, &aside);
        until("it to be found", SHORT, || serves_once(&workspace, &port));
        assert_eq!((workspace.pid("web"), workspace.pid("keep")), before, "{}", path.display());
        assert_eq!(workspace.service("web").goal, Goal::Up);
    }
    assert_eq!((births(&workspace, "web").len(), births(&workspace, "keep").len()), (1, 1));
    // Nothing was forgotten of how it is stopped and started.
    workspace.pipctl(&["restart", "web"]).ok();
    assert!(!alive(before.0) && serves_once(&workspace, &port));
}

#[test]
fn case_24_32_an_unreadable_record_of_a_run_is_kept_and_told_of() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let before = workspace.service("web");
    let (pid, shim) = (before.pid.unwrap(), before.shim_pid.unwrap());
    let run = host(&sandbox).workspace(&workspace_id(workspace.root())).service("web").run(1);
    // The shim goes with the daemon, so that its successor has to read them.
    suspend(shim);
    sandbox.pipctl(&["daemon", "stop"]).ok();
    kill(shim);
    until("the shim to be gone", SHORT, || !alive(shim));
    for path in [run.spec(), run.started(), run.spool()] {
        std::fs::write(path, DAMAGED).unwrap();
    }
    sandbox.pipctl(&["daemon", "start"]).ok();
    until("it to be watched again", SHORT, || {
        workspace.service("web").shim_pid.is_some_and(|found| found != shim)
    });
    let now = workspace.service("web");
    assert_eq!((now.pid, now.run), (Some(pid), Some(1)));
    assert!(answers(&port));
    for path in [run.spec(), run.started()] {
        assert_told(&workspace, &aside_of(&path));
    }
    until("the spool to be put aside", SHORT, || run::record::put_aside(run.path()).len() == 3);
    aside_of(&run.spool());
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(pid));
}

/// What only a newer pipd understands is neither read nor written by this one, whatever is typed.
#[test]
fn case_90_a_newer_workspace_is_left_alone_by_every_verb() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let pid = workspace.pid("web");
    let record = host(&sandbox).workspace(&workspace_id(workspace.root())).record();
    let old = std::fs::read(&record).unwrap();
    let newer = String::from_utf8(old.clone()).unwrap().replacen("pipd 1 ", "pipd 2 ", 1);
    sandbox.pipctl(&["daemon", "stop"]).ok();
    std::fs::write(&record, &newer).unwrap();
    sandbox.pipctl(&["daemon", "start"]).ok();
    for verb in [&["start"][..], &["stop"], &["restart", "web"], &["stop", "--force"]] {
        let refused = workspace.pipctl(verb);
        assert_ne!(refused.code, exit::OK, "{refused}");
        assert!(refused.all().contains("newer pipd"), "{refused}");
        assert_eq!(std::fs::read_to_string(&record).unwrap(), newer, "changed by {verb:?}");
        assert!(alive(pid) && answers(&port), "{verb:?} touched what runs");
    }
    // Others are served as ever.
    let other = sandbox.workspace("other");
    other.stub_service("job", "", "");
    other.pipctl(&["start"]).ok();
    other.pipctl(&["stop"]).ok();
    // The version that understands it goes on where it was.
    std::fs::write(&record, old).unwrap();
    workspace.pipctl(&["daemon", "restart"]).ok();
    workspace.await_phase("keep", Phase::Ready);
    assert_eq!((workspace.pid("web"), births(&workspace, "web").len()), (pid, 1));
}
