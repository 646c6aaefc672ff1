//! Where it ends: a daemon with few descriptors, and what its user sees there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{SHORT, Workspace, alive, exit, sandbox, skip, until};
use wire::{Phase, ServiceView};

/// What the daemon is started with, soft and hard.
const GIVEN: (u64, u64) = (48, 96);
const SERVICES: usize = 24;
/// What the daemon keeps for others, and what a run costs it.
const KEPT: u64 = 24;
const EACH: u64 = 3;

/// Soft and hard limit on open files of a process.
fn open_files(pid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// How many a process has open.
fn descriptors(pid: i32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64
}

fn set_soft(pid: i32, soft: u64) {
    let status =
        Command::new("prlimit").args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")]).status();
    assert!(status.unwrap().success());
}

/// Every service, running or blocked for want of descriptors and for nothing else.
fn look(workspace: &Workspace) -> Option<(Vec<ServiceView>, Vec<ServiceView>)> {
    let status = workspace.pipctl(&["status", "--json"]);
    assert_ne!(status.code, exit::UNREACHABLE, "{status}");
    assert!(status.took < SHORT, "{status}");
    let snapshot: wire::Snapshot = status.json();
    let services = snapshot.workspaces.into_iter().flat_map(|one| one.services);
    let (running, others): (Vec<_>, Vec<_>) = services
        .filter(|service| service.name != "jupyter")
        .partition(|service| service.phase == Phase::Ready);
    for service in running.iter().chain(&others) {
        assert_eq!((service.restarts, &service.last_exit), (0, &None), "counted against it: {service:?}");
    }
    (others.iter().all(|service| service.phase == Phase::Blocked)).then_some((running, others))
}

fn settled(
    workspace: &Workspace,
    what: &str,
    mut wanted: impl FnMut(usize) -> bool,
) -> (Vec<ServiceView>, Duration) {
    let begun = Instant::now();
    let mut found = Vec::new();
    until(what, SHORT, || {
        let Some((running, blocked)) = look(workspace) else { return false };
        assert_eq!(running.len() + blocked.len(), SERVICES);
        for service in &blocked {
            let detail = service.detail.as_deref().unwrap_or_default();
            let hint = service.hint.as_deref().unwrap_or_default();
            assert!(detail.contains("open files") && detail.contains("ulimit -n"), "{service:?}");
            assert!(hint.contains("prlimit --pid ") && hint.contains("--nofile="), "{service:?}");
        }
        let enough = wanted(running.len());
        found = running;
        enough
    });
    (found, begun.elapsed())
}

fn still_there(before: &[ServiceView], now: &[ServiceView]) {
    for service in before {
        let after = now.iter().find(|other| other.name == service.name);
        assert_eq!(after.and_then(|after| after.pid), service.pid, "{} was disturbed", service.name);
    }
}

#[test]
fn where_descriptors_end_the_rest_waits_and_comes_by_itself() {
    let sandbox = sandbox!();
    if !Command::new("prlimit").arg("--version").output().is_ok_and(|output| output.status.success()) {
        skip!("needs prlimit");
    }
    let workspace = sandbox.workspace("many");
    for number in 0..SERVICES {
        workspace.stub_service(&format!("s{number}"), "", "ready = \"none\"");
    }
    let mut daemon = sandbox.command("prlimit");
    daemon.arg(format!("--nofile={}:{}", GIVEN.0, GIVEN.1)).arg(sandbox.program()).args(["daemon", "start"]);
    sandbox.run(daemon, SHORT).ok();
    let daemon = sandbox.daemon();
    assert_eq!(open_files(daemon), (GIVEN.1, GIVEN.1), "not raised as far as it may be");

    set_soft(daemon, 72);
    println!("start {:?}", workspace.pipctl(&["start"]).expect(exit::BLOCKED).took);
    let (first, _) = settled(&workspace, "the first to run", |running| running > 0);
    assert!(first.len() < SERVICES);
    let pid = first[0].pid.unwrap();
    assert_eq!(open_files(pid), GIVEN, "a service has the limits of whoever started the daemon");

    // Limits raised while it lives: nobody need type anything.
    set_soft(daemon, GIVEN.1);
    let more = |than: usize| move |running: usize| running > than;
    let (second, took) = settled(&workspace, "more of them", more(first.len() + 1));
    println!("{} ran, then {} after {took:?}", first.len(), second.len());
    still_there(&first, &second);

    // A service that is stopped leaves its place to another one. Each is tried every second: nobody else comes.
    let mut steady = (0, Instant::now());
    let (second, _) = settled(&workspace, "as many as may be", |running| {
        if running != steady.0 {
            steady = (running, Instant::now());
        }
        steady.1.elapsed() > Duration::from_millis(1_500)
    });
    assert!(second.len() < SERVICES);
    // However many were made at once: the last of them left what is kept for clients, less what it took itself.
    until("what is kept for clients", SHORT, || descriptors(daemon) <= GIVEN.1 - KEPT + EACH);
    workspace.pipctl(&["stop", &second[0].name]).ok();
    let stopped = second[0].pid.unwrap();
    let begun = Instant::now();
    until("another one in its place", SHORT, || {
        let services = workspace.status().services;
        let others = services.iter().filter(|service| service.phase == Phase::Ready);
        others.filter(|service| second.iter().all(|before| before.name != service.name)).count() > 0
    });
    println!("another one {:?} after a stop", begun.elapsed());
    assert!(!alive(stopped));
    still_there(&second[1..], &workspace.status().services);
    assert_eq!(sandbox.daemon(), daemon);
}
