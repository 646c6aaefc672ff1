//! What a fresh program finds: signals, descriptors, limits, session, parent. Seen through /proc, so on Linux only.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use crate::common::{Guard, descriptors, in_own_process, status_field, until};
use crate::spawn::{kill_and_reap, run, sleeper, words};
use os::process::{self, Signal};
use os::spawn::{self, Detach, KEEP_FROM, Program};
use os::wait;

/// A program opens its libraries first and closes them again: what is meant is what stays.
fn has_only(pid: i32, wanted: &[i32]) {
    until(&format!("only {wanted:?} to be open"), || (descriptors(pid) == wanted).then_some(()));
}

#[test]
fn a_program_starts_with_a_clean_slate() {
    in_own_process(|| {
        spoil_signals();
        let (text, _) = run("/bin/cat", &["cat", "/proc/self/status"], &[], Path::new("/")).unwrap();
        for field in ["SigBlk", "SigIgn"] {
            assert_eq!(status_field(&text, field), "0000000000000000", "{field}");
        }
        // Ours are as they were.
        let own = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert_eq!(status_field(&own, "SigBlk"), format!("{:016x}", 1_u64 << (libc::SIGTERM - 1)));
    });
}

#[test]
fn our_own_slate_is_cleaned() {
    in_own_process(|| {
        spoil_signals();
        os::signals::clean_slate().unwrap();
        let own = fs::read_to_string("/proc/thread-self/status").unwrap();
        for field in ["SigBlk", "SigIgn"] {
            assert_eq!(status_field(&own, field), "0000000000000000", "{field}");
        }
        os::signals::ignore(&[Signal::SIGPIPE]).unwrap();
        let own = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert_eq!(status_field(&own, "SigIgn"), format!("{:016x}", 1_u64 << (libc::SIGPIPE - 1)));
    });
}

/// Blocks SIGTERM, ignores SIGHUP, a real-time signal, and one that the C library keeps to itself.
fn spoil_signals() {
    use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTERM);
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None).unwrap();
    os::signals::ignore(&[Signal::SIGHUP]).unwrap();
    let action = [libc::SIG_IGN as u64, 0, 0, 0];
    for number in [33, 40] {
        // SAFETY: the kernel's own layout: handler, flags, restorer, mask.
        let answer = unsafe {
            libc::syscall(libc::SYS_rt_sigaction, number, action.as_ptr(), std::ptr::null::<u64>(), 8)
        };
        assert_eq!(answer, 0);
    }
    let own = fs::read_to_string("/proc/thread-self/status").unwrap();
    let ignored = u64::from_str_radix(&status_field(&own, "SigIgn"), 16).unwrap();
    assert_eq!(ignored & (1 << 32 | 1 << 39 | 1), 1 << 32 | 1 << 39 | 1);
}

#[test]
fn a_program_inherits_only_what_is_meant() {
    let null = File::options().write(true).open("/dev/null").unwrap();
    let (read, _write) = nix::unistd::pipe().unwrap();
    // A careless library's descriptor: open over exec.
    let _leak: OwnedFd = nix::unistd::dup(&null).unwrap();
    let argv = words(&["sleep", "1000"]);
    let keep = [read.as_fd(), null.as_fd()];
    let pending = spawn::fork_waiting(sleeper(&null, &argv, &keep)).unwrap();
    let pid = pending.pid();
    let _guard = Guard::of(pid);
    pending.go().unwrap();
    let open = until("three and two descriptors", || {
        Some(descriptors(pid)).filter(|open| open.len() == 5 && open[..3] == [0, 1, 2])
    });
    assert!(open[3] >= KEEP_FROM && open[4] >= KEEP_FROM, "{open:?}");
    let link = |pid: i32, number: i32| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    assert_eq!(link(pid, open[3]), link(own, read.as_raw_fd()));
    assert_eq!(link(pid, 0), Path::new("/dev/null"));
    kill_and_reap(pid);
}

#[test]
fn standard_descriptors_may_be_crossed() {
    in_own_process(|| {
        use nix::unistd::{dup, dup2_stderr, dup2_stdout};
        let (mut out, mut err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let saved = (dup(io::stdout()).unwrap(), dup(io::stderr()).unwrap());
        dup2_stdout(&err).unwrap();
        dup2_stderr(&out).unwrap();
        let argv = words(&["sh", "-c", "echo out; echo err >&2"]);
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let program = Program {
            path: Path::new("/bin/sh"),
            argv: &argv,
            env: &[],
            cwd: Path::new("/"),
            // Number 2 is to become 1, and 1 is to become 2.
            stdout: stderr.as_fd(),
            stderr: stdout.as_fd(),
            keep: &[],
            rlimit_nofile: None,
            umask: None,
        };
        let pending = spawn::fork_waiting(program).unwrap();
        let pid = pending.pid();
        let _guard = Guard::of(pid);
        pending.go().unwrap();
        until("the end of the shell", || wait::reap(pid).unwrap());
        dup2_stdout(saved.0).unwrap();
        dup2_stderr(saved.1).unwrap();
        for (file, wanted) in [(&mut out, "out\n"), (&mut err, "err\n")] {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, wanted);
        }
    });
}

