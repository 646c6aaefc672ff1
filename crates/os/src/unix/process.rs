//! Processes: who they are, what they are doing, what belongs to them.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

pub use nix::sys::signal::Signal;

use crate::{host, sys};

/// Longest command line made for people, in characters.
const MAX_COMMAND_CHARS: usize = 200;

/// Names one process for ever. A pid is used again; pid, start time and boot together are not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its number in our pid namespace.
    pub pid: i32,
    /// When it started, in the kernel's units: clock ticks since boot on Linux, microseconds since 1970 on macOS.
    pub start: u64,
    /// The boot it lives in ([`host::boot_id`]).
    pub boot: String,
}

/// What a process is doing, as far as a supervisor cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// It lives.
    Running,
    /// It lives and is stopped, by a signal or a debugger.
    Stopped,
    /// It has ended and waits to be reaped by its parent.
    Zombie,
    /// There is no such process.
    Gone,
}

impl Liveness {
    /// Whether it can still run: a zombie cannot.
    #[must_use]
    pub fn is_alive(self) -> bool {
        match self {
            Self::Running | Self::Stopped => true,
            Self::Zombie | Self::Gone => false,
        }
    }
}

/// One row of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Its number.
    pub pid: i32,
    /// Its parent, 0 for none that we can see.
    pub ppid: i32,
    /// Its process group.
    pub pgid: i32,
    /// Its session.
    pub sid: i32,
    /// When it started, in the kernel's units (see [`ProcessIdentity::start`]).
    pub start: u64,
    /// The user it acts as.
    pub uid: u32,
    /// Its controlling terminal as a device number, 0 for none.
    pub tty: u64,
    /// The process group that has its controlling terminal now; no group's number where it has none.
    pub foreground: i32,
    /// What it is doing; never [`Liveness::Gone`].
    pub state: Liveness,
}

impl ProcessInfo {
    /// The identity of this process.
    ///
    /// # Errors
    /// When the system does not tell which boot this is.
    pub fn identity(&self) -> io::Result<ProcessIdentity> {
        Ok(ProcessIdentity { pid: self.pid, start: self.start, boot: host::boot_id()? })
    }
}

impl ProcessIdentity {
    /// Ourselves.
    ///
    /// # Errors
    /// What the system says.
    pub fn current() -> io::Result<Self> {
        let pid = nix::unistd::getpid().as_raw();
        Self::of(pid)?
            .ok_or_else(|| io::Error::other("this process is not in the process table: is /proc mounted?"))
    }

    /// The process that has this number now; `None` when there is none. A zombie has an identity.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(pid: i32) -> io::Result<Option<Self>> {
        info(pid)?.map(|found| found.identity()).transpose()
    }

    /// What this very process is doing; [`Liveness::Gone`] when its number belongs to another one by now.
    ///
    /// # Errors
    /// What the system says.
    pub fn liveness(&self) -> io::Result<Liveness> {
        if self.boot != host::boot_id()? {
            return Ok(Liveness::Gone);
        }
        Ok(match info(self.pid)? {
            Some(found) if found.start == self.start => found.state,
            Some(_) | None => Liveness::Gone,
        })
    }

    /// Sends a signal to this very process; `false` when it is gone. A zombie takes every signal and does nothing.
    ///
    /// On Linux no other process can be hit: the process is opened, proven to be the one meant, and signalled
    /// through that handle. On macOS it is proven and then signalled by number, which leaves a race of microseconds.
    ///
    /// # Errors
    /// `PermissionDenied` for another user's process; else what the system says.
    pub fn signal(&self, signal: Signal) -> io::Result<bool> {
        sys::process::signal(self, signal)
    }
}

/// One process; `None` when there is none with this number.
///
/// # Errors
/// What the system says.
pub fn info(pid: i32) -> io::Result<Option<ProcessInfo>> {
    if pid <= 0 {
        return Ok(None);
    }
    sys::process::info(pid)
}

/// Every process we may see, in no order. It is no snapshot: processes come and go while it is read.
///
/// # Errors
/// What the system says. Processes that end meanwhile, or that are hidden from us, are left out.
pub fn table() -> io::Result<Vec<ProcessInfo>> {
    sys::process::table()
}

/// The arguments a process was started with (or has written over since); `None` when there are none to see, as for a
/// zombie, and for a moment while it becomes another program.
#[must_use]
pub fn command(pid: i32) -> Option<Vec<OsString>> {
    sys::process::command(pid).filter(|words| !words.is_empty())
}

/// The command of a process for people: one line, quoted where a shell would need it, at most 200 characters; its
/// short name in brackets when the arguments cannot be seen.
#[must_use]
pub fn command_line(pid: i32) -> String {
    match command(pid) {
        Some(words) => shorten(&words.into_iter().map(quote).collect::<Vec<_>>().join(" ")),
        None => sys::process::short_name(pid)
            .map_or_else(|| "[gone]".to_owned(), |name| shorten(&format!("[{name}]"))),
    }
}

