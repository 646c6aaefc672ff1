//! Processes of a check: looked at by number, ended by identity.

use std::path::Path;

use nix::sys::signal::Signal;
use os::process::{Liveness, ProcessIdentity, ProcessInfo};

use crate::Trouble;

/// Whether a process lives (a zombie does not).
pub(crate) fn alive(pid: i32) -> bool {
    matches!(
        os::process::info(pid),
        Ok(Some(ProcessInfo { state: Liveness::Running | Liveness::Stopped, .. }))
    )
}

/// SIGKILL to a process that lives.
pub(crate) fn kill(pid: i32) -> Result<(), Trouble> {
    signal(pid, Signal::SIGKILL)
}

/// A signal to a process that lives.
pub(crate) fn signal(pid: i32, signal: Signal) -> Result<(), Trouble> {
    let sent = ProcessIdentity::of(pid).and_then(|found| match found {
        Some(process) => process.signal(signal),
        None => Ok(false),
    });
    match sent {
        Ok(true) => Ok(()),
        Ok(false) => Err(Trouble::Broken(format!("process {pid} was gone before it got {signal}"))),
        Err(source) => Err(Trouble::Io { what: format!("{signal} to process {pid}"), source }),
    }
}

/// Living processes of this user whose environment or command line names `folder`, this one excepted.
pub(crate) fn naming(folder: &Path) -> Vec<ProcessIdentity> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let user = nix::unistd::geteuid().as_raw();
    os::process::table()
        .unwrap_or_default()
        .into_iter()
        .filter(|process| process.pid != own && process.uid == user && process.state != Liveness::Zombie)
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