#[test]
fn limits_are_given_back() {
    in_own_process(|| {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
        let old = os::limits::raise_nofile().unwrap();
        let (read, _write) = nix::unistd::pipe().unwrap();
        let keep = [read.as_fd()];
        let null = File::options().write(true).open("/dev/null").unwrap();
        let argv = words(&["sleep", "1000"]);
        let pending =
            spawn::fork_waiting(Program { rlimit_nofile: Some(old), ..sleeper(&null, &argv, &keep) })
                .unwrap();
        let pid = pending.pid();
        let _guard = Guard::of(pid);
        pending.go().unwrap();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(line.split_ascii_whitespace().nth(3), Some("64"), "{line}");
        // Below the limit, as high as it allows.
        has_only(pid, &[0, 1, 2, 63]);
        kill_and_reap(pid);
    });
}

#[test]
fn a_child_leads_a_session_with_its_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    let (read, write) = nix::unistd::pipe().unwrap();
    // Numbers that are taken already, and swapped: sources must survive until they are placed.
    let fds = [(write.as_fd(), read.as_raw_fd()), (read.as_fd(), write.as_raw_fd())];
    let env = [("PIPD_X".into(), "1".into())];
    let pid = spawn::child(Path::new("/bin/sleep"), &words(&["1000"]), &env, &fds, log.as_fd()).unwrap();
    let guard = Guard::of(pid);
    let info = process::info(pid).unwrap().unwrap();
    assert_eq!((info.pgid, info.sid, info.tty), (pid, pid, 0));
    assert_eq!(until("the arguments", || process::command(pid)), ["/bin/sleep", "1000"]);
    assert_eq!(process::environ(pid).unwrap(), b"PIPD_X=1\0");
    let mut wanted = vec![0, 1, 2, read.as_raw_fd(), write.as_raw_fd()];
    wanted.sort_unstable();
    has_only(pid, &wanted);
    let writes = |pid: i32, number: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap();
        status_field(&text, "flags").ends_with('1')
    };
    assert!(writes(pid, read.as_raw_fd()) && !writes(pid, write.as_raw_fd()));
    assert_eq!(fs::read_link(format!("/proc/{pid}/fd/2")).unwrap(), folder.path().join("log"));
    guard.0.signal(Signal::SIGKILL).unwrap();
    until("the end of the child", || wait::reap(pid).unwrap());
    let error = spawn::child(Path::new("/nowhere"), &[], &[], &[], log.as_fd()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn a_detached_program_is_beyond_us() {
    in_own_process(|| {
        let own = i32::try_from(std::process::id()).unwrap();
        let null = File::options().write(true).open("/dev/null").unwrap();
        let start = |detach| {
            let pid = spawn::detached(
                Path::new("/bin/sleep"),
                &words(&["1000"]),
                &[],
                null.as_fd(),
                &[(null.as_fd(), 9)],
                detach,
            )
            .unwrap();
            (Guard::of(pid), process::info(pid).unwrap().unwrap())
        };
        let (_orphan, info) = start(Detach::Orphan);
        assert_ne!(info.ppid, own);
        assert_eq!((info.sid, info.tty), (info.pid, 0));
        assert_eq!(process::cwd(info.pid).unwrap(), Path::new("/"));
        has_only(info.pid, &[0, 1, 2, 9]);
        assert_eq!(until("the arguments", || process::command(info.pid)), ["/bin/sleep", "1000"]);
        assert_eq!(
            wait::any_exited().unwrap_err().raw_os_error(),
            Some(libc::ECHILD),
            "nothing is left to reap"
        );
        assert!(process::become_subreaper(true).unwrap());
        let (_beyond, info) = start(Detach::BeyondMe);
        assert_ne!(info.ppid, own);
        // And the flag is on again.
        let (mine, info) = start(Detach::Orphan);
        assert_eq!(info.ppid, own);
        mine.0.signal(Signal::SIGKILL).unwrap();
        until("the end of the adopted one", || wait::reap(info.pid).unwrap());
        let error = spawn::detached(Path::new("/nowhere"), &[], &[], null.as_fd(), &[], Detach::BeyondMe);
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ENOENT));
    });
}

#[test]
fn children_made_by_many_threads_do_not_disturb_each_other() {
    let null = File::options().write(true).open("/dev/null").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let argv = words(&["sleep", "1000"]);
                for _ in 0..20 {
                    let pending = spawn::fork_waiting(sleeper(&null, &argv, &[])).unwrap();
                    let pid = pending.pid();
                    let _guard = Guard::of(pid);
                    pending.go().unwrap();
                    has_only(pid, &[0, 1, 2]);
                    kill_and_reap(pid);
                }
            });
        }
    });
}
