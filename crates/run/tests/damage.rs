//! Damaged files: what is read from them is what was written, or nothing. Never something else, never a panic, and what
//! cannot be read is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed")]

use std::fmt::Debug;
use std::path::Path;

use os::process::ProcessIdentity;
use proptest::prelude::*;
use run::log::{Follower, Options, Position, Query, SPOOL_BYTES, Stream, Writer};
use run::record::{
    self, AutostartRecord, DaemonGoal, DaemonRecord, Durability, Exited, RecordError, RunSpec, Started,
};
use run::workspace::WorkspaceRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wire::{ExitCause, LogSpec, StopSpec, Text};

fn identity() -> ProcessIdentity {
    ProcessIdentity::current().unwrap()
}

fn spec() -> RunSpec {
    RunSpec {
        run: 7,
        workspace: "w-1".into(),
        service: "web".into(),
        marker: "w-1.web.7.abc".into(),
        argv: vec![Text::from("/usr/bin/python3"), Text::from("-m"), Text::from("ü")],
        cwd: Text::from("/w"),
        env: vec![("A".into(), Text::from("1")), ("PIPD_RUN".into(), Text::from("w-1.web.7.abc"))],
        stop: StopSpec::default(),
        log: LogSpec::default(),
        log_dir: Text::from("/l"),
        socket: Text::from("/s"),
        host_dir: Text::from("/h"),
        port: Some(8888),
        spare_terminals: true,
        nofile: Some((1024, 4096)),
        umask: None,
        adopted: false,
        token: None,
        at_ms: 1,
    }
}

fn exited() -> Exited {
    Exited {
        cause: ExitCause::Code(3),
        at_ms: 5,
        uptime_ms: 4,
        asked: true,
        out_of_memory: Some(false),
        usage: None,
        swept: vec!["sleep 1".into()],
        left_running: Vec::new(),
        unkillable: vec![9],
    }
}

/// Cuts the record off at every byte and flips every bit of it.
fn damage_everywhere<T: Serialize + DeserializeOwned + PartialEq + Debug>(record: &T) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    record::write(&path, record, Durability::Rename).unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(record::read::<T>(&path).unwrap().as_ref(), Some(record));
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let read = record::read::<T>(&path);
        assert!(matches!(read, Err(RecordError::Unreadable { .. })), "cut off at {length}: {read:?}");
    }
    let mut bytes = whole.clone();
    for at in 0..whole.len() {
        for bit in 0..8 {
            bytes[at] = whole[at] ^ (1 << bit);
            std::fs::write(&path, &bytes).unwrap();
            match record::read::<T>(&path) {
                Err(RecordError::Unreadable { .. }) => {}
                // One digit more or less of a format there is: refused, and left as it is.
                Err(RecordError::Newer { .. }) => assert_eq!(at, "pipd ".len(), "bit {bit}"),
                read => panic!("bit {bit} of byte {at} flipped: {read:?}"),
            }
        }
        bytes[at] = whole[at];
    }
    // Longer than it was written, too.
    bytes.push(b' ');
    std::fs::write(&path, &bytes).unwrap();
    assert!(record::read::<T>(&path).is_err());
}

#[test]
fn case_24_no_damage_makes_another_record_of_one() {
    damage_everywhere(&spec());
    damage_everywhere(&Started { main: identity(), shim: identity(), at_ms: 1 });
    damage_everywhere(&exited());
    damage_everywhere(&DaemonRecord {
        goal: DaemonGoal::Up,
        exe: Text::from("/bin/pipd"),
        manager: "none".into(),
        process: Some(identity()),
        session_ended: false,
        session_began_ms: 0,
    });
    let mut choices = AutostartRecord::of(false);
    choices.choose(Text::from("/w"), true);
    damage_everywhere(&choices);
    damage_everywhere(&WorkspaceRecord {
        root: Text::from("/w"),
        token: "t".into(),
        environments: Default::default(),
        services: Vec::new(),
        depends: Vec::new(),
        folder: Some(run::folder::FolderId { device: 1, inode: 2, born_ns: Some(3) }),
        former: vec![run::workspace::FormerPlace { root: "/home/ada/old".into(), until_ms: 4 }],
    });
}

#[test]
fn what_is_put_aside_is_kept_however_often() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("workspace.json");
    let mut aside = Vec::new();
    for number in 0..20 {
        std::fs::write(&path, format!("damaged {number}")).unwrap();
        aside.push(record::set_aside(&path).unwrap());
        assert!(!path.exists());
    }
    for (number, path) in aside.iter().enumerate() {
        assert_eq!(std::fs::read_to_string(path).unwrap(), format!("damaged {number}"));
    }
    aside.sort();
    assert_eq!(record::put_aside(folder.path()), aside);
    assert!(record::set_aside(&path).is_err(), "there is nothing");
}

fn write_raw(path: &Path, version: u32, body: &str) {
    let header = format!("pipd {version} {:08x} {}\n", crc32fast::hash(body.as_bytes()), body.len());
    std::fs::write(path, header + body).unwrap();
}

