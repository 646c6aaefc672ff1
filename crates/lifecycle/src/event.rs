//! What can happen to a service.

use crate::{Block, RequestId, RunId};

/// Something that happened. Requests set the goal, reports speak of one run, the rest comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// It is to run. Without a request nobody waits for the answer.
    Start {
        /// Who asks.
        request: Option<RequestId>,
    },
    /// It is not to run.
    Stop {
        /// Who asks.
        request: Option<RequestId>,
    },
    /// It is to run, and not the way it runs now.
    Restart {
        /// Who asks.
        request: Option<RequestId>,
        /// The last run when this was asked for the first time. A newer one is the fruit of that request, whose
        /// answer was lost with a daemon: it is not restarted once more.
        seen: Option<RunId>,
    },
    /// The server that somebody started by hand is to be looked after from now on, in place. Where there is none
    /// nothing changes, not even the goal.
    Adopt {
        /// Who asks.
        request: Option<RequestId>,
    },
    /// Answer to [`Action::Spawn`](crate::Action::Spawn) and [`Action::Adopt`](crate::Action::Adopt): the process
    /// lives.
    Spawned {
        /// Of which run.
        run: RunId,
    },
    /// Answer to [`Action::Spawn`](crate::Action::Spawn): no process came to life, and why. (Also ends a restored
    /// run that turns out never to have lived.) When the port is held
    /// by a server of this workspace that was started by hand, `External { present: true }` goes before it.
    Blocked {
        /// Of which run.
        run: RunId,
        /// What stands in the way.
        why: Block,
    },
    /// Its own listener answers (again).
    Ready {
        /// Of which run.
        run: RunId,
    },
    /// All of it is alive and it does not answer. Of one that was not ready yet it is said when what would have
    /// answered is gone: it is not ready before something changes.
    Silent {
        /// Of which run.
        run: RunId,
    },
    /// It is proven dead though its main process lives: no listener, or a member is gone and nothing answers.
    Dead {
        /// Of which run.
        run: RunId,
    },
    /// Nothing is left of it. Ends every run that was spawned; may come before its `Spawned`.
    Exited {
        /// Of which run.
        run: RunId,
        /// How it ended.
        exit: Exit,
    },
    /// Whatever blocked it is gone: the port is free, a fault is relieved, a dependency is ready.
    Unblocked,
    /// A file on which it depends has changed.
    SourceChanged,
    /// A server of this workspace that somebody started by hand has appeared or gone. Gone again: its port was in
    /// use for a while after its end and is quiet now.
    External {
        /// It is there.
        present: bool,
    },
    /// The session or the machine is ending: everything stops, the goals stay.
    SessionEnding,
    /// Nothing but time has passed.
    Deadline,
}

/// How a run ended, as far as it decides what comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exit {
    /// It returned 0.
    pub clean: bool,
    /// It found its port taken: counts as blocked, not as a failure.
    pub collision: bool,
    /// It could not be executed: counts as blocked, not as a failure.
    pub exec_failed: bool,
    /// The machine refused (descriptors, processes, memory, disk): counts as blocked, not as a failure.
    pub machine: bool,
    /// The session or the machine was ending.
    pub session_end: bool,
}

/// What an exit means. Only one of [`Exit`]'s flags can decide; this is the order in which they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    SessionEnd,
    Blocked(Block),
    Clean,
    Failure,
}

impl Exit {
    /// The end of a run that returned 0.
    pub const CLEAN: Self =
        Self { clean: true, collision: false, exec_failed: false, machine: false, session_end: false };

    /// The end of a run that failed.
    pub const FAILURE: Self =
        Self { clean: false, collision: false, exec_failed: false, machine: false, session_end: false };

    pub(crate) const fn verdict(self) -> Verdict {
        if self.session_end {
            Verdict::SessionEnd
        } else if self.machine {
            Verdict::Blocked(Block::Machine)
        } else if self.exec_failed {
            Verdict::Blocked(Block::Exec)
        } else if self.collision {
            Verdict::Blocked(Block::Port)
        } else if self.clean {
            Verdict::Clean
        } else {
            Verdict::Failure
        }
    }
}
