//! Making processes: a service that waits for its record, a shim, a daemon that belongs to nobody.
//!
//! Everything a child needs is made before the fork; between fork and exec it makes system calls only (`child.rs`).
//! Children start with a clean slate: empty signal mask, default dispositions, no descriptor but the named ones.

mod child;
mod plan;
mod resolve;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sys;
use crate::unix::raw::retry;
use child::Report;
use plan::{Leads, Plan};

pub use resolve::resolve;

/// Lowest number at which a service inherits descriptors of ours: above all it opens itself in ordinary life.
pub const KEEP_FROM: i32 = 200;

/// A program to run as a service. Standard input is /dev/null.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The file to execute: absolute, see [`resolve()`].
    pub path: &'a Path,
    /// All arguments, the name of the program first.
    pub argv: &'a [OsString],
    /// The whole environment; nothing is inherited.
    pub env: &'a [(OsString, OsString)],
    /// The working folder.
    pub cwd: &'a Path,
    /// Standard output.
    pub stdout: BorrowedFd<'a>,
    /// Standard error.
    pub stderr: BorrowedFd<'a>,
    /// Descriptors the program inherits unknowingly, at numbers from [`KEEP_FROM`] on (lower only where the
    /// descriptor limit is).
    pub keep: &'a [BorrowedFd<'a>],
    /// Soft and hard descriptor limit to give back (see `limits`); `None` leaves ours.
    pub rlimit_nofile: Option<(u64, u64)>,
    /// The permissions new files do not get; `None` leaves ours.
    pub umask: Option<u32>,
}

/// Why a child did not become the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecError {
    /// The error number.
    pub errno: i32,
    /// What the child was doing: `fork`, `process group`, `session`, `descriptors`, `limits`, `working folder`, `exec`.
    pub step: &'static str,
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, io::Error::from_raw_os_error(self.errno))
    }
}

impl std::error::Error for ExecError {}

impl From<ExecError> for io::Error {
    /// Keeps the error number, so that a caller can tell a fault of the machine from one of the program.
    fn from(error: ExecError) -> Self {
        Self::from_raw_os_error(error.errno)
    }
}

/// A child that has all it needs and waits for the word. Leader of its own process group.
///
/// When this value is dropped, or our process ends, it ends without having run the program.
#[derive(Debug)]
pub struct Pending {
    pid: i32,
    channel: UnixStream,
    done: bool,
}

impl Pending {
    /// Its process id, and the id of its process group.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets it run the program, and returns when it does. From then on the child is the caller's to reap. A child
    /// that was killed before it could answer counts as started: its exit tells the rest.
    ///
    /// # Errors
    /// What went wrong in the child; it is reaped then.
    pub fn go(mut self) -> Result<(), ExecError> {
        // A child that failed is no reader any more; what it said is still to be read.
        let _ = crate::failpoint!("spawn.go");
        let _ = self.channel.write_all(&[1]);
        match Report::read(&mut self.channel) {
            Some(Report::Failed(error)) => Err(error),
            Some(Report::Started(_)) | None => {
                self.done = true;
                Ok(())
            }
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.done {
            // Not reaped yet, so the number is still its own.
            let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
            wait_for(self.pid);
        }
    }
}

/// Makes the process of a service, up to but not including exec: so that its identity can be recorded first.
///
/// # Errors
/// `InvalidInput` for a NUL in a path, an argument or the environment; `EAGAIN`, `ENOMEM`, `EMFILE` and the like when
/// the machine has no room. What goes wrong in the child is told by [`Pending::go`].
pub fn fork_waiting(program: Program<'_>) -> io::Result<Pending> {
    let mut plan = Plan::new(program.path, program.argv, program.env, Leads::Group)?;
    plan.cwd(program.cwd)?;
    plan.descriptors(None, &[(program.stdout, 1), (program.stderr, 2)])?;
    plan.keep(program.keep, program.rlimit_nofile)?;
    plan.umask = program.umask.and_then(|mask| libc::mode_t::try_from(mask).ok());
    let (pid, channel) = fork(&plan, child::Life::Waiting)?;
    // Both sides do it, so that neither can be too early.
    let _ = nix::unistd::setpgid(Pid::from_raw(pid), Pid::from_raw(pid));
    Ok(Pending { pid, channel, done: false })
}

/// How far from us a detached program ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detach {
    /// An orphan, taken in by the nearest subreaper: by us, if we are one.
    Orphan,
    /// An orphan that is not taken in by us: if we are a subreaper, not for this moment.
    BeyondMe,
}

