//! What belongs to a run, with real processes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use os::lock::FileLock;
use os::process::ProcessIdentity;
use run::layout::HostDir;
use run::tree::{Query, Scope, family, members, pids, sweep};

struct Place {
    tmp: tempfile::TempDir,
    marker: String,
}

impl Place {
    fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let marker = format!("test.{:x}", run::layout::fnv1a(tmp.path().as_os_str().as_encoded_bytes()));
        Self { tmp, marker }
    }

    fn host(&self) -> HostDir {
        HostDir::at(self.tmp.path())
    }

    /// A service in its own group, with the marker. Its script writes pids into files here.
    fn main(&self, script: &str) -> Main {
        let child = Command::new("/bin/sh")
            .args(["-c", script])
            .current_dir(self.tmp.path())
            .env("PIPD_RUN", &self.marker)
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let identity = ProcessIdentity::of(i32::try_from(child.id()).unwrap()).unwrap().unwrap();
        Main { child, identity }
    }

    fn pid(&self, name: &str) -> i32 {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let text = std::fs::read_to_string(self.tmp.path().join(name)).unwrap_or_default();
            if let Some(pid) = text.strip_suffix('\n').and_then(|text| text.parse().ok()) {
                return pid;
            }
            assert!(Instant::now() < until, "{name}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn scope(&self, main: &Main) -> Scope {
        Scope {
            main: Some(main.identity.clone()),
            proven: true,
            shim: None,
            marker: self.marker.clone(),
            host_dir: self.tmp.path().to_owned(),
            spare_terminals: true,
        }
    }
}

struct Main {
    child: Child,
    identity: ProcessIdentity,
}

impl Main {
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Main {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn numbers(found: &[os::process::ProcessInfo]) -> Vec<i32> {
    found.iter().map(|process| process.pid).collect()
}

/// Ends a process of this test whatever happens to the test.
struct Ends(i32);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Ok(Some(identity)) = ProcessIdentity::of(self.0) {
            let _ = identity.signal(os::signals::Signal::SIGKILL);
        }
    }
}

fn own_lock(path: &Path, pid: i32) -> FileLock {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let lock = FileLock::try_acquire(path).unwrap().unwrap();
    lock.write_owner(&ProcessIdentity::of(pid).unwrap().unwrap()).unwrap();
    lock
}

#[test]
fn children_groups_sessions_and_marked_processes_are_members() {
    let place = Place::new();
    let mut main = place.main(
        "sh -c 'echo $$ > child; exec sleep 100' &
         setsid sh -c 'echo $$ > session; env -i PATH=$PATH sh -c \"echo \\$\\$ > below; exec sleep 100\" & exec sleep 100' &
         wait",
    );
    let expected = [place.pid("child"), place.pid("session"), place.pid("below")];
    let _ends = expected.map(Ends);
    let scope = place.scope(&main);
    let found = numbers(&members(&scope).unwrap().members);
    assert!(found.contains(&main.identity.pid));
    assert!(expected.iter().all(|pid| found.contains(pid)), "{expected:?} in {found:?}");
    assert_eq!(numbers(&family(&scope).unwrap().members).len(), found.len());
    let query =
        Query { main: Some(main.identity.pid), shim: None, marker: place.marker.clone(), host_dir: None };
    assert_eq!(pids(&query).len(), found.len());

    // Without its main process the marker and what is below it still tell.
    main.kill();
    let found = numbers(&members(&scope).unwrap().members);
    assert!(expected.iter().all(|pid| found.contains(pid)), "{expected:?} in {found:?}");
    let unproven = Scope { proven: false, ..scope.clone() };
    let found = numbers(&members(&unproven).unwrap().members);
    assert!(expected.iter().all(|pid| found.contains(pid)), "{expected:?} in {found:?}");
    let swept = sweep(scope.clone(), Duration::from_secs(2)).unwrap();
    assert!(swept.ended.len() >= 3 && swept.unkillable.is_empty(), "{swept:?}");
    assert!(members(&scope).unwrap().members.is_empty());
}

#[test]
fn a_daemon_and_another_runs_shim_are_passed_by_with_all_below_them() {
    let place = Place::new();
    let main = place.main(
        "sh -c 'echo $$ > daemon; setsid sh -c \"echo \\$\\$ > shim; sh -c \\\"echo \\\\\\$\\\\\\$ > theirs; exec sleep 100\\\" & wait\" & wait' &
         sh -c 'echo $$ > ours; exec sleep 100' & wait",
    );
    let (daemon, shim, theirs, ours) =
        (place.pid("daemon"), place.pid("shim"), place.pid("theirs"), place.pid("ours"));
    let _ends = [daemon, shim, theirs, ours].map(Ends);
    let other = place.host().workspace("w").service("s").run(3);
    let _locks = [own_lock(&place.host().daemon_lock(), daemon), own_lock(&other.lock(), shim)];
    let found = numbers(&members(&place.scope(&main)).unwrap().members);
    assert!(found.contains(&ours) && found.contains(&main.identity.pid), "{found:?}");
    for pid in [daemon, shim, theirs] {
        assert!(!found.contains(&pid), "{pid} in {found:?}");
    }
}

#[test]
fn what_a_terminal_gave_birth_to_is_a_persons_with_all_below() {
    let place = Place::new();
    let main = place.main(
        "export JUPYTER_SERVER_URL=http://localhost
         setsid sh -c 'echo $$ > tmux; env -i PATH=$PATH sh -c \"echo \\$\\$ > train; exec sleep 100\" & wait' &
         JPY_PARENT_PID=$$ setsid sh -c 'echo $$ > kernel; exec sleep 100' & wait",
    );
    let (tmux, train, kernel) = (place.pid("tmux"), place.pid("train"), place.pid("kernel"));
    let _ends = [tmux, train, kernel].map(Ends);
    let tree = members(&place.scope(&main)).unwrap();
    let (found, left) = (numbers(&tree.members), numbers(&tree.left_running));
    assert!(found.contains(&kernel), "{found:?}");
    for pid in [tmux, train] {
        assert!(left.contains(&pid) && !found.contains(&pid), "{pid}: {found:?} {left:?}");
    }
    let everything = Scope { spare_terminals: false, ..place.scope(&main) };
    assert!(members(&everything).unwrap().left_running.is_empty());
    assert!(sweep(everything, Duration::from_secs(2)).unwrap().unkillable.is_empty());
}

#[test]
fn a_number_that_belongs_to_somebody_else_now_finds_nobody() {
    let place = Place::new();
    let main = place.main("sh -c 'echo $$ > child; exec sleep 100' & wait");
    let child = place.pid("child");
    let _ends = Ends(child);
    let mut scope = place.scope(&main);
    // As if the number had been used again: same pid, another start; and none of it carries our marker.
    scope.main = Some(ProcessIdentity { start: main.identity.start + 1, ..main.identity.clone() });
    scope.marker = "nobody".into();
    assert!(members(&scope).unwrap().members.is_empty());
}
