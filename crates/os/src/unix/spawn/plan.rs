//! All a child needs, made before the fork: between fork and exec nothing may be allocated.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

use super::KEEP_FROM;
use crate::unix::raw::owned;

/// What the child leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// A process group of its own, in our session.
    Group,
    /// A session of its own.
    Session,
}

/// A program, its surroundings and its descriptors.
pub(super) struct Plan {
    pub(super) program: CString,
    pub(super) argv: Words,
    pub(super) env: Words,
    pub(super) cwd: Option<CString>,
    pub(super) leads: Leads,
    /// `(source, target)` for dup2; every source is above every target.
    pub(super) moves: Vec<(RawFd, RawFd)>,
    /// Descriptors to inherit at some number from `keep_from` on.
    pub(super) kept: Vec<RawFd>,
    pub(super) keep_from: RawFd,
    pub(super) limit: Option<libc::rlimit>,
    pub(super) umask: Option<libc::mode_t>,
    /// Numbers from here on are no target.
    above: RawFd,
    /// Copies made for `moves`, open until the fork is done.
    copies: Vec<OwnedFd>,
}

impl Plan {
    pub(super) fn new(
        program: &Path,
        argv: &[OsString],
        env: &[(OsString, OsString)],
        leads: Leads,
    ) -> io::Result<Self> {
        Ok(Self {
            program: c_string(program.as_os_str())?,
            argv: Words::new(argv.iter().map(|word| c_string(word)))?,
            env: Words::new(env.iter().map(|(name, value)| variable(name, value)))?,
            cwd: None,
            leads,
            moves: Vec::new(),
            kept: Vec::new(),
            keep_from: KEEP_FROM,
            limit: None,
            umask: None,
            above: 3,
            copies: Vec::new(),
        })
    }

    pub(super) fn cwd(&mut self, folder: &Path) -> io::Result<()> {
        self.cwd = Some(c_string(folder.as_os_str())?);
        Ok(())
    }

    /// Puts /dev/null at 0 (and at `also_null`), and each descriptor at its number.
    pub(super) fn descriptors(
        &mut self,
        also_null: Option<RawFd>,
        wanted: &[(BorrowedFd<'_>, RawFd)],
    ) -> io::Result<()> {
        if wanted.iter().any(|(_, target)| *target < 0) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        self.above = wanted.iter().map(|(_, target)| target + 1).fold(self.above, RawFd::max);
        let null = self.above_targets(File::options().read(true).write(true).open("/dev/null")?.into())?;
        self.moves.push((null.as_raw_fd(), 0));
        self.moves.extend(also_null.map(|target| (null.as_raw_fd(), target)));
        self.copies.push(null);
        for (source, target) in wanted {
            let mut number = source.as_raw_fd();
            if number < self.above {
                let copy = copy_from(*source, self.above)?;
                number = copy.as_raw_fd();
                self.copies.push(copy);
            }
            self.moves.push((number, *target));
        }
        Ok(())
    }

    /// Lets the program inherit descriptors at high numbers, and gives back its descriptor limit.
    pub(super) fn keep(&mut self, kept: &[BorrowedFd<'_>], limit: Option<(u64, u64)>) -> io::Result<()> {
        for descriptor in kept {
            let mut number = descriptor.as_raw_fd();
            if number < self.above {
                let copy = copy_from(*descriptor, self.above)?;
                number = copy.as_raw_fd();
                self.copies.push(copy);
            }
            self.kept.push(number);
        }
        let (soft, _) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
        let lowest = limit.map_or(soft, |(given, _)| given.min(soft));
        let room = RawFd::try_from(lowest).unwrap_or(RawFd::MAX);
        let count = RawFd::try_from(kept.len()).unwrap_or(RawFd::MAX);
        self.keep_from = KEEP_FROM.min(room.saturating_sub(count)).max(self.above);
        self.limit = limit.map(|(soft, hard)| libc::rlimit { rlim_cur: soft as _, rlim_max: hard as _ });
        Ok(())
    }

    /// The same descriptor, at a number that no target overwrites.
    pub(super) fn above_targets(&self, descriptor: OwnedFd) -> io::Result<OwnedFd> {
        if descriptor.as_raw_fd() >= self.above { Ok(descriptor) } else { copy_from(descriptor, self.above) }
    }
}

/// A copy at a number of at least `lowest`, closed on exec.
fn copy_from(descriptor: impl AsFd, lowest: RawFd) -> io::Result<OwnedFd> {
    owned(fcntl(descriptor, FcntlArg::F_DUPFD_CLOEXEC(lowest))?)
}

/// Strings as exec wants them: an array of pointers that ends in null.
pub(super) struct Words {
    pointers: Vec<*const libc::c_char>,
    _strings: Vec<CString>,
}

impl Words {
    fn new(strings: impl Iterator<Item = io::Result<CString>>) -> io::Result<Self> {
        let strings: Vec<CString> = strings.collect::<io::Result<_>>()?;
        // The bytes of a CString stay where they are when the CString itself is moved.
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Ok(Self { pointers, _strings: strings })
    }

    pub(super) fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| nul_in(&text.to_string_lossy()))
}

fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut entry = OsString::with_capacity(name.len() + value.len() + 2);
    entry.push(name);
    entry.push("=");
    entry.push(value);
    CString::new(entry.into_vec()).map_err(|_| nul_in(&name.to_string_lossy()))
}

fn nul_in(text: &str) -> io::Error {
    let readable = text.replace('\0', "\\0");
    io::Error::new(io::ErrorKind::InvalidInput, format!("a NUL byte in or after {readable:?}"))
}
