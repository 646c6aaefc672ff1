//! Folders that are moved, renamed, swapped, copied and deleted; and `forget`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::fs::{create_dir, read_link, remove_dir_all, rename};
use std::path::{Path, PathBuf};

use testkit::{LONG, SHORT, Sandbox, Workspace, alive, exit, kill, sandbox, skip, until};
use wire::{Goal, Phase, WorkspaceView};

/// A workspace with the service `web`, a stub that listens where it is told.
fn web<'a>(sandbox: &'a Sandbox, name: &str) -> Workspace<'a> {
    // Nobody else's until this program ends, nor are those that an automatic choice comes to next.
    let ports = Box::leak(Box::new([sandbox.port(), sandbox.port(), sandbox.port()]));
    let workspace = sandbox.workspace(name);
    workspace.stub_service("web", "--listen {port}", &format!("port = {}", ports[0]));
    workspace
}

fn place(sandbox: &Sandbox, name: &str) -> PathBuf {
    sandbox.folder().join("w").join(name)
}

fn cwd(pid: i32) -> PathBuf {
    read_link(format!("/proc/{pid}/cwd")).unwrap()
}

fn of(view: &WorkspaceView) -> &Path {
    view.root.as_ref().unwrap().as_path()
}

#[test]
fn a_folder_that_moves_takes_its_runs_along() {
    let sandbox = sandbox!();
    let before = web(&sandbox, "before");
    before.pipctl(&["start", "--port", "auto"]).ok();
    let (id, was) = (before.status().id, before.service("web"));
    create_dir(place(&sandbox, "far")).unwrap();
    let root = place(&sandbox, "far/after");
    rename(before.root(), &root).unwrap();

    // Nobody names the new place: the running service leads there.
    let all = sandbox.list();
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((of(&all[0]), &all[0].id, all[0].gone), (&*root, &id, false));
    assert_eq!(all[0].former, [before.root().into()]);

    let after = sandbox.adopt_workspace(root.clone());
    let now = after.service("web");
    assert_eq!((now.phase, now.pid, now.run, now.port), (Phase::Ready, was.pid, was.run, was.port));
    assert_eq!(cwd(now.pid.unwrap()), root);
    let old = before.root().to_str().unwrap();
    assert!(
        now.warnings.iter().any(|said| said.contains(old) && said.ends_with("pipctl restart web")),
        "{now:#?}"
    );
    after.pipctl(&["why", "web"]).ok().says(old);
    after.pipctl(&["start"]).ok().says("already running");

    // By its old path it is meant as long as nothing else is there.
    sandbox.pipctl(&["status", "-w", old]).ok().says(root.to_str().unwrap());

    after.pipctl(&["restart"]).ok();
    let anew = after.service("web");
    assert_eq!((anew.port, cwd(anew.pid.unwrap())), (was.port, root.clone()));
    assert_eq!(anew.warnings, Vec::<String>::new());
    let logged = after.pipctl(&["logs", "--stream", "pipd"]).ok();
    assert!(logged.stdout.contains("run 1 started") && logged.stdout.contains("run 2 started"), "{logged}");

    // The next daemon knows all that, too.
    sandbox.pipctl(&["daemon", "restart"]).ok();
    let all = sandbox.list();
    assert_eq!((all.len(), of(&all[0]), &all[0].id), (1, &*root, &id));
    assert_eq!(after.service("web").pid, anew.pid);
}

