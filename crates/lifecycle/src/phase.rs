//! Where a service can be, and what it must remember there and nowhere else.

use crate::{Millis, RunId};

/// What the user wants. Set by `Start`, `Stop` and `Restart`, by nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Goal {
    /// It is to run.
    Up,
    /// It is not to run.
    #[default]
    Down,
}

/// Where a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Not running. With goal `Up` only after the end of a session, or in one in which it is not to come by itself:
    /// nothing starts before somebody asks.
    #[default]
    Down,
    /// It is to run, and something outside must change first. Not counted against the service.
    Blocked {
        /// What stands in the way.
        why: Block,
        /// The attempt that found out.
        run: RunId,
        /// When it is tried again without further news.
        retry: Option<Millis>,
    },
    /// [`Action::Spawn`](crate::Action::Spawn) is unanswered.
    Spawning {
        /// The run in the making.
        run: RunId,
    },
    /// The process lives and has not been ready yet.
    Starting {
        /// Its run.
        run: RunId,
        /// Since when it lives.
        life: Life,
        /// When waiting for it ends.
        ready_by: Millis,
    },
    /// Ready.
    Ready {
        /// Its run.
        run: RunId,
        /// Since when it lives.
        life: Life,
    },
    /// It lives and does not answer. Shown; never restarted for this.
    Unhealthy {
        /// Its run.
        run: RunId,
        /// Since when it lives.
        life: Life,
        /// It has answered before; if not, its time to get ready has passed.
        was_ready: bool,
    },
    /// Its end is under way. What comes after it is in `why`.
    Stopping {
        /// The run that is to end.
        run: RunId,
        /// What for.
        why: StopReason,
        /// The one `Kill` has been asked for; nothing but waiting is left.
        killed: bool,
        /// When the `Kill` is due. Absent while the process is not known to live (there is nothing to stop yet),
        /// and after the `Kill`.
        kill_at: Option<Millis>,
    },
    /// It failed; the next attempt has a time.
    Backoff {
        /// The time of the next attempt.
        until: Millis,
    },
    /// It ended by itself, cleanly. It stays so until somebody asks.
    Finished,
    /// It failed as often as its start limit allows, or once, with [`Restart::Never`](crate::Restart::Never).
    GaveUp,
    /// A server that somebody started by hand does the work.
    External,
    /// It has ended, and whoever started it may be about to do so again. Nothing is started meanwhile.
    Quiet {
        /// When one of ours is started in its place; only when somebody asks if absent.
        until: Option<Millis>,
    },
}

impl Phase {
    /// The run that lives or is being made; the one whose reports count.
    pub const fn run(&self) -> Option<RunId> {
        match *self {
            Self::Spawning { run }
            | Self::Starting { run, .. }
            | Self::Ready { run, .. }
            | Self::Unhealthy { run, .. }
            | Self::Stopping { run, .. } => Some(run),
            Self::Down
            | Self::Blocked { .. }
            | Self::Backoff { .. }
            | Self::Finished
            | Self::GaveUp
            | Self::External
            | Self::Quiet { .. } => None,
        }
    }

    /// When this phase has something to do though nothing happens.
    pub const fn deadline(&self) -> Option<Millis> {
        match *self {
            Self::Starting { ready_by, .. } => Some(ready_by),
            Self::Backoff { until } => Some(until),
            Self::Blocked { retry, .. } => retry,
            Self::Quiet { until } => until,
            Self::Stopping { kill_at, .. } => kill_at,
            Self::Down
            | Self::Spawning { .. }
            | Self::Ready { .. }
            | Self::Unhealthy { .. }
            | Self::Finished
            | Self::GaveUp
            | Self::External => None,
        }
    }
}

/// What stands in the way of a service. The details (who holds the port, which error) are the shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    /// Somebody else listens on its port.
    Port,
    /// It cannot be executed.
    Exec,
    /// The machine has none left: descriptors, processes, memory, disk.
    Machine,
    /// A service that must be ready first is not.
    After,
    /// A rule forbids it.
    Refused,
}

/// Why a run is being stopped, and so what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopReason {
    /// It is not to run: `Down` comes after.
    Down,
    /// It is to run anew: a spawn comes after, at once.
    Restart,
    /// It was proven dead: a restart that counts as a failure comes after.
    Dead,
    /// The session is ending: `Down` comes after, and the goal stays.
    SessionEnd,
}

/// How long a run has lived. A daemon's clock may begin later than the run did, so a mere birthday will not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Life {
    /// When this daemon first knew it alive.
    pub since: Millis,
    /// How long it had lived by then, in milliseconds.
    pub before: Millis,
}

impl Life {
    /// How long it has lived, in milliseconds.
    pub const fn uptime(self, now: Millis) -> Millis {
        now.saturating_sub(self.since).saturating_add(self.before)
    }
}
