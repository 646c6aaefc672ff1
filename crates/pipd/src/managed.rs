//! The daemon as a service manager sees it: ready, alive, on its way out; and in whose place it comes.
//!
//! Without a manager nothing of this happens. It must never hold the loop: what is told is told without waiting.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use os::notify::Notifier;
use run::layout::HostDir;
use run::record::{self, DaemonRecord};
use tracing::{info, warn};

use crate::own_log;

/// How long a daemon that no manager has is given to make way, before it is killed.
const MAKES_WAY_WITHIN: Duration = Duration::from_secs(3);

/// Whose process this is.
#[derive(Debug)]
pub(crate) struct Managed {
    /// `systemd`, `launchd` or `none`.
    pub(crate) kind: &'static str,
    notifier: Option<Notifier>,
}

impl Managed {
    pub(crate) fn of_this_process() -> Self {
        Self { kind: manager::kind_of_this_process(), notifier: Notifier::of_this_process() }
    }

    fn has_manager(&self) -> bool {
        self.kind != manager::NAME_NONE
    }

    /// From now on the log goes where it goes without a manager, so that there is one place to look.
    pub(crate) fn keep_log(&self, host: &HostDir) {
        if !self.has_manager() {
            return;
        }
        let path = host.daemon_log();
        let redirect = || -> io::Result<()> {
            if std::fs::metadata(&path).is_ok_and(|data| data.len() > own_log::MAX_BYTES) {
                std::fs::rename(&path, path.with_extension("log.1"))?;
            }
            own_log::open(&path)
        };
        if let Err(error) = redirect() {
            warn!(path = %path.display(), %error, "the manager keeps this log: the file cannot be written");
        }
    }

    /// Has a daemon that no manager has make way for this one; services do not notice. `false` when there is no reason
    /// to: then the other one is as good as this.
    pub(crate) fn takes_over(&self, host: &HostDir) -> bool {
        if !self.has_manager() {
            return false;
        }
        let of_ours = |record: &DaemonRecord| record.manager == self.kind;
        if record::read::<DaemonRecord>(&host.daemon_record()).ok().flatten().as_ref().is_some_and(of_ours) {
            return false;
        }
        let Some(other) = os::lock::owner(&host.daemon_lock()) else { return false };
        info!(pid = other.pid, manager = self.kind, "a daemon runs that no manager has; it makes way");
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if other.signal(signal).is_err() {
                return false;
            }
            let begun = Instant::now();
            while begun.elapsed() < MAKES_WAY_WITHIN {
                if !os::lock::is_held(&host.daemon_lock()).unwrap_or(false) {
                    return true;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        false
    }

    /// Nothing to do here, and all is well: another daemon serves.
    pub(crate) fn not_needed(&self) {
        if let Some(notifier) = &self.notifier {
            notifier.status("another pipd serves this user already");
            notifier.ready();
        }
    }

    /// Serving.
    pub(crate) fn ready(self: &Rc<Self>) {
        let Some(notifier) = &self.notifier else { return };
        notifier.ready();
        // From the loop's own thread: a loop that hangs says nothing.
        let Some(every) = notifier.alive_every() else { return };
        let this = Rc::clone(self);
        crate::tasks::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                if let Some(notifier) = &this.notifier {
                    notifier.alive();
                }
            }
        });
    }

    /// On the way out.
    pub(crate) fn stopping(&self) {
        if let Some(notifier) = &self.notifier {
            notifier.stopping();
        }
    }
}