/// Starts a program that is nobody's child, in a session of its own, in `/`, with standard input from /dev/null.
///
/// `args` are the arguments after the program's name; `output` becomes standard output and error; `descriptors` are
/// given at the numbers named. Returns its pid once it runs.
///
/// # Errors
/// As [`child()`].
pub fn detached(
    program: &Path,
    args: &[OsString],
    env: &[(OsString, OsString)],
    output: BorrowedFd<'_>,
    descriptors: &[(BorrowedFd<'_>, i32)],
    detach: Detach,
) -> io::Result<i32> {
    let mut plan = Plan::new(program, &with_name(program, args), env, Leads::Session)?;
    plan.cwd(Path::new("/"))?;
    let mut all = vec![(output, 1), (output, 2)];
    all.extend_from_slice(descriptors);
    plan.descriptors(None, &all)?;
    let step_aside = detach == Detach::BeyondMe && sys::process::is_subreaper()?;
    if step_aside {
        sys::process::become_subreaper(false)?;
    }
    let forked = fork(&plan, child::Life::Orphan);
    if let Ok((middle, _)) = &forked {
        // The program becomes an orphan when the process in the middle ends, not before.
        wait_for(*middle);
    }
    if step_aside {
        sys::process::become_subreaper(true)?;
    }
    let (_, mut channel) = forked?;
    let pid = match Report::read(&mut channel) {
        Some(Report::Started(pid)) => pid,
        Some(Report::Failed(error)) => return Err(error.into()),
        None => return Err(io::Error::other("a process was killed before it could start another")),
    };
    match Report::read(&mut channel) {
        Some(Report::Failed(error)) => Err(error.into()),
        Some(Report::Started(_)) | None => Ok(pid),
    }
}

/// Starts a program as our child, leader of a new session, in our working folder, with standard input and output
/// on /dev/null and standard error as given. Returns its pid once it runs.
///
/// `args` are the arguments after the program's name; `descriptors` are given at the numbers named.
///
/// # Errors
/// `InvalidInput` for a NUL in a path, an argument or the environment; else the error number of what failed, in us
/// (`EAGAIN`, `ENOMEM`, `EMFILE`) or in the child (`ENOENT`, `EACCES`, `E2BIG`), which is reaped then.
pub fn child(
    program: &Path,
    args: &[OsString],
    env: &[(OsString, OsString)],
    descriptors: &[(BorrowedFd<'_>, i32)],
    stderr: BorrowedFd<'_>,
) -> io::Result<i32> {
    let mut plan = Plan::new(program, &with_name(program, args), env, Leads::Session)?;
    let mut all = vec![(stderr, 2)];
    all.extend_from_slice(descriptors);
    plan.descriptors(Some(1), &all)?;
    let (pid, mut channel) = fork(&plan, child::Life::Child)?;
    match Report::read(&mut channel) {
        Some(Report::Failed(error)) => {
            wait_for(pid);
            Err(error.into())
        }
        Some(Report::Started(_)) | None => Ok(pid),
    }
}

fn with_name(program: &Path, args: &[OsString]) -> Vec<OsString> {
    let mut argv = Vec::with_capacity(args.len() + 1);
    argv.push(program.as_os_str().to_owned());
    argv.extend_from_slice(args);
    argv
}

/// Forks a child that follows the plan; returns its pid and our end of the channel to it.
fn fork(plan: &Plan, life: child::Life) -> io::Result<(i32, UnixStream)> {
    /// One at a time: a child forked by another thread meanwhile would hold a copy of our child's end of the
    /// channel, and its end would not tell that the program runs.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    crate::failpoint!("spawn.fork")?;
    let (ours, theirs) = sys::spawn::quiet_pair()?;
    let theirs: OwnedFd = plan.above_targets(theirs.into())?;
    let pid = child::fork(plan, theirs.as_raw_fd(), ours.as_raw_fd(), life)?;
    let _ = crate::failpoint!("spawn.forked");
    Ok((pid, ours))
}

/// Waits for the end of a child that ends at once, and takes it. Somebody else of us may have taken it.
fn wait_for(pid: i32) {
    let mut status = 0;
    // SAFETY: the place lives for the call.
    let _ = retry(|| unsafe { libc::waitpid(pid, &raw mut status, 0) });
}

impl Report {
    /// The next word of a child; `None` when it has become the program, or was killed.
    fn read(channel: &mut UnixStream) -> Option<Self> {
        let mut bytes = [0_u8; Self::BYTES];
        channel.read_exact(&mut bytes).ok()?;
        Some(Self::from_bytes(bytes))
    }
}

/// Takes over a descriptor that this program was started with, at a number agreed on with whoever started it.
/// `None` when nothing is open there. To be called once for each number, before anything else opens descriptors:
/// from then on it is owned here and close-on-exec.
#[must_use]
pub fn inherited(number: i32) -> Option<OwnedFd> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    // SAFETY: only borrowed for this question; a number that is not open gives an error.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl(descriptor, FcntlArg::F_GETFD).ok()?;
    let flags = FdFlag::from_bits_truncate(flags) | FdFlag::FD_CLOEXEC;
    fcntl(descriptor, FcntlArg::F_SETFD(flags)).ok()?;
    // SAFETY: it is open, and by the contract above nothing else in this program owns it.
    Some(unsafe { std::os::fd::FromRawFd::from_raw_fd(number) })
}
