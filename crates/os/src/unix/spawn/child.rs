//! The life of a child between fork and exec.
//!
//! Only async-signal-safe system calls here, nothing that allocates, locks or panics: the fork may have happened
//! while another thread held the allocator's lock. And nothing that writes to memory made before the fork: a child
//! that runs its program at once may still share it with us.

use std::io;
use std::os::fd::RawFd;

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

use super::ExecError;
use super::plan::{Leads, Plan};
use crate::sys;

/// Exit code of a child that did not become the program.
const NEVER_RAN: libc::c_int = 127;

/// Which way the child goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Runs the program at once.
    Child,
    /// Waits for one byte from us first.
    Waiting,
    /// Leaves it to a child of its own, and ends.
    Orphan,
}

/// What a child tells through the channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// An orphan names its pid.
    Started(i32),
    /// The program will not run.
    Failed(ExecError),
}

/// What can fail in a child; the number goes through the channel.
#[derive(Clone, Copy)]
enum Step {
    Fork = 1,
    Group,
    Session,
    Descriptors,
    Limits,
    Folder,
    Exec,
}

const STEPS: [(Step, &str); 7] = [
    (Step::Fork, "fork"),
    (Step::Group, "process group"),
    (Step::Session, "session"),
    (Step::Descriptors, "descriptors"),
    (Step::Limits, "limits"),
    (Step::Folder, "working folder"),
    (Step::Exec, "exec"),
];

const STARTED: i32 = 0;

impl Report {
    pub(super) const BYTES: usize = 8;

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        let kind = i32::from_ne_bytes([a, b, c, d]);
        let value = i32::from_ne_bytes([e, f, g, h]);
        if kind == STARTED {
            return Self::Started(value);
        }
        let step = STEPS.iter().find(|(step, _)| *step as i32 == kind).map_or("start", |(_, name)| name);
        Self::Failed(ExecError { errno: value, step })
    }
}

/// Forks; the child follows the plan and never returns. `theirs` is the child's end of the channel, `ours` ours.
pub(super) fn fork(plan: &Plan, theirs: RawFd, ours: RawFd, life: Life) -> io::Result<i32> {
    // A handler of ours must not run in the child: all signals wait until the child has reset them.
    let mut mask = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask))?;
    let forked = if life == Life::Child {
        let mut start = Start { plan, channel: theirs, ours };
        // SAFETY: `live_as_child` keeps to async-signal-safe calls, writes nothing but its own stack and `errno`,
        // and ends in exec or _exit; `start` outlives the call.
        unsafe { sys::spawn::fork_until_exec(live_as_child, (&raw mut start).cast()) }
    } else {
        // The parent goes on while these wait or fork again: they need a memory of their own.
        // SAFETY: the child only runs `live`, which keeps to async-signal-safe calls and ends in exec or _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            live(plan, theirs, ours, life);
        }
        if pid == -1 { Err(io::Error::last_os_error()) } else { Ok(pid) }
    };
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    forked
}

/// What a child that borrows our memory needs to know.
struct Start<'a> {
    plan: &'a Plan,
    channel: RawFd,
    ours: RawFd,
}

extern "C" fn live_as_child(start: *mut libc::c_void) -> libc::c_int {
    // SAFETY: a `Start` that lives until this child has become the program; see `fork`.
    let start = unsafe { &*start.cast::<Start<'_>>() };
    live(start.plan, start.channel, start.ours, Life::Child)
}

fn live(plan: &Plan, channel: RawFd, ours: RawFd, life: Life) -> ! {
    // SAFETY: our copy of the parent's end; while it is open here, the parent's death would go unnoticed.
    unsafe { libc::close(ours) };
    if life == Life::Orphan {
        // SAFETY: both processes keep to async-signal-safe calls.
        match unsafe { libc::fork() } {
            0 => {
                // SAFETY: a plain question.
                say(channel, STARTED, unsafe { libc::getpid() });
            }
            -1 => fail(channel, Step::Fork),
            _ => exit(0),
        }
    }
    let step = prepare(plan).err().unwrap_or_else(|| {
        if life == Life::Waiting && !told_to_go(channel) {
            exit(NEVER_RAN);
        }
        // SAFETY: NUL-terminated strings and null-terminated arrays, made before the fork and alive.
        unsafe { libc::execve(plan.program.as_ptr(), plan.argv.as_ptr(), plan.env.as_ptr()) };
        Step::Exec
    });
    fail(channel, step)
}

/// Everything but exec. On an error, `errno` says which.
fn prepare(plan: &Plan) -> Result<(), Step> {
    // SAFETY: plain system calls on numbers and on memory made before the fork.
    unsafe {
        match plan.leads {
            Leads::Group => ok(libc::setpgid(0, 0), Step::Group)?,
            Leads::Session => ok(libc::setsid(), Step::Session)?,
        }
        for number in 1..=sys::signals::LAST {
            sys::signals::to_default(number);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        sys::spawn::close_rest_on_exec();
        for (source, target) in &plan.moves {
            ok(libc::dup2(*source, *target), Step::Descriptors)?;
        }
        for descriptor in &plan.kept {
            ok(libc::fcntl(*descriptor, libc::F_DUPFD, plan.keep_from), Step::Descriptors)?;
        }
        if let Some(limit) = &plan.limit {
            ok(libc::setrlimit(libc::RLIMIT_NOFILE, limit), Step::Limits)?;
        }
        if let Some(mask) = plan.umask {
            libc::umask(mask);
        }
        if let Some(folder) = &plan.cwd {
            ok(libc::chdir(folder.as_ptr()), Step::Folder)?;
        }
    }
    Ok(())
}

fn ok(answer: libc::c_int, step: Step) -> Result<(), Step> {
    if answer == -1 { Err(step) } else { Ok(()) }
}

/// Waits for the word; `false` when the parent is gone or has thought better of it.
fn told_to_go(channel: RawFd) -> bool {
    let mut word = 0_u8;
    loop {
        // SAFETY: one byte, into a place that lives for the call.
        match unsafe { libc::read(channel, (&raw mut word).cast(), 1) } {
            1 => return true,
            -1 if nix::errno::Errno::last_raw() == libc::EINTR => {}
            _ => return false,
        }
    }
}

fn fail(channel: RawFd, step: Step) -> ! {
    say(channel, step as i32, nix::errno::Errno::last_raw());
    exit(NEVER_RAN)
}

fn say(channel: RawFd, kind: i32, value: i32) {
    let message = [kind, value];
    // SAFETY: eight bytes that live for the call; nobody is left to hear of an error.
    unsafe { libc::send(channel, message.as_ptr().cast(), Report::BYTES, sys::spawn::SEND_FLAGS) };
}

fn exit(code: libc::c_int) -> ! {
    // SAFETY: ends the process without running anything of ours.
    unsafe { libc::_exit(code) }
}