#[test]
fn a_stopped_workspace_is_known_again_wherever_it_is_found() {
    let sandbox = sandbox!();
    let first = web(&sandbox, "first");
    first.pipctl(&["start", "--port", "auto"]).ok();
    let (id, port) = (first.status().id, first.service("web").port);
    first.pipctl(&["stop"]).ok();

    // Beside its old place it is found by looking.
    let second = place(&sandbox, "second");
    rename(first.root(), &second).unwrap();
    let all = sandbox.list();
    assert_eq!((all.len(), of(&all[0]), &all[0].id), (1, &*second, &id));

    // Elsewhere when somebody comes there; also when no daemon saw it go.
    sandbox.pipctl(&["daemon", "stop"]).ok();
    create_dir(place(&sandbox, "far")).unwrap();
    let third = place(&sandbox, "far/third");
    rename(&second, &third).unwrap();
    sandbox.pipctl(&["daemon", "start"]).ok();
    let all = sandbox.list();
    assert_eq!((all.len(), of(&all[0]), all[0].gone), (1, &*second, true));
    sandbox.pipctl(&["list"]).ok().says("(gone)");
    let third = sandbox.adopt_workspace(third);
    // Its log, without asking the daemon.
    third.pipctl(&["logs", "--stream", "pipd"]).ok().says("run 1 started");
    third.pipctl(&["start"]).ok();
    let all = sandbox.list();
    assert_eq!((all.len(), of(&all[0]), &all[0].id, all[0].gone), (1, third.root(), &id, false));
    assert_eq!(third.service("web").port, port);
    assert_eq!(all[0].former, [second.as_path().into(), first.root().into()]);
}

#[test]
fn two_folders_that_change_places_keep_what_is_theirs() {
    let sandbox = sandbox!();
    let (a, b) = (web(&sandbox, "a"), web(&sandbox, "b"));
    for one in [&a, &b] {
        one.pipctl(&["start"]).ok();
    }
    let facts = |one: &Workspace<'_>| {
        let service = one.service("web");
        (one.status().id, service.pid, service.port)
    };
    let (of_a, of_b) = (facts(&a), facts(&b));
    assert_ne!(of_a, of_b);
    let t = place(&sandbox, "t");
    for (from, to) in [(a.root(), &*t), (b.root(), a.root()), (&t, b.root())] {
        rename(from, to).unwrap();
    }
    assert_eq!(sandbox.list().len(), 2);
    assert_eq!((facts(&a), facts(&b)), (of_b.clone(), of_a.clone()));
    // To stop the one there is to stop that one.
    a.pipctl(&["stop"]).ok();
    assert!(!alive(of_b.1.unwrap()) && alive(of_a.1.unwrap()));
    assert_eq!(b.service("web").phase, Phase::Ready);
}

#[test]
fn a_folder_in_the_old_place_is_another_workspace() {
    let sandbox = sandbox!();
    let old = web(&sandbox, "w");
    old.pipctl(&["start"]).ok();
    let (id, pid, config) = (old.status().id, old.pid("web"), old.read("pipd.toml"));
    create_dir(place(&sandbox, "far")).unwrap();
    let moved = place(&sandbox, "far/w");
    rename(old.root(), &moved).unwrap();
    create_dir(old.root()).unwrap();
    old.write("pipd.toml", &config);

    // It has nothing that runs, and the port is the other's.
    old.pipctl(&["stop"]).expect(exit::USAGE);
    let blocked = old.pipctl(&["start"]).expect(exit::BLOCKED);
    assert!(blocked.all().contains(moved.to_str().unwrap()), "{blocked}");
    old.pipctl(&["start", "--port", "auto"]).ok();
    assert!(alive(pid));
    let moved = sandbox.adopt_workspace(moved);
    assert_eq!((moved.status().id, moved.pid("web")), (id.clone(), pid));
    assert_ne!(old.status().id, id);
    assert_ne!(old.pid("web"), pid);
    assert_eq!(sandbox.list().len(), 2);
    // Each keeps its own over the daemon's death.
    let killed = sandbox.kill_daemon();
    sandbox.await_daemon(killed);
    assert_eq!((moved.status().id, moved.pid("web")), (id, pid));
    assert_eq!(sandbox.list().len(), 2);
}

