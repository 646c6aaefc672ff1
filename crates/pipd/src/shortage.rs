//! What the machine refuses, in words: which limit it is and how to raise it. Never counted against a service.

use std::io;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use os::limits::Limit;

use crate::service::Obstacle;

/// Descriptors that no run is given, so that clients and probes always find some.
const KEPT: u64 = 24;

/// What follows where no command helps, or none is needed.
const BY_ITSELF: &str = "it is tried again by itself as soon as the machine allows";

/// What a run costs the daemon as long as it lives: the read ends of its output, and its shim's connection.
const EACH: u64 = 3;

/// Runs that have been promised room and are being made.
static BEING_MADE: Mutex<u64> = Mutex::new(0);

/// A promise of room for one run, until that run has what it needs or has failed.
#[derive(Debug)]
pub(crate) struct Room(());

impl Drop for Room {
    fn drop(&mut self) {
        let mut being_made = BEING_MADE.lock().unwrap_or_else(PoisonError::into_inner);
        *being_made = being_made.saturating_sub(1);
    }
}

/// Room for another run, if that leaves the daemon enough to serve its clients and to ask its services. Runs are made
/// several at a time: were each to find the same free descriptors, they would together take what is kept, and then a
/// service that is stopped would leave its place to nobody.
///
/// # Errors
/// As the system would say it, had the run been made: too many open files.
pub(crate) fn room_for_a_run() -> io::Result<Room> {
    let mut being_made = BEING_MADE.lock().unwrap_or_else(PoisonError::into_inner);
    // Where there are few of them anyway, so many cannot be kept.
    let few = os::limits::nofile().map_or(KEPT, |(soft, _)| soft / 4);
    if !os::limits::can_open(KEPT.min(few) + EACH * *being_made) {
        return Err(Errno::EMFILE.into());
    }
    *being_made += 1;
    Ok(Room(()))
}

/// Why there is no run: what was tried, and what the system said.
pub(crate) fn of(what: &str, error: &io::Error) -> Obstacle {
    obstacle(format!("{what}: {error}"), number(error))
}

/// The same of an error whose text is known.
pub(crate) fn obstacle(text: String, number: Option<Errno>) -> Obstacle {
    let (limit, hint) = match number {
        Some(Errno::EMFILE) => files(),
        Some(Errno::ENFILE) => (Some("the whole machine has no more (sysctl fs.file-max)".to_owned()), None),
        Some(Errno::EAGAIN) => processes(),
        _ => (None, None),
    };
    Obstacle {
        detail: limit.map_or_else(|| text.clone(), |limit| format!("{text}; {limit}")),
        hint: Some(hint.unwrap_or_else(|| BY_ITSELF.to_owned())),
        ..Obstacle::default()
    }
}

fn files() -> (Option<String>, Option<String>) {
    let Ok((soft, hard)) = os::limits::nofile() else { return (None, None) };
    let limit = format!("pipd may have {soft} (ulimit -n)");
    let otherwise = || format!("ulimit -n {}; then: pipctl daemon restart", soft.saturating_mul(2));
    (Some(limit), Some(os::limits::raise(Limit::Files, (soft, hard)).unwrap_or_else(otherwise)))
}

fn processes() -> (Option<String>, Option<String>) {
    // Root is bound by control groups alone.
    let bound = (!nix::unistd::geteuid().is_root()).then(os::limits::processes);
    let Some(Ok(Some((soft, hard)))) = bound else {
        return (
            Some(
                "no more processes may be started here (ulimit -u, or a control group's pids.max)".to_owned(),
            ),
            None,
        );
    };
    let limit = format!("this user may have {soft} processes and threads (ulimit -u)");
    let otherwise = || format!("ulimit -u {}; then: pipctl daemon restart", soft.saturating_mul(2));
    (Some(limit), Some(os::limits::raise(Limit::Processes, (soft, hard)).unwrap_or_else(otherwise)))
}

/// The system's number for it, however it is wrapped.
fn number(error: &io::Error) -> Option<Errno> {
    if let Some(number) = error.raw_os_error() {
        return Some(Errno::from_raw(number));
    }
    let inner = error.get_ref()?;
    let mut next: Option<&(dyn std::error::Error + 'static)> = inner.source();
    while let Some(cause) = next {
        if let Some(number) = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(Errno::from_raw(number));
        }
        next = cause.source();
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what cannot go on has failed the test")]
mod tests {
    use super::*;

    #[test]
    fn the_limit_and_the_command_are_named() {
        let of = |number: Errno| of("no run", &number.into());
        let files = of(Errno::EMFILE);
        assert!(files.detail.contains("open files") && files.detail.contains("(ulimit -n)"), "{files:?}");
        let hint = files.hint.unwrap();
        assert!(hint.contains("prlimit --pid ") || hint.contains("ulimit -n "), "{hint}");
        assert!(of(Errno::EAGAIN).detail.contains("(ulimit -u"));
        assert!(of(Errno::ENFILE).detail.contains("fs.file-max"));
        assert_eq!(of(Errno::ENOSPC).hint.unwrap(), BY_ITSELF);
    }

    #[test]
    fn a_wrapped_error_is_told_by_its_number() {
        let wrapped = io::Error::other(run::record::RecordError::Io {
            path: "/x".into(),
            source: Errno::EMFILE.into(),
        });
        assert_eq!(number(&wrapped), Some(Errno::EMFILE));
        assert_eq!(number(&io::Error::other("words")), None);
    }
}
