//! Who processes are, shown on real ones.

use std::process::{Child, Command, Stdio};

use crate::common::{in_own_process, until};
use os::process::{self, Liveness, ProcessIdentity, Signal};
use os::wait::{self, Ended};

fn sleeper() -> Child {
    Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap()
}

fn pid_of(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

#[test]
fn an_identity_is_stable() {
    let own = ProcessIdentity::current().unwrap();
    assert_eq!(own, ProcessIdentity::current().unwrap());
    assert_eq!(own.liveness().unwrap(), Liveness::Running);
    let text = r#"{"pid":7,"start":42,"boot":"b"}"#;
    let read: ProcessIdentity = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
}

#[test]
fn another_process_with_the_same_number_is_never_signalled() {
    let mut child = sleeper();
    let true_one = ProcessIdentity::of(pid_of(&child)).unwrap().unwrap();
    let earlier = ProcessIdentity { start: true_one.start - 1, ..true_one.clone() };
    let other_boot = ProcessIdentity { boot: "another boot".into(), ..true_one.clone() };
    for impostor in [earlier, other_boot] {
        assert_eq!(impostor.liveness().unwrap(), Liveness::Gone);
        assert!(!impostor.signal(Signal::SIGKILL).unwrap());
        assert!(wait::ExitWatch::new(&impostor).unwrap().is_none());
    }
    assert_eq!(true_one.liveness().unwrap(), Liveness::Running);
    assert!(true_one.signal(Signal::SIGKILL).unwrap());
    child.wait().unwrap();
    assert_eq!(true_one.liveness().unwrap(), Liveness::Gone);
    assert!(!true_one.signal(Signal::SIGKILL).unwrap());
}

#[test]
#[expect(clippy::zombie_processes, reason = "what is tested is reaping it")]
fn a_zombie_has_an_identity_and_is_not_alive() {
    let child = sleeper();
    let pid = pid_of(&child);
    let identity = ProcessIdentity::of(pid).unwrap().unwrap();
    assert_eq!(wait::peek(pid).unwrap(), None);
    assert!(identity.signal(Signal::SIGTERM).unwrap());
    let ended = until("the end of the child", || wait::peek(pid).unwrap());
    assert_eq!(ended, Ended::Signal { signal: libc::SIGTERM, core: false });
    assert_eq!(identity.liveness().unwrap(), Liveness::Zombie);
    assert!(!Liveness::Zombie.is_alive());
    assert_eq!(ProcessIdentity::of(pid).unwrap().unwrap(), identity);
    assert!(identity.signal(Signal::SIGTERM).unwrap());
    assert_eq!(wait::reap(pid).unwrap().unwrap().0, ended);
    assert_eq!(identity.liveness().unwrap(), Liveness::Gone);
    assert_eq!(wait::reap(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD));
}

#[test]
fn a_stopped_process_is_alive() {
    let mut child = sleeper();
    let identity = ProcessIdentity::of(pid_of(&child)).unwrap().unwrap();
    identity.signal(Signal::SIGSTOP).unwrap();
    until("the stop", || (identity.liveness().unwrap() == Liveness::Stopped).then_some(()));
    identity.signal(Signal::SIGCONT).unwrap();
    until("the continuation", || (identity.liveness().unwrap() == Liveness::Running).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_table_shows_us_and_our_child() {
    let mut child = sleeper();
    let own = i32::try_from(std::process::id()).unwrap();
    let table = process::table().unwrap();
    let find = |pid| *table.iter().find(|row| row.pid == pid).unwrap();
    let (us, it) = (find(own), find(pid_of(&child)));
    assert_eq!((it.ppid, it.sid, it.pgid, it.uid), (own, us.sid, us.pgid, nix::unistd::geteuid().as_raw()));
    assert_eq!(
        Some(us),
        process::info(own).unwrap().map(|info| process::ProcessInfo { state: us.state, ..info })
    );
    assert!(it.start >= us.start);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(process::info(pid_of(&child)).unwrap(), None);
    assert_eq!(process::info(0).unwrap(), None);
    assert_eq!(process::info(-1).unwrap(), None);
}

#[test]
fn a_start_is_told_in_milliseconds() {
    let now = || i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let before = now();
    let mut child = sleeper();
    let started = process::started_ms(&process::info(pid_of(&child)).unwrap().unwrap()).unwrap();
    // The kernel counts in hundredths of a second.
    assert!(started >= before - 25 && started <= now() + 25, "{before} {started} {}", now());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn command_environment_and_folder_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read line", "it's"])
        .env_clear()
        .envs([("PIPD_RUN", "r=1 x"), ("PIPD_RUN_X", "no")])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = pid_of(&child);
    // A process that has just been started has no arguments for a moment.
    let words = until("the arguments", || process::command(pid));
    assert_eq!(words, ["/bin/sh", "-c", "read line", "it's"]);
    assert_eq!(process::command_line(pid), r"/bin/sh -c 'read line' 'it'\''s'");
    assert_eq!(process::cwd(pid).unwrap(), folder.path().canonicalize().unwrap());
    if cfg!(target_os = "linux") {
        // macOS hides the environment of programs that came with the system.
        assert_eq!(process::environ_value(pid, "PIPD_RUN").unwrap().unwrap(), "r=1 x");
        assert_eq!(process::environ_value(pid, "PIPD").unwrap(), None);
    }
    drop(child.stdin.take());
    until("the end of the shell", || wait::peek(pid).unwrap());
    assert_eq!(process::command(pid), None);
    assert!(process::command_line(pid).starts_with('['), "{}", process::command_line(pid));
    child.wait().unwrap();
    assert_eq!(process::environ(pid).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(process::cwd(pid).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn our_children_are_listed() {
    in_own_process(|| {
        assert_eq!(wait::any_exited().unwrap_err().raw_os_error(), Some(libc::ECHILD));
        let Some(none) = process::own_children().unwrap() else {
            return crate::common::skip("our_children_are_listed", "this kernel does not list children");
        };
        assert_eq!(none, Vec::<i32>::new());
        let first = sleeper();
        // Also the children of other threads.
        let second = std::thread::spawn(sleeper).join().unwrap();
        let mut children = process::own_children().unwrap().unwrap();
        children.sort_unstable();
        let mut wanted = vec![pid_of(&first), pid_of(&second)];
        wanted.sort_unstable();
        assert_eq!(children, wanted);
        assert_eq!(wait::any_exited().unwrap(), None);
        for mut child in [first, second] {
            child.kill().unwrap();
            let ended = until("the end of the child", || wait::any_exited().unwrap());
            assert_eq!(ended, pid_of(&child));
            child.wait().unwrap();
        }
    });
}

#[test]
fn users_have_names() {
    assert_eq!(process::user_name(0), "root");
    assert_eq!(process::user_name(4_000_000_001), "uid 4000000001");
}

#[test]
fn what_a_process_uses_is_its_own() {
    let own = process::info(std::process::id().cast_signed()).unwrap().unwrap();
    let used = process::usage(&own).unwrap().unwrap();
    assert!(used.memory > 100 << 10, "{used:?}");
    let earlier = process::ProcessInfo { start: own.start - 1, ..own };
    assert_eq!(process::usage(&earlier).unwrap(), None);
}

#[test]
fn children_of_another_process_are_told() {
    let mut child = Command::new("/bin/sh").args(["-c", "sleep 1000 & wait"]).spawn().unwrap();
    let own = std::process::id().cast_signed();
    if process::children(own).unwrap().is_some_and(|children| children.contains(&pid_of(&child))) {
        let grandchild =
            until("the grandchild", || process::children(pid_of(&child)).unwrap()?.first().copied());
        process::info(grandchild).unwrap().unwrap().identity().unwrap().signal(Signal::SIGKILL).unwrap();
    }
    child.wait().unwrap();
}

#[test]
fn who_ignores_a_hangup_is_told() {
    let Some(own) = process::ignores_hangup(std::process::id().cast_signed()) else { return };
    let mut child = Command::new("/bin/sh").args(["-c", "trap '' HUP; exec sleep 1000"]).spawn().unwrap();
    assert!(!own);
    until("the trap", || process::ignores_hangup(pid_of(&child)).filter(|ignores| *ignores));
    child.kill().unwrap();
    child.wait().unwrap();
}
