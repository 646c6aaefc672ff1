//! A machine that is short of something, or does something odd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{LONG, SHORT, Sandbox, alive, exit, kill, sandbox, skip, until};
use wire::Phase;

use crate::world::{ControlGroup, answers, births, pair, pass, serves_once, setting, try_service};

/// A small file system over a folder, for as long as this lives.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// `None` where it cannot be made.
    pub(crate) fn over(folder: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).status();
        done.is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Fills a file system to its last byte.
pub(crate) fn fill(folder: &Path) -> PathBuf {
    use std::io::Write as _;
    let path = folder.join("ballast");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut size = 64 << 10;
    while size > 0 {
        if file.write_all(&vec![b'x'; size]).is_err() {
            size /= 2;
        }
    }
    path
}

fn limit_descriptors(pid: i32, soft: u64) {
    let status = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), &format!("--nofile={soft}:")])
        .status()
        .unwrap();
    assert!(status.success());
}

fn open_descriptors(pid: i32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64
}

#[test]
fn case_37_a_full_state_disk_costs_no_service_and_no_record() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let Some(disk) = Mounted::over(&sandbox.state(), "size=8m,mode=700") else {
        skip!("needs root and mount(8)")
    };
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let (web, keep) = (workspace.pid("web"), workspace.pid("keep"));
    let ballast = fill(&sandbox.state());

    let stopped = workspace.pipctl(&["stop", "web"]);
    assert!(!alive(web), "{stopped}");
    assert_eq!(workspace.service("web").phase, Phase::Down);
    let started = workspace.pipctl(&["start", "web", "--timeout", "3s"]);
    let service = workspace.service("web");
    assert!(
        service.phase == Phase::Ready || (service.phase == Phase::Blocked && started.all().contains("space")),
        "{started}"
    );
    assert!(living_at_most_one(&workspace));
    assert_eq!(workspace.pid("keep"), keep);

    std::fs::remove_file(ballast).unwrap();
    let relief = Instant::now();
    until("it to serve after relief", SHORT, || serves_once(&workspace, &port));
    println!("it serves {:?} after relief", relief.elapsed());
    // What was recorded before is whole: a new daemon finds it.
    let daemon = sandbox.kill_daemon();
    sandbox.await_daemon(daemon);
    until("it to serve", SHORT, || serves_once(&workspace, &port));
    assert_eq!(workspace.pid("keep"), keep);
    workspace.pipctl(&["stop"]).ok();
    sandbox.pipctl(&["daemon", "stop"]).ok();
    drop(disk);
}

fn living_at_most_one(workspace: &testkit::Workspace) -> bool {
    crate::world::living(workspace, "web").len() <= 1
}

#[test]
fn case_38_a_state_folder_that_takes_nothing_is_said_and_services_run() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let Some(disk) = Mounted::over(&sandbox.state(), "size=1m,mode=700,ro") else {
        skip!("needs root and mount(8)")
    };
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    assert!(answers(&port));
    workspace.pipctl(&["daemon", "status"]).ok().says("not persistent");
    workspace.pipctl(&["stop"]).ok();
    sandbox.pipctl(&["daemon", "stop"]).ok();
    assert!(!answers(&port));
    drop(disk);
}

