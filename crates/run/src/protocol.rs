//! What `pipd` and a shim say to each other: one JSON object per line over the shim's socket.
//!
//! The first connection is a socket pair the shim inherits; later daemons connect by path. The end of the
//! connection is how `pipd` learns of a shim's death.

use serde::{Deserialize, Serialize};
use wire::{Signal, StopTarget};

use crate::record::Exited;

/// Version of this protocol.
pub const VERSION: u32 = 1;

/// The descriptor a shim inherits: its end of the socket pair. Absent for a replacement shim started by hand.
pub const CONNECTION_FD: i32 = 3;

/// The descriptor a shim inherits: the run's lock, held.
pub const LOCK_FD: i32 = 4;

/// pipd → shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Order {
    /// Walk the stop ladder of `spec.json`, or, already walking, go on.
    Stop {
        /// End also what a person detached.
        #[serde(default)]
        all_processes: bool,
    },
    /// KILL to the tree now.
    Kill,
    /// One signal.
    Signal {
        /// Which.
        signal: Signal,
        /// To whom.
        to: StopTarget,
    },
    /// Give a sign of life. Sent only to shims whose `hello` says that they answer.
    Ping {
        /// Comes back with the answer.
        number: u32,
    },
    /// Have a daemon started that descends from no run. Sent by a client inside this run's tree.
    StartDaemon {
        /// Absolute path of the program.
        exe: wire::Text,
    },
    /// An order of a newer daemon.
    #[serde(other)]
    Unknown,
}

/// Shim → pipd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Report {
    /// First line of every connection.
    Hello {
        /// [`VERSION`] of the shim.
        version: u32,
        /// The run.
        run: u64,
        /// The shim's process.
        shim_pid: i32,
        /// It took over from a shim that died: it is not the service's parent.
        #[serde(default)]
        replacement: bool,
        /// The release it is of.
        #[serde(default)]
        release: String,
        /// It answers [`Order::Ping`].
        #[serde(default)]
        pings: bool,
    },
    /// The service executes. Repeated after each `hello` while it lives.
    Started {
        /// Its process.
        pid: i32,
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
    },
    /// Main exited with 0 and this process of its tree serves the port: it is the service now.
    Replaced {
        /// Its process.
        pid: i32,
    },
    /// Nothing is left of the run, `exit.json` is written; the shim exits. Repeated after `hello` if late.
    Exited(Exited),
    /// The ladder is done and something will not die.
    Stuck {
        /// Its processes.
        pids: Vec<i32>,
    },
    /// The service could not be spawned for a reason that is the machine's (no process, no memory, no
    /// descriptor): not counted against it. The shim exits.
    Refused {
        /// The error number.
        errno: i32,
        /// For people.
        message: String,
    },
    /// Output was lost because the disk would not take it.
    Dropped {
        /// Lines lost since the last report.
        lines: u64,
    },
    /// The answer to [`Order::Ping`].
    Pong {
        /// The number asked with.
        number: u32,
    },
    /// The disk of the log does not answer, or does again. Output is kept in memory meanwhile.
    LogWaits {
        /// Whether it is waited for.
        waits: bool,
    },
    /// A report of a newer shim.
    #[serde(other)]
    Unknown,
}
