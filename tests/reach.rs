//! A daemon that cannot be reached, one too many, none at all: what clients find and say.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use testkit::{SHORT, alive, exit, kill, sandbox, suspend, until};
use wire::Phase;

#[test]
fn case_48_a_deleted_socket_is_made_anew_by_the_same_daemon() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("cleaned");
    workspace.stub_service("worker", "", "");
    workspace.pipctl(&["start"]).ok();
    let (daemon, worker) = (sandbox.daemon(), workspace.pid("worker"));
    for _ in 0..3 {
        std::fs::remove_file(sandbox.host().join("pipd.sock")).unwrap();
        workspace.pipctl(&["status"]).ok();
        assert_eq!((sandbox.daemon(), workspace.pid("worker")), (daemon, worker));
    }
}

#[test]
fn case_48_a_daemon_whose_lock_was_deleted_makes_way_for_the_next() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("displaced");
    workspace.stub_service("worker", "", "");
    workspace.pipctl(&["start"]).ok();
    let (daemon, worker) = (sandbox.daemon(), workspace.pid("worker"));
    for name in ["pipd.sock", "daemon.lock"] {
        std::fs::remove_file(sandbox.host().join(name)).unwrap();
    }
    workspace.pipctl(&["start"]).ok();
    assert_ne!(sandbox.daemon(), daemon);
    until("the old daemon to be gone", SHORT, || !alive(daemon));
    assert_eq!(workspace.pid("worker"), worker);
    assert_eq!(workspace.why("worker").runs.len(), 1);
}

#[test]
fn services_that_live_without_a_daemon_are_counted_and_can_be_stopped() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("alone");
    workspace.stub_service("one", "", "").stub_service("two", "", "");
    workspace.pipctl(&["start"]).ok();
    let (one, two) = (workspace.pid("one"), workspace.pid("two"));
    workspace.pipctl(&["daemon", "stop"]).ok();
    workspace.pipctl(&["status"]).expect(exit::UNREACHABLE).says("2 services of yours are");
    let said: serde_json::Value =
        serde_json::from_str(&workspace.pipctl(&["status", "--json"]).expect(exit::UNREACHABLE).stdout)
            .unwrap();
    assert_eq!(said["running"], false);
    assert_eq!(said["living"].as_array().unwrap().len(), 2);
    assert!(sandbox.try_daemon().is_none());

    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(one) && !alive(two));
    workspace.pipctl(&["daemon", "stop"]).ok();
    workspace.pipctl(&["status"]).expect(exit::UNREACHABLE).says("so nothing is");
}

#[test]
fn case_23_32_a_service_that_lost_shim_and_daemon_is_not_hidden_and_can_be_stopped() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("bereft");
    workspace.stub_service("one", "", "");
    workspace.pipctl(&["start"]).ok();
    let service = workspace.service("one");
    let (pid, shim) = (service.pid.unwrap(), service.shim_pid.unwrap());
    // The shim is in no state to have a daemon started before it dies, too.
    suspend(shim);
    sandbox.kill_daemon();
    kill(shim);
    until("the shim to be gone", SHORT, || !alive(shim));
    workspace.pipctl(&["status"]).expect(exit::UNREACHABLE).says("1 service of yours is");
    assert!(alive(pid) && sandbox.try_daemon().is_none(), "`status` started something");
    workspace.pipctl(&["stop"]).ok();
    assert!(!alive(pid));
}

#[test]
fn whoever_waits_for_a_service_that_cannot_start_is_told_so() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let holder = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    let workspace = sandbox.workspace("chain");
    workspace.stub_service("third", "", "after = [\"second\"]");
    workspace.stub_service("second", "", "after = [\"first\"]");
    workspace.stub_service("first", &format!("--listen {port}"), &format!("port = {port}"));
    let begun = Instant::now();
    workspace.pipctl(&["start"]).expect(exit::BLOCKED).says("waits for `first`, which is blocked");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    // All of them go on waiting, and start when they can.
    drop(holder);
    for name in ["first", "second", "third"] {
        workspace.await_phase(name, Phase::Ready);
    }
}

#[test]
fn one_that_waits_for_what_nobody_started_says_what_to_type() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("missing");
    workspace.stub_service("first", "", "").stub_service("second", "", "after = [\"first\"]");
    workspace
        .pipctl(&["start", "second"])
        .expect(exit::BLOCKED)
        .says("waits for `first`, which is not started");
    workspace.pipctl(&["start", "first"]).ok();
    workspace.await_phase("second", Phase::Ready);
}

#[test]
fn a_run_whose_records_are_gone_is_named_and_left_to_a_person() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("wiped");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    workspace.pipctl(&["start"]).ok();
    let lost = workspace.pid("web");
    let host = sandbox.host();
    sandbox.kill_daemon();
    std::fs::remove_dir_all(host).unwrap();
    workspace
        .pipctl(&["start"])
        .expect(exit::BLOCKED)
        .says("left over from `web`")
        .says(&format!("kill {lost}"));
    assert!(alive(lost));
    kill(lost);
    workspace.await_phase("web", Phase::Ready);
}

#[test]
fn a_restart_under_way_is_known_to_the_next_daemon() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("halfway");
    // It takes its time: the KILL after two seconds ends it.
    workspace.stub_service("slow", "--ignore TERM", "stop = { grace = \"2s\" }");
    workspace.pipctl(&["start"]).ok();
    let before = workspace.pid("slow");
    workspace.pipctl(&["restart", "--no-wait"]).ok();
    workspace.await_phase("slow", Phase::Stopping);
    sandbox.kill_daemon();
    // Whoever starts it now gets the new one, not the one that is on its way out.
    workspace.pipctl(&["start"]).ok();
    let after = workspace.service("slow");
    assert_eq!((after.phase, after.run), (Phase::Ready, Some(2)));
    assert_ne!(after.pid, Some(before));
}
