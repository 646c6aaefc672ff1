//! What the exit code of `pipctl` says. An interface: numbers keep their meaning.

use std::process::ExitCode;

use client::{CallError, ConnectError, StartError};
use wire::{ServiceOutcome, VerbAnswer, code};

/// Every way `pipctl` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Done, ready, or already so.
    Ok,
    /// A service failed, or what was asked could not be done.
    Failed,
    /// Wrong usage, or a configuration that cannot be read.
    Usage,
    /// Something outside must change first: a port is taken, a program is missing.
    Blocked,
    /// It takes longer than allowed; it goes on.
    Timeout,
    /// The daemon is not running, cannot be reached or does not answer.
    Unreachable,
    /// Work in kernels or terminals would be lost; nothing was done.
    Busy,
    /// Ctrl-C while waiting; the services go on.
    Interrupted,
}

impl Exit {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Blocked,
        Self::Timeout,
        Self::Unreachable,
        Self::Busy,
        Self::Interrupted,
    ];

    /// The number a shell sees.
    pub const fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Blocked => 3,
            Self::Timeout => 4,
            Self::Unreachable => 5,
            Self::Busy => 6,
            Self::Interrupted => 7,
        }
    }

    /// The word of the table in `docs/exit-codes.md`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Blocked => "blocked",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
        }
    }

    /// The sentence of the table in `docs/exit-codes.md`.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done: ready, already running, stopped, or printed",
            Self::Failed => "a service failed, or what was asked for could not be done",
            Self::Usage => "wrong usage, no workspace here, no such service, or an unreadable `pipd.toml`",
            Self::Blocked => {
                "something outside must change first: a port is taken, a program or file is missing"
            }
            Self::Timeout => "it takes longer than `--timeout` or the start deadline; it goes on",
            Self::Unreachable => "pipd is not running, cannot be reached or does not answer",
            Self::Busy => "work in kernels or terminals would be lost; nothing was done",
            Self::Interrupted => "Ctrl-C while waiting; the services go on",
        }
    }

    /// The table of `docs/exit-codes.md`.
    pub fn table() -> String {
        let mut table = String::from("| code | name | meaning |\n|--:|---|---|\n");
        for exit in Self::ALL {
            table.push_str(&format!("| {} | {} | {} |\n", exit.number(), exit.name(), exit.meaning()));
        }
        table
    }

    /// Of several, the one the caller must know: failed, blocked, busy, timeout, ok.
    pub fn worst(self, other: Self) -> Self {
        if self.weight() >= other.weight() { self } else { other }
    }

    const fn weight(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Interrupted => 1,
            Self::Timeout => 2,
            Self::Busy => 3,
            Self::Blocked => 4,
            Self::Failed => 5,
            Self::Unreachable => 6,
            Self::Usage => 7,
        }
    }

    /// Of the answer to `start`, `stop` or `restart`.
    pub fn of_answer(answer: &VerbAnswer) -> Self {
        answer.services.iter().map(|result| Self::of_outcome(result.outcome)).fold(Self::Ok, Self::worst)
    }

    fn of_outcome(outcome: ServiceOutcome) -> Self {
        match outcome {
            ServiceOutcome::Ready
            | ServiceOutcome::Already
            | ServiceOutcome::Stopped
            | ServiceOutcome::Accepted
            | ServiceOutcome::External => Self::Ok,
            ServiceOutcome::Failed
            | ServiceOutcome::Superseded
            | ServiceOutcome::Absent
            | ServiceOutcome::Unknown => Self::Failed,
            ServiceOutcome::Blocked => Self::Blocked,
            ServiceOutcome::Timeout => Self::Timeout,
            ServiceOutcome::Busy => Self::Busy,
        }
    }

    /// Of a call without an answer.
    pub fn of_call(error: &CallError) -> Self {
        match error {
            CallError::Refused(refusal) => match refusal.code {
                code::UNKNOWN_NAME | code::INVALID_PARAMS => Self::Usage,
                code::RUNNING => Self::Busy,
                code::GOING_AWAY | code::VERSION => Self::Unreachable,
                _ => Self::Failed,
            },
            CallError::TooLong(_) => Self::Usage,
            CallError::Timeout(_) | CallError::Gone | CallError::Garbage(_) | CallError::Io(_) => {
                Self::Unreachable
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.number().into()
    }
}

/// A verb that ended early: what to say, and the code.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What to say on standard error; may have several lines, may be empty.
    pub message: String,
}

impl Failure {
    /// A failure with its message.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::new(Exit::of_call(&error), error.to_string())
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::new(Exit::Unreachable, error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::new(Exit::Unreachable, error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(Exit::Failed, format!("cannot write JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_services_wins() {
        let order = [Exit::Failed, Exit::Blocked, Exit::Busy, Exit::Timeout, Exit::Ok];
        for (i, &worse) in order.iter().enumerate() {
            for &better in &order[i..] {
                assert_eq!(worse.worst(better), worse);
                assert_eq!(better.worst(worse), worse);
            }
        }
    }

    #[test]
    fn numbers_are_their_positions() {
        for (number, exit) in Exit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(exit.number()), number);
        }
    }
}