#[test]
fn a_copy_is_a_workspace_of_its_own() {
    let sandbox = sandbox!();
    let first = web(&sandbox, "first");
    first.pipctl(&["start"]).ok();
    let pid = first.pid("web");
    let copy = place(&sandbox, "copy");
    let mut cp = sandbox.command("cp");
    cp.arg("-a").arg(first.root()).arg(&copy);
    sandbox.run(cp, SHORT).ok();
    let copy = sandbox.adopt_workspace(copy);
    copy.pipctl(&["stop"]).expect(exit::USAGE);
    copy.pipctl(&["start", "--port", "auto"]).ok();
    assert_eq!(first.pid("web"), pid);
    assert_ne!(copy.status().id, first.status().id);
    copy.pipctl(&["stop"]).ok();
    assert!(alive(pid));
}

#[test]
fn what_crashes_after_a_move_comes_back_where_the_folder_is() {
    let sandbox = sandbox!();
    let before = web(&sandbox, "before");
    before.pipctl(&["start"]).ok();
    let pid = before.pid("web");
    let root = place(&sandbox, "after");
    rename(before.root(), &root).unwrap();
    kill(pid);
    let after = sandbox.adopt_workspace(root.clone());
    let back =
        after.await_service("web", "ready again", |now| now.phase == Phase::Ready && now.pid != Some(pid));
    assert_eq!(cwd(back.pid.unwrap()), root);
}

#[test]
fn what_crashes_without_its_folder_waits_for_it() {
    let sandbox = sandbox!();
    let before = web(&sandbox, "before");
    before.pipctl(&["start"]).ok();
    let pid = before.pid("web");
    let root = sandbox.folder().join("far");
    // Nobody sees it go, and nothing leads there.
    rename(before.root(), &root).unwrap();
    kill(pid);
    // While it dies it still leads to its folder.
    until("it to be dead", SHORT, || !alive(pid));
    until("it to be blocked", SHORT, || {
        sandbox.list()[0].services[0].phase == Phase::Blocked && sandbox.list()[0].gone
    });
    let why = sandbox.pipctl(&["why", "web", "-w", before.root().to_str().unwrap()]).ok();
    assert!(why.all().contains("is gone") && why.all().contains("pipctl forget"), "{why}");
    // Somebody looks at it in its new place.
    let after = sandbox.adopt_workspace(root);
    after.await_phase("web", Phase::Ready);
    assert_eq!(sandbox.list().len(), 1);
}

#[test]
fn a_deleted_folder_can_be_looked_at_stopped_and_forgotten() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let gone = sandbox.workspace("gone");
    gone.stub_service("web", &format!("--listen {port} --say hello"), &format!("port = {port}"));
    gone.pipctl(&["start"]).ok();
    let (id, pid) = (gone.status().id, gone.pid("web"));
    let root = gone.root().to_str().unwrap().to_owned();
    remove_dir_all(gone.root()).unwrap();

    assert!(sandbox.list()[0].gone);
    sandbox.pipctl(&["list"]).ok().says("(gone)");
    for named in [&root, &format!("{root}/below"), &id, "gone"] {
        sandbox.pipctl(&["status", "-w", named]).ok().says("pipctl forget");
        sandbox.pipctl(&["logs", "-w", named]).ok().says("hello");
        sandbox.pipctl(&["why", "web", "-w", named]).ok();
    }
    sandbox.pipctl(&["start", "-w", &root]).expect(exit::USAGE).says("is gone");
    sandbox.pipctl(&["status", "-w", "nothing-of-that-name"]).expect(exit::USAGE);

    // A shell that still stands in it.
    let mut here = sandbox.command("sh");
    let line = format!("cd {0} && rmdir {0} && exec {1} status", root, sandbox.program().display());
    create_dir(gone.root()).unwrap();
    here.args(["-c", &line]);
    sandbox.run(here, LONG).ok().says("pipctl forget");

    let refused = sandbox.pipctl(&["forget", "gone", "--yes"]).expect(exit::BUSY);
    assert!(refused.stderr.contains("pipctl forget --stop"), "{refused}");
    // A script must say that it is meant.
    sandbox.pipctl(&["forget", "gone", "--stop"]).expect(exit::USAGE).says("--yes").says("logs");
    assert!(alive(pid) && sandbox.list().len() == 1);

    let folder = sandbox.host().join("workspaces").join(&id);
    assert!(folder.exists());
    let said = sandbox.pipctl(&["forget", "gone", "--stop", "--yes", "--json"]).ok();
    let said: serde_json::Value = said.json();
    assert_eq!((said["id"].as_str(), said["root"].as_str()), (Some(&*id), Some(&*root)));
    assert!(said["bytes"].as_u64().unwrap() > 0);
    assert!(!alive(pid) && !folder.exists());
    assert!(sandbox.list().is_empty());
    sandbox.pipctl(&["forget", &root, "--yes"]).expect(exit::USAGE);
    sandbox.pipctl(&["daemon", "restart"]).ok();
    assert!(sandbox.list().is_empty());
}

