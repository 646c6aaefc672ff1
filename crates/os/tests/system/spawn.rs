//! Making processes, shown on real ones.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{Guard, until};
use os::process::{self, Liveness, ProcessIdentity, Signal};
use os::spawn::{self, ExecError, Program};
use os::wait::{self, Ended};

pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Runs a program to its end; what it wrote, and how it ended.
pub(crate) fn run(
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
        umask: None,
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

pub(crate) fn sleeper<'a>(null: &'a File, argv: &'a [OsString], keep: &'a [BorrowedFd<'a>]) -> Program<'a> {
    Program {
        path: Path::new("/bin/sleep"),
        argv,
        env: &[],
        cwd: Path::new("/"),
        stdout: null.as_fd(),
        stderr: null.as_fd(),
        keep,
        rlimit_nofile: None,
        umask: None,
    }
}

pub(crate) fn kill_and_reap(pid: i32) {
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
    let _guard = Guard(before.clone());
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
