//! Processes of a sandbox: found by what they carry, ended by identity.

use std::path::Path;

use nix::sys::signal::Signal;
use os::process::{Liveness, ProcessIdentity, ProcessInfo};

/// Whether a process lives (a zombie does not).
pub fn alive(pid: i32) -> bool {
    matches!(
        os::process::info(pid),
        Ok(Some(ProcessInfo { state: Liveness::Running | Liveness::Stopped, .. }))
    )
}

/// Kills one process with SIGKILL, by its identity.
///
/// # Panics
/// When it is gone already or not ours to kill.
pub fn kill(pid: i32) {
    signal(pid, Signal::SIGKILL);
}

/// Freezes one process.
///
/// # Panics
/// When it is gone.
pub fn suspend(pid: i32) {
    signal(pid, Signal::SIGSTOP);
}

/// Lets a frozen process go on.
///
/// # Panics
/// When it is gone.
pub fn resume(pid: i32) {
    signal(pid, Signal::SIGCONT);
}

fn signal(pid: i32, signal: Signal) {
    let identity = ProcessIdentity::of(pid).unwrap().unwrap_or_else(|| panic!("process {pid} is gone"));
    assert!(identity.signal(signal).unwrap(), "process {pid} is gone");
}

/// All processes below `pid`.
///
/// # Panics
/// When the process table cannot be read.
pub fn descendants(pid: i32) -> Vec<i32> {
    let table = os::process::table().unwrap();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(table.iter().filter(|process| process.ppid == parent).map(|process| process.pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// Living processes of this user whose environment or command line names `folder`.
pub(crate) fn naming(folder: &Path) -> Vec<ProcessIdentity> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let own = i32::try_from(std::process::id()).unwrap();
    os::process::table()
        .unwrap()
        .into_iter()
        .filter(|process| process.pid != own && process.state != Liveness::Zombie)
        .filter(|process| names(process.pid, needle))
        .filter_map(|process| ProcessIdentity::of(process.pid).ok().flatten())
        .collect()
}

fn names(pid: i32, needle: &[u8]) -> bool {
    let contains = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    os::process::environ(pid).is_ok_and(|environ| contains(&environ))
        || os::process::command(pid)
            .is_some_and(|command| command.iter().any(|argument| contains(argument.as_encoded_bytes())))
}