#[test]
fn a_workspace_that_is_there_can_be_forgotten_and_begins_anew() {
    let sandbox = sandbox!();
    let workspace = web(&sandbox, "w");
    workspace.pipctl(&["start"]).ok();
    workspace.pipctl(&["restart"]).ok();
    assert_eq!(workspace.service("web").run, Some(2));
    workspace.pipctl(&["stop"]).ok();
    workspace.pipctl(&["forget", "--yes"]).ok().says("forgot");
    assert!(workspace.path("pipd.toml").exists());
    workspace.pipctl(&["start"]).ok();
    assert_eq!(workspace.service("web").run, Some(1));
}

#[test]
fn a_daemon_that_dies_while_it_forgets_leaves_all_or_nothing() {
    for (point, left) in [("pipd.forget.rename", 1), ("pipd.forget.renamed", 0)] {
        let sandbox = sandbox!();
        let points = sandbox.failpoints();
        let workspace = web(&sandbox, "w");
        workspace.pipctl(&["start"]).ok();
        workspace.pipctl(&["stop"]).ok();
        points.arm(point, "kill");
        workspace.pipctl(&["forget", "--yes"]).expect(exit::UNREACHABLE);
        sandbox.pipctl(&["daemon", "start"]).ok();
        assert_eq!(sandbox.list().len(), left, "{point}");
        until("nothing half removed", SHORT, || !sandbox.host().join("forgotten").exists());
        if left == 1 {
            assert_eq!(workspace.service("web").goal, Goal::Down);
            workspace.pipctl(&["forget", "--yes"]).ok();
        }
        assert!(sandbox.list().is_empty());
    }
}

#[test]
fn a_move_to_another_file_system_is_a_copy_and_a_deletion() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = sandbox!();
    let device = |path: &Path| path.metadata().map(|data| data.dev()).ok();
    let other = Path::new("/dev/shm");
    if device(other).is_none() || device(other) == device(sandbox.folder()) {
        skip!("no other file system to move to");
    }
    let first = web(&sandbox, "first");
    first.pipctl(&["start"]).ok();
    first.pipctl(&["stop"]).ok();
    let shelf = tempfile::tempdir_in(other).unwrap();
    let there = shelf.path().canonicalize().unwrap().join("first");
    let mut mv = sandbox.command("mv");
    mv.arg(first.root()).arg(&there);
    sandbox.run(mv, SHORT).ok();
    let there = sandbox.adopt_workspace(there);
    there.pipctl(&["start"]).ok();
    let all = sandbox.list();
    assert_eq!(all.len(), 2);
    let gone: Vec<_> = all.iter().filter(|view| view.gone).map(of).collect();
    assert_eq!(gone, [first.root()]);
    sandbox.pipctl(&["forget", "--yes", first.root().to_str().unwrap()]).ok();
    assert_eq!(sandbox.list().len(), 1);
    there.pipctl(&["stop"]).ok();
}
