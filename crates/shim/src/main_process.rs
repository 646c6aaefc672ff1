//! The service's process, as its parent sees it, and as a successor that is not its parent does.

use std::io;

use nix::sys::signal::Signal;
use os::process::{Liveness, ProcessIdentity};
use os::wait::{Ended, ExitWatch};
use run::record::Usage;
use wire::ExitCause;

/// How its end is learned of.
pub(crate) enum Tie {
    /// Our child.
    Child,
    /// Somebody else's; `None` when it was gone before it could be watched.
    Watched(Option<ExitWatch>),
}

/// The service's process.
pub(crate) struct MainProcess {
    pub(crate) identity: ProcessIdentity,
    /// Its process group: its own number, but for a process that replaced the first one.
    pub(crate) group: i32,
    pub(crate) tie: Tie,
    /// When the run began, milliseconds since the Unix epoch.
    pub(crate) started_ms: i64,
}

impl MainProcess {
    pub(crate) fn watched(identity: ProcessIdentity, group: i32, started_ms: i64) -> Self {
        let watch = ExitWatch::new(&identity).ok().flatten();
        Self { identity, group, tie: Tie::Watched(watch), started_ms }
    }

    /// How it ended; `None` while it lives. Takes nothing away: its number stays its own until it is reaped.
    pub(crate) fn end(&self) -> Option<ExitCause> {
        match &self.tie {
            Tie::Child => match os::wait::peek(self.identity.pid) {
                Ok(None) => None,
                Ok(Some(ended)) => Some(cause(ended)),
                Err(_) => Some(ExitCause::Unknown),
            },
            Tie::Watched(None) => Some(ExitCause::Unknown),
            Tie::Watched(Some(watch)) => match watch.has_ended() {
                Ok(false) => None,
                _ => Some(watch.exit_code().map_or(ExitCause::Unknown, cause)),
            },
        }
    }

    /// Takes the exit of a child.
    pub(crate) fn reap(&self) -> Option<Usage> {
        if !matches!(self.tie, Tie::Child) {
            return None;
        }
        let (_, usage) = os::wait::reap(self.identity.pid).ok().flatten()?;
        Some(Usage { user_ms: usage.user_ms, system_ms: usage.system_ms, max_rss_kib: usage.max_rss_kib })
    }

    /// Sends a signal; a stopped process is woken for it, or it would answer only when somebody else does.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.identity.signal(signal)?;
        let needs_waking = !matches!(signal, Signal::SIGKILL | Signal::SIGCONT);
        if needs_waking && self.identity.liveness()? == Liveness::Stopped {
            self.identity.signal(Signal::SIGCONT)?;
        }
        Ok(())
    }

    /// Sends a signal to its process group.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        let leads = self.group == self.identity.pid;
        if leads && matches!(self.tie, Tie::Child) {
            // Not reaped, so the number of the group is still ours.
            return match nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.group), signal) {
                // macOS says EPERM of a group of zombies.
                Ok(()) | Err(nix::errno::Errno::ESRCH | nix::errno::Errno::EPERM) => Ok(()),
                Err(error) => Err(error.into()),
            };
        }
        if leads && self.identity.liveness()? == Liveness::Gone {
            return Ok(()); // a group of that number may be a stranger's by now
        }
        let mut members = os::process::table()?;
        members.retain(|process| process.pgid == self.group);
        if members.is_empty() {
            // It leads no group: it is all there is of one.
            return self.identity.signal(signal).map(drop);
        }
        for process in members {
            let _ = process.identity()?.signal(signal);
        }
        Ok(())
    }
}

pub(crate) fn cause(ended: Ended) -> ExitCause {
    match ended {
        Ended::Code(code) => ExitCause::Code(code),
        Ended::Signal { signal, .. } => ExitCause::Signal(signal),
    }
}

pub(crate) fn signal_of(signal: wire::Signal) -> Signal {
    match signal {
        wire::Signal::Term => Signal::SIGTERM,
        wire::Signal::Int => Signal::SIGINT,
        wire::Signal::Hup => Signal::SIGHUP,
        wire::Signal::Quit => Signal::SIGQUIT,
        wire::Signal::Usr1 => Signal::SIGUSR1,
        wire::Signal::Usr2 => Signal::SIGUSR2,
        wire::Signal::Cont => Signal::SIGCONT,
        wire::Signal::Kill => Signal::SIGKILL,
    }
}
