//! Which daemon was the last one when another was asked for.
//!
//! Ten clients that find nobody ask for ten daemons. One of them serves; on a busy machine another may get to look for
//! the lock only when that one has been told to go, and would then serve although nobody wants it any more. So each
//! is told whose goodbye was read before it was asked for, and leaves when it finds somebody else's.

use std::ffi::{OsStr, OsString};

use crate::layout::HostDir;
use crate::record::{self, DaemonGoal, DaemonRecord};

/// Names the variable with which a daemon is told. It concerns that one process alone and is handed on to nobody.
pub const AFTER: &str = "PIPD_AFTER";

/// What to set [`AFTER`] to. To be called before it is certain that no daemon lives.
#[must_use]
pub fn after(host: &HostDir) -> OsString {
    let last = record::read::<DaemonRecord>(&host.daemon_record()).ok().flatten();
    named(last.as_ref(), host)
}

/// Whether a daemon has come and was told to go since `after` was said: then nobody waits for one.
#[must_use]
pub fn is_over(host: &HostDir, after: &OsStr) -> bool {
    let Ok(Some(last)) = record::read::<DaemonRecord>(&host.daemon_record()) else { return false };
    last.goal == DaemonGoal::Down && {
        let now = named(Some(&last), host);
        // What was said of another folder says nothing of this one.
        now != after && place(&now) == place(after)
    }
}

fn named(last: Option<&DaemonRecord>, host: &HostDir) -> OsString {
    let process = last.and_then(|last| last.process.as_ref());
    let who = process.map_or_else(|| "-".to_owned(), |one| format!("{}.{}.{}", one.pid, one.start, one.boot));
    let mut name = OsString::from(who);
    name.push(" ");
    name.push(host.path());
    name
}

fn place(name: &OsStr) -> Option<&[u8]> {
    let bytes = name.as_encoded_bytes();
    bytes.iter().position(|byte| *byte == b' ').map(|space| &bytes[space..])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "what cannot go on has failed the test")]
mod tests {
    use std::path::Path;

    use os::process::ProcessIdentity;

    use super::*;
    use crate::record::Durability;

    fn goodbye(host: &HostDir, goal: DaemonGoal, pid: i32) {
        let process = Some(ProcessIdentity { pid, start: 7, boot: "boot".into() });
        let record = DaemonRecord {
            goal,
            exe: Path::new("/x/pipd").into(),
            manager: String::new(),
            process,
            session_ended: false,
            session_began_ms: 0,
        };
        record::write(&host.daemon_record(), &record, Durability::Rename).unwrap();
    }

    #[test]
    fn it_is_over_when_another_daemon_has_come_and_gone() {
        let folder = tempfile::tempdir().unwrap();
        let host = HostDir::new(folder.path(), "h");
        std::fs::create_dir_all(host.path()).unwrap();
        let first = after(&host);
        assert!(!is_over(&host, &first), "nobody was there yet");
        goodbye(&host, DaemonGoal::Up, 1);
        assert!(!is_over(&host, &first), "one died without goodbye: another is wanted");
        goodbye(&host, DaemonGoal::Down, 1);
        assert!(is_over(&host, &first));
        let second = after(&host);
        assert!(!is_over(&host, &second), "that goodbye was known");
        goodbye(&host, DaemonGoal::Handover, 2);
        assert!(!is_over(&host, &second));
        goodbye(&host, DaemonGoal::Down, 2);
        assert!(is_over(&host, &second));
        // Said of another folder, or by somebody who says it otherwise.
        let other = HostDir::new(&folder.path().join("other"), "h");
        assert!(!is_over(&host, &after(&other)));
        assert!(!is_over(&host, OsStr::new("words")) && !is_over(&host, OsStr::new("")));
    }
}
