//! A log's files and a spool, whatever lies in them: all readers agree, and a writer goes on behind it.

use std::path::Path;

use run::log::{Entry, Follower, Options, Position, Query, SPOOL_BYTES, Stream, Writer, last_words};
use wire::LogSpec;

use crate::folder;

pub(crate) const WORDS: &[&str] = &[
    "2026-11-22T18:07:59.123456789Z stdout F ",
    "2026-11-22T18:07:59.123456790Z stderr P ",
    "2026-11-22T18:07:59.123456791Z pipd F run 7 started, pid 1\n",
    "pipd F run 7 ended: exit code 3\n",
    "\"GET / HTTP/1.1\" 200",
    "127.0.0.1:4711",
    "\u{1b}[31m",
    "\n",
    "\r",
];

/// What separates the files: the log's, then the spool's header.
const NEXT: &[u8] = b"\n--8<--\n";

pub(crate) fn run(bytes: &[u8]) {
    folder::with(|folder| {
        let log = folder.join("log");
        let _ = std::fs::remove_dir_all(&log);
        std::fs::create_dir(&log).unwrap();
        let parts = split(bytes);
        for (number, part) in parts.iter().take(2).enumerate() {
            std::fs::write(log.join(format!("{:010}.log", number + 1)), part).unwrap();
            std::fs::write(log.join("probes"), part).unwrap();
        }
        read_in_every_way(&log);
        // The last part is the beginning of a spool that a shim left.
        let spool = folder.join("spool");
        let mut left = parts.last().copied().unwrap_or_default().to_vec();
        left.resize(SPOOL_BYTES, 0);
        std::fs::write(&spool, left).unwrap();
        goes_on(folder, &log, &spool);
    });
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while parts.len() < 2
        && let Some(at) = rest.windows(NEXT.len()).position(|window| window == NEXT)
    {
        parts.push(&rest[..at]);
        rest = &rest[at + NEXT.len()..];
    }
    parts.push(rest);
    parts
}

fn read(log: &Path, query: &Query) -> Vec<Entry> {
    let mut found = Vec::new();
    run::log::read(log, query, |entry| {
        assert!(entry.text.len() <= SPOOL_BYTES, "an entry of {} bytes", entry.text.len());
        found.push(entry);
        true
    })
    .unwrap();
    found
}

fn read_in_every_way(log: &Path) {
    let all = read(log, &Query::default());
    for last in [0, 1, 7, 1_000] {
        let found = read(log, &Query { last: Some(last), ..Query::default() });
        assert_eq!(found, all[all.len().saturating_sub(last)..], "the last {last}");
    }
    for join in [true, false] {
        for hide_probes in [true, false] {
            let _ = read(log, &Query { join, hide_probes, ..Query::default() });
            let _ = read(log, &Query { join, hide_probes, last: Some(3), ..Query::default() });
        }
    }
    let of_one = read(log, &Query { streams: vec![Stream::Stderr], ..Query::default() });
    assert!(of_one.iter().all(|entry| entry.stream == Stream::Stderr));
    if let Some(entry) = all.get(all.len() / 2) {
        let since = read(log, &Query { since: Some(entry.at), ..Query::default() });
        assert!(since.iter().all(|found| found.at >= entry.at));
    }
    let mut follower = Follower::new(log, Query::default(), Position::default());
    let mut followed = Vec::new();
    follower
        .poll(|entry| {
            followed.push(entry);
            true
        })
        .unwrap();
    assert_eq!(followed, all, "followed, and read");
    let _ = last_words(log, 7);
}

/// A shim that comes now logs what the spool says, or sets it aside; what it says itself is there in any case.
fn goes_on(folder: &Path, log: &Path, spool: &Path) {
    let spec = LogSpec { file_bytes: 64 << 10, files: 3 };
    let mut writer = Writer::open(Options { dir: log, spec, spool, spills: None });
    writer.say("goes on");
    drop(writer);
    let found = read(log, &Query::default());
    assert!(found.iter().any(|entry| entry.text.ends_with(b"goes on")), "the log does not go on");
    for aside in run::record::put_aside(folder) {
        std::fs::remove_file(aside).unwrap();
    }
}