/// The least the first version wrote, without anything that was added since.
#[test]
fn case_90_records_of_the_first_version_are_read_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    let identity = serde_json::to_string(&identity()).unwrap();
    let read = |body: &str| {
        write_raw(&path, 1, body);
        std::fs::read(&path).unwrap()
    };

    let before = read(r#"{"cause":{"code":3},"at_ms":5}"#);
    let exited: Exited = record::read(&path).unwrap().unwrap();
    assert_eq!((exited.cause, exited.asked, exited.out_of_memory), (ExitCause::Code(3), false, None));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    read(&format!(r#"{{"main":{identity},"shim":{identity},"at_ms":1}}"#));
    assert!(record::read::<Started>(&path).unwrap().is_some());
    read(r#"{"goal":"up","exe":"/bin/pipd"}"#);
    let daemon: DaemonRecord = record::read(&path).unwrap().unwrap();
    assert_eq!((daemon.goal, daemon.process, daemon.session_ended), (DaemonGoal::Up, None, false));
    read(r#"{"root":"/w","token":"t"}"#);
    assert!(record::read::<WorkspaceRecord>(&path).unwrap().unwrap().services.is_empty());
    read(r#"{"others":true}"#);
    assert!(record::read::<AutostartRecord>(&path).unwrap().unwrap().covers(&Text::from("/any")));
    // And what later ones of the same format add is no obstacle.
    read(r#"{"others":true,"of_a_later_release":[1,{"a":null}]}"#);
    assert!(record::read::<AutostartRecord>(&path).unwrap().is_some());
}

#[test]
fn case_90_a_record_of_a_newer_format_is_named_as_such_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("record.json");
    for (version, body) in [(2, "{}"), (4_000_000_000, "not even JSON")] {
        write_raw(&path, version, body);
        let before = std::fs::read(&path).unwrap();
        let error = record::read::<WorkspaceRecord>(&path).unwrap_err();
        assert!(matches!(error, RecordError::Newer { found, .. } if found == version), "{error}");
        assert!(error.to_string().contains("newer pipd"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

fn writer(folder: &Path) -> Writer {
    let spec = LogSpec { file_bytes: 64 << 10, files: 3 };
    Writer::open(Options { dir: &folder.join("log"), spec, spool: &folder.join("spool"), spills: None })
}

fn read_all(folder: &Path, query: &Query) -> usize {
    let mut count = 0;
    run::log::read(&folder.join("log"), query, |entry| {
        assert!(entry.text.len() <= SPOOL_BYTES, "an entry of {} bytes", entry.text.len());
        count += 1;
        true
    })
    .unwrap();
    count
}

/// All readers, over whatever lies in the log's folder.
fn read_in_every_way(folder: &Path) {
    let log = folder.join("log");
    let everything = read_all(folder, &Query::default());
    for last in [0, 1, 7, 1_000] {
        let found = read_all(folder, &Query { last: Some(last), ..Query::default() });
        assert_eq!(found, last.min(everything), "the last {last} of {everything}");
    }
    read_all(folder, &Query { join: true, streams: vec![Stream::Stderr], ..Query::default() });
    let mut follower = Follower::new(&log, Query::default(), Position::default());
    let mut followed = 0;
    follower
        .poll(|_| {
            followed += 1;
            true
        })
        .unwrap();
    assert_eq!(followed, everything, "followed, and read");
    let _ = run::log::last_words(&log, 7);
}

const LINE: &str = "2026-11-22T18:07:59.123456789Z stdout F one\n\
                    2026-11-22T18:07:59.123456790Z stderr P two\n\
                    2026-11-22T18:07:59.123456791Z pipd F run 7 started, pid 1\n";

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_of_random_bytes_are_unreadable(bytes in prop::collection::vec(any::<u8>(), 0..300), headed: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        let mut content = if headed { b"pipd 1 ".to_vec() } else { Vec::new() };
        content.extend(&bytes);
        std::fs::write(&path, &content).unwrap();
        prop_assert!(record::read::<serde_json::Value>(&path).is_err());
    }

    #[test]
    fn log_files_of_any_bytes_are_read(
        files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..4),
        changes in prop::collection::vec((0..LINE.len(), any::<u8>()), 0..5), cut in 0..LINE.len(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("log")).unwrap();
        let mut damaged = LINE.as_bytes().to_vec();
        for (at, byte) in changes {
            damaged[at] = byte;
        }
        for (number, bytes) in files.iter().chain([&damaged, &LINE.as_bytes()[..cut].to_vec()]).enumerate() {
            std::fs::write(folder.path().join(format!("log/{:010}.log", number + 1)), bytes).unwrap();
        }
        std::fs::write(folder.path().join("log/probes"), &files[0]).unwrap();
        read_in_every_way(folder.path());
        // And written on: what comes now is whole.
        let mut writer = writer(folder.path());
        writer.say("goes on");
        drop(writer);
        let mut last = None;
        run::log::read(&folder.path().join("log"), &Query::default(), |entry| { last = Some(entry); true }).unwrap();
        prop_assert_eq!(last.unwrap().text, b"goes on".to_vec());
    }

    #[test]
    fn a_damaged_spool_is_replayed_or_kept(
        changes in prop::collection::vec((0usize..256, any::<u8>()), 1..6), length in prop::option::of(0..SPOOL_BYTES),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        drop(writer(folder.path()));
        let mut bytes = std::fs::read(&spool).unwrap();
        prop_assert_eq!(bytes.len(), SPOOL_BYTES);
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(length.unwrap_or(SPOOL_BYTES));
        std::fs::write(&spool, &bytes).unwrap();
        let mut writer = writer(folder.path());
        writer.say("goes on");
        drop(writer);
        let mut found = false;
        run::log::read(&folder.path().join("log"), &Query::default(), |entry| {
            found |= entry.text.ends_with(b"goes on");
            true
        })
        .unwrap();
        prop_assert!(found, "the log does not go on");
        // Cut off it was never a spool that could be gone on with: it lies there still.
        if length.is_some_and(|length| length > 0) {
            let aside = record::put_aside(folder.path());
            prop_assert_eq!(aside.len(), 1);
            prop_assert_eq!(std::fs::read(&aside[0]).unwrap(), bytes);
        }
    }
}