#[test]
fn case_39_40_without_descriptors_status_answers_and_nothing_is_taken_for_dead() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "--child '--exit-after 1500'");
    workspace.pipctl(&["start"]).ok();
    let (daemon, web, keep) = (sandbox.daemon(), workspace.pid("web"), workspace.pid("keep"));
    if !Command::new("prlimit").arg("--version").output().is_ok_and(|output| output.status.success()) {
        skip!("needs prlimit");
    }
    // No new one: not even for a connection.
    limit_descriptors(daemon, open_descriptors(daemon).saturating_sub(1).max(8));
    let busy = sandbox.cpu_time(daemon);
    let begun = Instant::now();
    let length = Duration::from_secs(setting("PIPD_SOAK_SHORTAGE", 4));
    let (mut asked, mut slowest) = (0_u32, Duration::ZERO);
    let mut blocked = None;
    while begun.elapsed() < length {
        let status = workspace.pipctl(&["status", "--json"]);
        assert!(status.code != exit::UNREACHABLE, "{status}");
        slowest = slowest.max(status.took);
        asked += 1;
        if asked == 10 {
            // It ends in the middle of it and cannot be started: that is not its fault.
            kill(keep);
        }
        blocked = blocked
            .or_else(|| try_service(&workspace, "keep").filter(|service| service.phase == Phase::Blocked));
        pass(Duration::from_millis(50));
    }
    let used = sandbox.cpu_time(daemon) - busy;
    println!("{asked} status at most {slowest:?} each, {used:?} of processor time in {:?}", begun.elapsed());
    assert!(asked > 10);
    assert!(slowest < Duration::from_secs(4), "status took {slowest:?}");
    assert!(used < length / 4, "{used:?} of processor time in {length:?}");
    let blocked = blocked.expect("blocked while nothing can be opened");
    assert!(blocked.detail.unwrap_or_default().contains("open files"));
    assert_eq!((workspace.pid("web"), workspace.service("web").restarts), (web, 0), "taken for dead");

    limit_descriptors(daemon, 4_096);
    let relief = Instant::now();
    workspace.await_phase("keep", Phase::Ready);
    println!("started {:?} after relief", relief.elapsed());
    assert!(relief.elapsed() < Duration::from_secs(8));
    assert_eq!((sandbox.daemon(), births(&workspace, "keep").len()), (daemon, 2));
}

/// What only the whole machine can run out of is said to it at the points where it would be noticed.
#[test]
fn case_41_what_the_whole_machine_lacks_blocks_and_counts_for_nothing() {
    const ENFILE: u32 = 23;
    const ENOMEM: u32 = 12;
    const EAGAIN: u32 = 11;
    let sandbox = sandbox!();
    let port = sandbox.port();
    let points = sandbox.failpoints();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let points_and_errors = [
        ("pipd.daemon.accept", ENFILE),
        ("pipd.lock.take.lock", ENFILE),
        ("pipd.fifo.open.out", ENFILE),
        ("pipd.fifo.make.err", ENFILE),
        ("pipd.record.create.spec.json", ENFILE),
        ("pipd.run.connect", ENFILE),
        ("pipd.spawn.fork", EAGAIN),
        ("pipd.spawn.fork", ENOMEM),
        ("pipd-shim.fifo.open.out", ENFILE),
        ("pipd-shim.record.create.started.json", ENFILE),
        ("pipd-shim.spawn.fork", EAGAIN),
        ("pipd-shim.spawn.fork", ENOMEM),
        ("pipd-shim.log.open", ENFILE),
        ("pipd-shim.shim.listen", ENFILE),
        ("pipd-shim.mapping.make.spool", ENOMEM),
    ];
    let keep = workspace.pid("keep");
    for (point, number) in points_and_errors {
        workspace.pipctl(&["stop", "web"]).ok();
        points.arm(point, &format!("error {number}"));
        let begun = Instant::now();
        let started = workspace.pipctl(&["start", "web"]);
        until("it to serve", SHORT, || serves_once(&workspace, &port));
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?} after {point}: {started}", begun.elapsed());
        assert!(points.disarm(point), "nobody passed {point}");
        let service = workspace.service("web");
        assert_eq!((service.restarts, workspace.pid("keep")), (0, keep), "after error {number} at {point}");
    }
}

