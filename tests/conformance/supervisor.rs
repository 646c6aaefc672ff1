//! What becomes of services when the daemon and its records are not what they were.

use std::process::Stdio;
use std::time::Duration;

use run::layout::{HostDir, RunDir, workspace_id};
use run::record::{self, Durability, Started};
use testkit::{LONG, SHORT, Sandbox, Workspace, alive, exit, kill, resume, sandbox, skip, suspend, until};
use wire::Phase;

use crate::world::{assert_ticks, births, pair, pass, serves_once, setting};

fn last_run(sandbox: &Sandbox, workspace: &Workspace, name: &str) -> RunDir {
    let folder = HostDir::at(sandbox.host()).workspace(&workspace_id(workspace.root())).service(name);
    folder.run(folder.run_numbers().unwrap().pop().unwrap())
}

/// Everything of the service and the daemon dies at once, so that nobody records an end.
fn all_die(sandbox: &Sandbox, workspace: &Workspace, name: &str) {
    let service = workspace.service(name);
    let (pid, shim) = (service.pid.unwrap(), service.shim_pid.unwrap());
    suspend(shim);
    sandbox.kill_daemon();
    kill(shim);
    kill(pid);
    until("all to be gone", SHORT, || !alive(pid) && !alive(shim));
}

/// A process that is nobody's business here.
struct Stranger(std::process::Child);

