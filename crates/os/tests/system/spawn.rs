//! Making processes, shown on real ones.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{Guard, in_own_process, until};
use os::process::{self, Liveness, ProcessIdentity, Signal};
use os::spawn::{self, Detach, ExecError, KEEP_FROM, Program};
use os::wait::{self, Ended};

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Runs a program to its end; what it wrote, and how it ended.
fn run(
    program: &str,
    argv: &[&str],
    env: &[(OsString, OsString)],
    cwd: &Path,
) -> Result<(String, Ended), ExecError> {
    let mut output = tempfile::tempfile().unwrap();
    let argv = words(argv);
    let pending = spawn::fork_waiting(Program {
        path: Path::new(program),
        argv: &argv,
        env,
        cwd,
        stdout: output.as_fd(),
        stderr: output.as_fd(),
        keep: &[],
        rlimit_nofile: None,
    })
    .unwrap();
    let pid = pending.pid();
    pending.go()?;
    let (ended, _) = until("the end of the program", || wait::reap(pid).unwrap());
    let mut text = String::new();
    output.rewind().unwrap();
    output.read_to_string(&mut text).unwrap();
    Ok((text, ended))
}

fn sleeper<'a>(null: &'a File, argv: &'a [OsString], keep: &'a [BorrowedFd<'a>]) -> Program<'a> {
    Program {
        path: Path::new("/bin/sleep"),
        argv,
        env: &[],
        cwd: Path::new("/"),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
        keep,
        rlimit_nofile: None,
    }
}

fn kill_and_reap(pid: i32) {
    ProcessIdentity::of(pid).unwrap().unwrap().signal(Signal::SIGKILL).unwrap();
    until("the end of the child", || wait::reap(pid).unwrap());
}

#[test]
fn a_program_gets_what_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let env = [("A".into(), "b=c".into()), ("D".into(), "".into())];
    let script = r#"echo "$0 $# $A${D-none} $PWD"; env | sort | cut -d= -f1 | tr '\n' ' '; read x; echo "eof $?" >&2; exit 7"#;
    let (text, ended) = run("/bin/sh", &["name", "-c", script, "zero", "one"], &env, folder.path()).unwrap();
    assert_eq!(ended, Ended::Code(7));
    let folder = folder.path().canonicalize().unwrap();
    assert!(text.starts_with(&format!("zero 1 b=c {}\n", folder.display())), "{text}");
    assert!(text.ends_with("eof 1\n"), "{text}");
}