#[test]
fn case_42_without_processes_a_start_waits_and_counts_for_nothing() {
    let sandbox = sandbox!();
    let Some(group) = ControlGroup::new("pids", "fork", &[]) else {
        skip!("needs root and a pids control group of version 1");
    };
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start", "keep"]).ok();
    let daemon = sandbox.daemon();
    group.take_in(daemon);
    // It has rested before: whatever it keeps for later must be enough when nothing comes on top of it.
    pass(Duration::from_secs(6));
    let threads = std::fs::read_dir(format!("/proc/{daemon}/task")).unwrap().count();
    group.set("pids.max", &threads.to_string());
    let busy = sandbox.cpu_time(daemon);
    workspace.pipctl(&["start", "web", "--no-wait"]);
    let service = workspace.await_phase("web", Phase::Blocked);
    let detail = service.detail.clone().unwrap_or_default();
    assert!(detail.contains("temporarily unavailable") && detail.contains("ulimit -u"), "{service:?}");
    assert_eq!(sandbox.daemon(), daemon, "it did not live through it");
    pass(Duration::from_secs(setting("PIPD_SOAK_SHORTAGE", 4)));
    assert!(sandbox.cpu_time(daemon) - busy < Duration::from_secs(1));
    assert_eq!(births(&workspace, "web"), Vec::<i32>::new());
    group.set("pids.max", "max");
    let relief = Instant::now();
    let service = workspace.await_phase("web", Phase::Ready);
    println!("started {:?} after relief", relief.elapsed());
    assert!(relief.elapsed() < Duration::from_secs(8));
    assert_eq!(service.restarts, 0);
}

#[test]
fn case_43_a_daemon_killed_for_memory_is_back_with_its_services() {
    let sandbox = sandbox!();
    let Some(group) = ControlGroup::new("memory", "daemon", &[("memory.limit_in_bytes", "512K")]) else {
        skip!("needs root and a memory control group of version 1");
    };
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let (daemon, pids) = (sandbox.daemon(), (workspace.pid("web"), workspace.pid("keep")));
    group.take_in(daemon);
    // Whatever it allocates from now on is too much.
    let socket = sandbox.host().join("pipd.sock");
    let feed = || {
        use std::io::Write as _;
        let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&socket) else { return };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
        let _ = stream.write_all(&vec![b'x'; 900 << 10]);
    };
    until("the daemon to be killed", LONG, || {
        feed();
        sandbox.try_daemon() != Some(daemon)
    });
    let begun = Instant::now();
    sandbox.await_daemon(daemon);
    println!("another daemon after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!((workspace.pid("web"), workspace.pid("keep")), pids);
    assert!(answers(&port));
}

