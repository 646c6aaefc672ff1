//! What the cases have in common: services that can be told apart when they come twice, and ways to look.

use std::time::{Duration, Instant};

use testkit::{Port, Sandbox, Workspace, alive, get, until};
use wire::{Phase, ServiceView};

/// A workspace with `web`, which serves, and `keep`, which prints and must never be disturbed. Both write down every
/// birth.
pub(crate) fn pair<'a>(sandbox: &'a Sandbox, port: &Port, web: &str) -> Workspace<'a> {
    pair_logging(sandbox, port, web, "file_size = \"64KiB\", files = 30")
}

/// The same, with as many log files as are needed to keep every line.
pub(crate) fn pair_logging<'a>(sandbox: &'a Sandbox, port: &Port, web: &str, logs: &str) -> Workspace<'a> {
    let workspace = sandbox.workspace("pair");
    let witness = |name: &str| workspace.path(name).display().to_string();
    let arguments = format!("--listen {port} --witness {} {web}", witness("web.births"));
    // Health is a matter of a millisecond here: no case has to wait for a pause that another one earned.
    let keys = format!("port = {port}\nlogs = {{ {logs} }}\nrestart = {{ healthy_after = \"1ms\" }}");
    workspace.stub_service("web", &arguments, &keys);
    workspace.stub_service(
        "keep",
        &format!("--tick 20 --witness {}", witness("keep.births")),
        &format!("logs = {{ {logs} }}"),
    );
    workspace
}

/// Every process that was ever born as this service.
pub(crate) fn births(workspace: &Workspace, name: &str) -> Vec<i32> {
    let text = workspace.read(&format!("{name}.births"));
    text.lines().filter_map(|line| line.split_once(" started ")?.1.parse().ok()).collect()
}

/// Those of them that live. In a long run their numbers come round again, and are somebody else's or another one's.
pub(crate) fn living(workspace: &Workspace, name: &str) -> Vec<i32> {
    let witness = workspace.path(&format!("{name}.births")).display().to_string();
    let is_it = |&pid: &i32| alive(pid) && os::process::command_line(pid).contains(&witness);
    let ever: std::collections::BTreeSet<i32> = births(workspace, name).into_iter().collect();
    ever.into_iter().filter(is_it).collect()
}

pub(crate) fn answers(port: &Port) -> bool {
    get(&format!("http://127.0.0.1:{port}/")).is_ok_and(|answer| answer.status == 200)
}

/// The service, while a daemon answers.
pub(crate) fn try_service(workspace: &Workspace, name: &str) -> Option<ServiceView> {
    let finished = workspace.pipctl(&["status", "--json"]);
    let snapshot: wire::Snapshot = serde_json::from_str(&finished.stdout).ok()?;
    let services = snapshot.workspaces.into_iter().flat_map(|workspace| workspace.services);
    services.into_iter().find(|service| service.name == name)
}

/// One process that serves, and the daemon knows which.
pub(crate) fn serves_once(workspace: &Workspace, port: &Port) -> bool {
    try_service(workspace, "web").is_some_and(|service| {
        service.phase == Phase::Ready
            && service.pid.is_some_and(|pid| living(workspace, "web") == [pid])
            && answers(port)
    })
}

/// Lines `tick 0`, `tick 1`, … with none missing and none twice.
pub(crate) fn assert_ticks(lines: &[String]) {
    let ticks: Vec<u64> = lines.iter().filter_map(|line| line.strip_prefix("tick ")?.parse().ok()).collect();
    assert!(!ticks.is_empty(), "no line was logged");
    for pair in ticks.windows(2) {
        assert_eq!(pair[1], pair[0] + 1, "the log jumps from tick {} to tick {}", pair[0], pair[1]);
    }
}

/// Lets time pass, while something goes on elsewhere.
pub(crate) fn pass(time: Duration) {
    let begun = Instant::now();
    until("time to pass", time + Duration::from_secs(5), || begun.elapsed() >= time);
}

/// A number from the environment, for the long runs.
pub(crate) fn setting<T: std::str::FromStr>(name: &str, usual: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What `cargo xtask soak` keeps: the case, how long it took, what was done, what came of it.
pub(crate) fn tell_long_run(case: u32, took: Duration, what: &str, result: &str) {
    println!("LONG RUN | {case} | {} | {what} | {result}", took.as_secs());
}

/// Chance with a seed that is told and can be given.
pub(crate) struct Chance {
    pub(crate) seed: u64,
    state: u64,
}

impl Chance {
    pub(crate) fn new(variable: &str) -> Self {
        let seed = setting(variable, u64::from(std::process::id())) | 1;
        println!("seed {seed}; again: {variable}={seed}");
        Self { seed, state: seed }
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % limit
    }
}

/// A control group (version 1) with limits; removed when it is empty again.
pub(crate) struct ControlGroup(std::path::PathBuf);

impl ControlGroup {
    /// `None` where it cannot be made: no root, or another version.
    pub(crate) fn new(controller: &str, name: &str, limits: &[(&str, &str)]) -> Option<Self> {
        let path = format!("/sys/fs/cgroup/{controller}/pipd-{name}-{}", std::process::id());
        let group = Self(path.into());
        std::fs::create_dir(&group.0).ok()?;
        limits.iter().all(|(file, value)| std::fs::write(group.0.join(file), value).is_ok()).then_some(group)
    }

    /// The file that takes a process in.
    pub(crate) fn procs(&self) -> std::path::PathBuf {
        self.0.join("cgroup.procs")
    }

    pub(crate) fn take_in(&self, pid: i32) {
        std::fs::write(self.procs(), pid.to_string()).unwrap();
    }

    pub(crate) fn set(&self, file: &str, value: &str) {
        std::fs::write(self.0.join(file), value).unwrap();
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let text = std::fs::read_to_string(self.procs()).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // Whoever is left goes back to where everybody is.
        let parent = self.0.parent().unwrap().join("cgroup.procs");
        for pid in self.pids() {
            let _ = std::fs::write(&parent, pid.to_string());
        }
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