#[test]
fn the_record_can_be_written_before_the_program_runs() {
    let null = File::options().write(true).open("/dev/null").unwrap();
    let argv = words(&["sleep", "1000"]);
    let pending = spawn::fork_waiting(sleeper(&null, &argv, &[])).unwrap();
    let pid = pending.pid();
    let before = ProcessIdentity::of(pid).unwrap().unwrap();
    let info = process::info(pid).unwrap().unwrap();
    let own = process::info(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap();
    assert_eq!((info.pgid, info.sid, info.ppid), (pid, own.sid, own.pid));
    pending.go().unwrap();
    // Exec changes the program, not the process.
    assert_eq!(ProcessIdentity::of(pid).unwrap().unwrap(), before);
    assert_eq!(until("the arguments", || process::command(pid)), argv);
    kill_and_reap(pid);
}

#[test]
fn a_child_that_is_not_let_go_never_runs() {
    let folder = tempfile::tempdir().unwrap();
    let argv = words(&["touch", folder.path().join("ran").to_str().unwrap()]);
    let null = File::options().write(true).open("/dev/null").unwrap();
    let pending =
        spawn::fork_waiting(Program { path: Path::new("/bin/touch"), ..sleeper(&null, &argv, &[]) }).unwrap();
    let identity = ProcessIdentity::of(pending.pid()).unwrap().unwrap();
    drop(pending);
    assert_eq!(identity.liveness().unwrap(), Liveness::Gone);
    assert!(!folder.path().join("ran").exists());
}

#[test]
fn a_child_whose_parent_dies_waiting_ends() {
    const TEST: &str = "spawn::a_child_whose_parent_dies_waiting_ends";
    const FILE: &str = "PIPD_OS_TEST_PID";
    if let Some(file) = std::env::var_os(FILE) {
        let null = File::options().write(true).open("/dev/null").unwrap();
        let argv = words(&["sleep", "1000"]);
        // Two, since the second holds copies of what the first waits for.
        let both = [(); 2].map(|()| spawn::fork_waiting(sleeper(&null, &argv, &[])).unwrap());
        let identities = both.each_ref().map(|one| ProcessIdentity::of(one.pid()).unwrap().unwrap());
        fs::write(file, serde_json::to_vec(&identities).unwrap()).unwrap();
        nix::sys::signal::raise(Signal::SIGKILL).unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::process::Command::new(std::env::current_exe().unwrap())
        .args([TEST, "--exact"])
        .env(FILE, file.path())
        .output()
        .unwrap();
    let identities: Vec<ProcessIdentity> = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
    for identity in identities {
        until("the end of the child", || (!identity.liveness().unwrap().is_alive()).then_some(()));
    }
}

#[test]
fn what_went_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, "no program").unwrap();
    let check = |error: ExecError, errno: i32, step: &str| {
        assert_eq!((error.errno, error.step), (errno, step));
        assert_eq!(io::Error::from(error).raw_os_error(), Some(errno));
    };
    check(run("/nowhere/x", &["x"], &[], Path::new("/")).unwrap_err(), libc::ENOENT, "exec");
    check(run(plain.to_str().unwrap(), &["x"], &[], Path::new("/")).unwrap_err(), libc::EACCES, "exec");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o755)).unwrap();
    check(run(plain.to_str().unwrap(), &["x"], &[], Path::new("/")).unwrap_err(), libc::ENOEXEC, "exec");
    let gone = folder.path().join("gone");
    let error = run("/bin/true", &["true"], &[], &gone).unwrap_err();
    check(error, libc::ENOENT, "working folder");
    assert_eq!(error.to_string(), "working folder: No such file or directory (os error 2)");
    let huge = [("X".into(), OsString::from("x".repeat(8 << 20)))];
    check(run("/bin/true", &["true"], &huge, Path::new("/")).unwrap_err(), libc::E2BIG, "exec");
}

#[test]
fn a_nul_byte_is_refused() {
    let null = File::options().write(true).open("/dev/null").unwrap();
    let argv = words(&["sleep", "1\x002"]);
    let error = spawn::fork_waiting(sleeper(&null, &argv, &[])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains(r"1\\02"), "{error}");
}

#[test]
fn programs_are_found_as_a_shell_would() {
    let folder = tempfile::tempdir().unwrap();
    for (name, mode) in [("first/tool", 0o644), ("second/tool", 0o755), ("first/locked", 0o644)] {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(folder.path().join("first/folder")).unwrap();
    std::os::unix::fs::symlink("tool", folder.path().join("second/python")).unwrap();
    let find = |name: &str, path: &str| {
        spawn::resolve(OsStr::new(name), Some(OsStr::new(path)), folder.path())
            .map_err(|error| error.raw_os_error().unwrap())
    };
    let second = folder.path().join("second/tool");
    assert_eq!(find("tool", "first:second"), Ok(second.clone()));
    assert_eq!(find("second/tool", "first"), Ok(second.clone()));
    assert_eq!(find(second.to_str().unwrap(), ""), Ok(second.clone()));
    assert_eq!(find("python", "second"), Ok(folder.path().join("second/python")));
    assert_eq!(find("locked", "first:second"), Err(libc::EACCES));
    assert_eq!(find("folder", "first:second"), Err(libc::EACCES));
    assert_eq!(find("first/tool", "second"), Err(libc::EACCES));
    assert_eq!(find("missing", "first:second"), Err(libc::ENOENT));
    assert_eq!(find("", "first:second"), Err(libc::ENOENT));
    let sh = spawn::resolve(OsStr::new("sh"), None, Path::new("/")).unwrap();
    assert!(sh.is_absolute());
}

#[cfg(target_os = "linux")]
mod clean {
    use super::*;
    use crate::common::{descriptors, status_field};

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
            };
            let pending = spawn::fork_waiting(program).unwrap();
            let pid = pending.pid();
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
                        pending.go().unwrap();
                        has_only(pid, &[0, 1, 2]);
                        kill_and_reap(pid);
                    }
                });
            }
        });
    }
}