/// Shifts what a program takes for the time of day, by a file that says by how many seconds.
pub(crate) fn clock(sandbox: &Sandbox) -> Option<(PathBuf, PathBuf)> {
    let (library, shift) = (sandbox.folder().join("clock.so"), sandbox.folder().join("shift"));
    let source = testkit::repository().join("tests/tools/clock.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    std::fs::write(&shift, "0").unwrap();
    built.is_ok_and(|status| status.success()).then_some((library, shift))
}

fn the_clock_jumps(seconds: i64) {
    let sandbox = sandbox!();
    let Some((library, shift)) = clock(&sandbox).filter(|_| cfg!(target_os = "linux")) else {
        skip!("needs a C compiler and LD_PRELOAD");
    };
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.stub_service(
        "crash",
        &format!("--exit-code 3 --exit-after 10 --witness {}", workspace.path("crash.births").display()),
        "",
    );
    workspace.stub_service("stubborn", "--ignore TERM --ignore INT", "stop = { grace = \"1500ms\" }");
    let mut daemon = sandbox.command(sandbox.program().with_file_name("pipd"));
    daemon.env("LD_PRELOAD", &library).env("XDG_PIPD_CLOCK", &shift);
    let mut daemon =
        daemon.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    until("the daemon", SHORT, || sandbox.pipctl(&["daemon", "status"]).code == 0);
    workspace.pipctl(&["start", "web", "keep", "stubborn"]).ok();
    workspace.pipctl(&["start", "crash"]);
    workspace.await_service("crash", "a pause", |now| now.phase == Phase::Backoff && now.restarts >= 3);
    let tries = births(&workspace, "crash").len();

    std::fs::write(&shift, seconds.to_string()).unwrap();
    // The pause is as long as it was: neither at once nor never.
    pass(Duration::from_secs(1));
    assert!(births(&workspace, "crash").len() <= tries + 1, "the jump made a storm");
    until("the next try", LONG, || births(&workspace, "crash").len() > tries);
    let stopped = workspace.pipctl(&["stop", "stubborn"]).ok();
    assert!(stopped.took >= Duration::from_millis(1_400), "killed too early: {stopped}");
    assert!(stopped.took < Duration::from_secs(6), "killed too late: {stopped}");
    let web = workspace.pid("web");
    kill(web);
    until("another web", SHORT, || serves_once(&workspace, &port));
    assert_eq!(workspace.service("keep").restarts, 0);
    workspace.pipctl(&["stop"]).ok();
    sandbox.pipctl(&["daemon", "stop"]).ok();
    daemon.wait().unwrap();
}

#[test]
fn case_44_a_clock_that_jumps_a_year_ahead_moves_no_timer() {
    the_clock_jumps(365 * 86_400);
}

#[test]
fn case_44_a_clock_that_jumps_a_year_back_moves_no_timer() {
    the_clock_jumps(-365 * 86_400);
}

#[test]
fn case_46_starved_of_processor_time_nothing_is_called_dead() {
    let sandbox = sandbox!();
    // Thirty-two busy loops and everything of ours share seven tenths of one processor.
    let limits = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "70000")];
    let Some(group) = ControlGroup::new("cpu", "starved", &limits) else {
        skip!("needs root and a cpu control group of version 1");
    };
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    sandbox.pipctl(&["daemon", "start"]).ok();
    group.take_in(sandbox.daemon());
    workspace.pipctl(&["start"]).ok();
    let before = (workspace.pid("web"), workspace.pid("keep"));
    let mut loops: Vec<_> =
        (0..32).map(|_| Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap()).collect();
    for one in &loops {
        group.take_in(i32::try_from(one.id()).unwrap());
    }
    pass(Duration::from_secs(5));
    let undisturbed = (workspace.service("web"), workspace.service("keep"));
    kill(before.0);
    let begun = Instant::now();
    until("another web", LONG, || serves_once(&workspace, &port));
    let took = begun.elapsed();
    for one in &mut loops {
        one.kill().unwrap();
        one.wait().unwrap();
    }
    println!("restarted within {took:?} beside 32 busy loops");
    assert_eq!((undisturbed.0.restarts, undisturbed.1.restarts), (0, 0));
    assert_eq!((undisturbed.0.phase, undisturbed.1.phase), (Phase::Ready, Phase::Ready));
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!((births(&workspace, "web").len(), workspace.pid("keep")), (2, before.1));
}

#[test]
fn case_49_a_runtime_folder_that_vanishes_is_not_missed() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let before = (sandbox.daemon(), workspace.pid("web"));
    std::fs::remove_dir_all(sandbox.folder().join("run")).unwrap();
    assert_eq!((sandbox.daemon(), workspace.pid("web")), before);
    workspace.pipctl(&["restart", "web"]).ok();
    sandbox.kill_daemon();
    sandbox.await_daemon(before.0);
    until("it to serve", SHORT, || serves_once(&workspace, &port));
}

#[test]
fn case_50_another_machine_s_folder_in_a_shared_home_is_left_alone() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = pair(&sandbox, &port, "");
    workspace.pipctl(&["start"]).ok();
    let daemon = sandbox.daemon();
    // As the other machine would have written it, with numbers that are processes here, too.
    let host = sandbox.host();
    let other = host.with_file_name("zzzz0000aaaa");
    assert!(Command::new("cp").arg("-a").args([&host, &other]).status().unwrap().success());
    let listing = |folder: &Path| {
        let output = Command::new("find")
            .arg(folder)
            .args(["-type", "f", "-printf", "%P %s %T@\\n"])
            .output()
            .unwrap();
        let mut lines: Vec<_> =
            String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = (listing(&other), workspace.pid("web"));
    kill(daemon);
    until("another daemon", SHORT, || {
        let owner = os::lock::owner(&host.join("daemon.lock")).map(|owner| owner.pid);
        owner.is_some_and(|pid| pid != daemon && alive(pid))
    });
    until("it to serve", SHORT, || serves_once(&workspace, &port));
    assert_eq!(workspace.pid("web"), before.1);
    workspace.pipctl(&["stop"]).ok();
    sandbox.pipctl(&["daemon", "stop"]).ok();
    assert_eq!(listing(&other), before.0, "another machine's state was touched");
    std::fs::remove_dir_all(&other).unwrap();
}