impl Stranger {
    fn new() -> Self {
        Self(std::process::Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn the_records_name_a_stranger(change: impl Fn(&mut Started, i32)) {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("recycled");
    workspace.stub_service("job", &format!("--witness {}", workspace.path("job.births").display()), "");
    workspace.pipctl(&["start"]).ok();
    let run = last_run(&sandbox, &workspace, "job");
    all_die(&sandbox, &workspace, "job");
    let stranger = Stranger::new();
    let mut started: Started = record::read(&run.started()).unwrap().unwrap();
    change(&mut started, stranger.pid());
    record::write(&run.started(), &started, Durability::Rename).unwrap();
    workspace.pipctl(&["start"]).ok();
    let service = workspace.await_phase("job", Phase::Ready);
    assert_ne!(service.pid, Some(stranger.pid()), "a stranger was adopted");
    until("it to be born again", SHORT, || births(&workspace, "job").len() == 2);
    workspace.pipctl(&["stop"]).ok();
    assert!(alive(stranger.pid()), "a stranger was ended");
}

#[test]
fn case_27_a_recycled_number_is_a_strangers() {
    the_records_name_a_stranger(|started, stranger| started.main.pid = stranger);
}

/// What the first process of a world of process numbers does: everything of a service dies at once, and its number goes
/// to a stranger. What it exits with says how far it came.
const RECYCLE: &str = r#"
pipctl=$1
status() { "$pipctl" status --json | python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"; }
service() { status "[one['$1'] for one in it['workspaces'][0]['services'] if one['name'] == 'job'][0]"; }
"$pipctl" start || exit 10
pid=$(service pid) shim=$(service shim_pid) daemon=$(status "it['daemon']['pid']")
kill -STOP "$shim" && kill -KILL "$daemon" "$shim" "$pid" || exit 11
for number in "$daemon" "$shim" "$pid"; do
  while [ -e "/proc/$number" ]; do sleep 0.02; done
done
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid || exit 12
  sleep 1000 &
  stranger=$!
  [ "$stranger" = "$pid" ] && break
  kill "$stranger"
done
[ "$stranger" = "$pid" ] || exit 13
"$pipctl" start || exit 14
now=$(service pid)
[ "$now" != "$pid" ] && kill -0 "$now" || { echo "now $now, then $pid"; exit 15; }
"$pipctl" stop && "$pipctl" daemon stop || exit 16
# Asked to end it would be a zombie now, suspended it would not sleep.
[ "$(cut -d' ' -f3 "/proc/$pid/stat")" = S ] || exit 17
"#;

#[test]
fn case_27_a_number_that_the_system_gives_again_is_a_strangers() {
    let sandbox = sandbox!();
    let namespaces = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let apart = std::process::Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", "test -w /proc/sys/kernel/ns_last_pid"])
        .status();
    if !apart.is_ok_and(|status| status.success()) {
        skip!("needs root for process numbers of its own");
    }
    let workspace = sandbox.workspace("numbers");
    workspace.stub_service("job", &format!("--witness {}", workspace.path("job.births").display()), "");
    let mut command = workspace.command("unshare");
    command.args(namespaces).args(["bash", "-c", RECYCLE, "bash"]).arg(sandbox.program());
    workspace.run(command, LONG).ok();
    assert_eq!(births(&workspace, "job").len(), 2);
}

#[test]
fn case_28_what_an_earlier_boot_wrote_is_history() {
    the_records_name_a_stranger(|started, stranger| {
        // Of that boot even the start time may be the same.
        started.main = os::process::ProcessIdentity::of(stranger).unwrap().unwrap();
        started.main.boot = "00000000-0000-0000-0000-000000000000".into();
    });
}

#[test]
fn case_29_a_daemon_that_was_frozen_goes_on_without_a_storm() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let (daemon, keep) = (sandbox.daemon(), workspace.pid("keep"));
    let web = workspace.pid("web");
    suspend(daemon);
    kill(web);
    pass(Duration::from_secs(setting("PIPD_SOAK_FREEZE", 6)));
    resume(daemon);
    until("it to serve again", SHORT, || serves_once(&workspace, &port));
    assert_eq!((births(&workspace, "web").len(), workspace.pid("keep"), sandbox.daemon()), (2, keep, daemon));
}

#[test]
fn case_31_a_panic_ends_the_whole_daemon_and_the_next_one_finds_everything() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let points = sandbox.failpoints();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    for point in ["pipd.daemon.accept", "pipd.run.make", "pipd.journal.sync"] {
        let (daemon, keep) = (sandbox.daemon(), workspace.pid("keep"));
        points.arm(point, "panic");
        workspace.pipctl(&["restart", "web"]);
        until("the daemon to be gone", SHORT, || sandbox.try_daemon() != Some(daemon));
        sandbox.await_daemon(daemon);
        until("one web", SHORT, || serves_once(&workspace, &port));
        assert_eq!(workspace.pid("keep"), keep, "after a panic at {point}");
    }
}

#[test]
fn case_33_one_that_comes_when_all_is_over_leaves_again() {
    let sandbox = sandbox!();
    let points = sandbox.failpoints();
    points.arm("pipd.daemon.begin", "pause");
    let mut early = sandbox.command(sandbox.program());
    early.args(["daemon", "start"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut early = early.spawn().unwrap();
    until("its daemon to wait", SHORT, || points.was_passed("pipd.daemon.begin"));
    let is_pipd =
        |pid: &i32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("pipd"));
    let late = sandbox.processes().into_iter().find(is_pipd).unwrap();

    // Another one comes first, serves both who asked, and is told to go.
    sandbox.pipctl(&["daemon", "start"]).ok();
    until("who was first to be served", SHORT, || early.try_wait().unwrap().is_some());
    sandbox.pipctl(&["daemon", "stop"]).ok();
    resume(late);
    until("nobody to be left", SHORT, || !alive(late) && !sandbox.processes().iter().any(is_pipd));
    sandbox.pipctl(&["daemon", "status"]).expect(exit::UNREACHABLE);
    assert!(sandbox.daemon_log().contains("was told to go since this one was asked for"));
    // It is no obstacle to those that are wanted.
    sandbox.pipctl(&["daemon", "start"]).ok();
}

#[test]
fn case_33_two_daemons_in_one_instant_are_one() {
    let rounds: u32 = setting("PIPD_SOAK_PAIRS", 40);
    let sandbox = sandbox!();
    let pipd = sandbox.program().with_file_name("pipd");
    sandbox.pipctl(&["daemon", "start"]).ok();
    for round in 0..rounds {
        sandbox.pipctl(&["daemon", "stop"]).ok();
        let begin = || {
            let mut command = sandbox.command(&pipd);
            command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let mut both = [begin(), begin()];
        sandbox.pipctl(&["daemon", "status"]);
        until("one to give way", SHORT, || both.iter_mut().any(|one| one.try_wait().unwrap().is_some()));
        let left: Vec<_> =
            both.iter_mut().filter_map(|one| one.try_wait().unwrap().is_none().then(|| one.id())).collect();
        assert_eq!(left.len(), 1, "round {round}");
        until("the other to serve", SHORT, || sandbox.pipctl(&["daemon", "status"]).code == 0);
        assert_eq!(sandbox.daemon(), i32::try_from(left[0]).unwrap());
        sandbox.pipctl(&["daemon", "stop"]).ok();
        for one in &mut both {
            one.wait().unwrap();
        }
    }
}

#[test]
fn case_52_after_everything_was_killed_the_next_daemon_brings_it_back_once() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let all = sandbox.processes();
    assert!(all.len() >= 5, "{all:?}");
    // Frozen first: a control group dies as one, and nobody brings anybody back meanwhile.
    for &pid in &all {
        suspend(pid);
    }
    for &pid in &all {
        kill(pid);
    }
    until("nobody to be left", SHORT, || sandbox.processes().is_empty());
    // What a login or a boot starts.
    let mut daemon = sandbox.command(sandbox.program().with_file_name("pipd"));
    let mut daemon = daemon.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the daemon to answer", SHORT, || sandbox.pipctl(&["daemon", "status"]).code == 0);
    until("it to serve", SHORT, || serves_once(&workspace, &port));
    workspace.await_phase("keep", Phase::Ready);
    assert_eq!((births(&workspace, "web").len(), births(&workspace, "keep").len()), (2, 2));
    workspace.pipctl(&["stop"]).ok();
    sandbox.pipctl(&["daemon", "stop"]).ok();
    daemon.wait().unwrap();
}

/// The shim of a service, once there is another than `old`.
fn next_shim(workspace: &Workspace, name: &str, old: i32) -> i32 {
    let service = workspace
        .await_service(name, "another shim", |service| service.shim_pid.is_some_and(|pid| pid != old));
    service.shim_pid.unwrap()
}

#[test]
fn case_32_a_shim_that_hangs_is_told_of_and_replaced() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "--tick 5");
    workspace.pipctl(&["start"]).ok();
    let before = (sandbox.daemon(), workspace.pid("web"), workspace.pid("keep"));
    for name in ["web", "keep"] {
        let shim = workspace.service(name).shim_pid.unwrap();
        suspend(shim);
        until("it to be told", LONG, || {
            let service = workspace.service(name);
            let told = service.warnings.iter().any(|warning| warning.contains("does not answer"));
            told || service.shim_pid != Some(shim)
        });
        let next = next_shim(&workspace, name, shim);
        // Whoever wakes it comes too late to do harm: it may be gone already.
        let _ = std::process::Command::new("kill").args(["-CONT", &shim.to_string()]).output();
        until("it to be gone", SHORT, || !alive(shim));
        assert_eq!(workspace.service(name).shim_pid, Some(next));
    }
    assert_eq!((sandbox.daemon(), workspace.pid("web"), workspace.pid("keep")), before);
    assert_eq!((workspace.service("web").restarts, births(&workspace, "web").len()), (0, 1));
    // One that is suspended and woken in time is left alone.
    let shim = workspace.service("web").shim_pid.unwrap();
    suspend(shim);
    resume(shim);
    // What is ordered of one that hangs is done by the next.
    let shim_of_keep = workspace.service("keep").shim_pid.unwrap();
    suspend(shim_of_keep);
    workspace.pipctl(&["stop", "keep"]).ok();
    assert!(!alive(before.2) && !alive(shim_of_keep));
    assert_eq!(workspace.service("web").shim_pid, Some(shim));
    workspace.pipctl(&["stop", "web"]).ok();
    assert_ticks(&workspace.stdout_lines("keep"));
    assert_ticks(&workspace.stdout_lines("web"));
}