/// The environment a process was started with: `NAME=value`, each ended by a NUL. Empty for a zombie, and for a
/// moment while a process becomes another program: who looks for something in all of them looks again.
///
/// # Errors
/// `NotFound` for no such process, `PermissionDenied` for one we may not look into; else what the system says.
pub fn environ(pid: i32) -> io::Result<Vec<u8>> {
    sys::process::environ(pid)
}

/// One variable of the environment a process was started with.
///
/// # Errors
/// As [`environ`].
pub fn environ_value(pid: i32, name: &str) -> io::Result<Option<OsString>> {
    let all = environ(pid)?;
    Ok(all
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
        .map(|value| OsString::from_vec(value.to_vec())))
}

/// The working folder of a process.
///
/// # Errors
/// As [`environ`].
pub fn cwd(pid: i32) -> io::Result<PathBuf> {
    sys::process::cwd(pid)
}

/// The program file of a process; on Linux with ` (deleted)` behind it when that file is gone.
#[must_use]
pub fn program(pid: i32) -> Option<PathBuf> {
    sys::process::program(pid)
}

/// The name of a terminal by its device number ([`ProcessInfo::tty`]), without `/dev/`: `pts/3`, `ttys004`.
#[must_use]
pub fn terminal_name(tty: u64) -> Option<String> {
    if tty == 0 { None } else { sys::process::terminal_name(tty) }
}

/// Whether a process sees the network that we see; `None` where that cannot be found out.
#[must_use]
pub fn shares_network(pid: i32) -> Option<bool> {
    sys::process::shares_network(pid)
}

/// When a process started, in milliseconds since 1970 by today's clock.
#[must_use]
pub fn started_ms(process: &ProcessInfo) -> Option<i64> {
    sys::process::started_ms(process)
}

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory, in bytes.
    pub memory: u64,
    /// Pages shared with others are counted in parts, so that a sum counts each page once. Else `memory` is the
    /// resident size, in which every process counts what it shares.
    pub proportional: bool,
    /// Processor time of all its threads and of the children it has reaped, in milliseconds.
    pub cpu_ms: u64,
}

/// What a process uses; `None` when it has ended or its number is another's by now.
///
/// # Errors
/// What the system says.
pub fn usage(process: &ProcessInfo) -> io::Result<Option<Usage>> {
    sys::process::usage(process)
}

/// Whether a process lives on when its terminal is hung up, because it ignores that; `None` where the system does
/// not tell.
#[must_use]
pub fn ignores_hangup(pid: i32) -> Option<bool> {
    sys::process::ignores_hangup(pid)
}

/// The name of a user, or the number when nobody knows one.
#[must_use]
pub fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// Our children, zombies included; `None` where the system cannot tell cheaply.
///
/// A list read while children exit can miss one: that nothing is left is proven by
/// [`wait::any_exited`](crate::wait::any_exited) failing with `ECHILD`.
///
/// # Errors
/// What the system says.
pub fn own_children() -> io::Result<Option<Vec<i32>>> {
    sys::process::own_children()
}

/// The children of a process, zombies included; `None` where the system cannot tell cheaply.
///
/// # Errors
/// As [`environ`].
pub fn children(pid: i32) -> io::Result<Option<Vec<i32>>> {
    sys::process::children(pid)
}

/// Asks that orphans among our descendants become our children (`true`), or no longer (`false`). The answer says
/// whether this system can do that.
///
/// # Errors
/// What the system says.
pub fn become_subreaper(on: bool) -> io::Result<bool> {
    sys::process::become_subreaper(on)
}

/// Splits `a NUL b NUL`.
pub(crate) fn split_words(bytes: &[u8]) -> Vec<OsString> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

fn quote(word: OsString) -> String {
    let word: String = word.to_string_lossy().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn shorten(line: &str) -> String {
    if line.chars().count() <= MAX_COMMAND_CHARS {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(MAX_COMMAND_CHARS - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_a_shell_would_read_them() {
        assert_eq!(quote("--port=8888".into()), "--port=8888");
        assert_eq!(quote("".into()), "''");
        assert_eq!(quote("it's".into()), r"'it'\''s'");
        assert_eq!(quote("a\x1b[31mb".into()), "'a?[31mb'");
    }

    #[test]
    fn a_long_command_is_cut_at_200_characters() {
        let long = "é".repeat(300);
        assert_eq!(shorten(&long).chars().count(), 200);
        assert_eq!(shorten(&"é".repeat(200)), "é".repeat(200));
    }

    #[test]
    fn empty_arguments_are_kept() {
        assert_eq!(split_words(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(split_words(b"a\0\0"), ["a", ""]);
        assert!(split_words(b"").is_empty());
    }
}
