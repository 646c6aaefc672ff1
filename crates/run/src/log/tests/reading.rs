use super::super::{Follower, Position, Stamp, last_words};
use super::*;
use proptest::prelude::*;

/// Writes entries as given, in files of so many.
fn lay(log: &Path, entries: &[Entry], per_file: usize) {
    std::fs::create_dir_all(log).unwrap();
    for (index, chunk) in entries.chunks(per_file).enumerate() {
        let mut file = Vec::new();
        for entry in chunk {
            let tag = if entry.partial { 'P' } else { 'F' };
            file.extend(format!("{} {} {tag} ", entry.at, entry.stream.name()).bytes());
            file.extend(&entry.text);
            file.push(b'\n');
        }
        std::fs::write(super::super::files::path(log, index as u64 + 3), file).unwrap();
    }
}

fn entry(at: u64, stream: Stream, partial: bool, text: &str) -> Entry {
    Entry { at: Stamp(at), stream, partial, text: text.into() }
}

fn some_entries() -> impl Strategy<Value = Vec<Entry>> {
    let one = (prop::sample::select(vec![Stream::Stdout, Stream::Stderr]), any::<bool>(), "[a-z]{0,6}");
    prop::collection::vec(one, 0..60).prop_map(|all| {
        let entries = all.into_iter().enumerate();
        entries.map(|(at, (stream, partial, text))| entry(at as u64 + 1, stream, partial, &text)).collect()
    })
}

proptest! {
    #[test]
    fn the_last_lines_are_the_end_of_all_lines(
        all in some_entries(), per_file in 1usize..20, last in 0usize..70, since in 0u64..70, stderr: bool,
    ) {
        let place = tempfile::tempdir().unwrap();
        lay(place.path(), &all, per_file);
        let streams = if stderr { vec![Stream::Stderr] } else { Vec::new() };
        let query = Query { since: Some(Stamp(since)), streams, ..Query::default() };
        let everything = entries(place.path(), &query);
        let expected: Vec<Entry> = all.iter().filter(|entry| query.wants(entry)).cloned().collect();
        prop_assert_eq!(&everything, &expected);
        let tail = entries(place.path(), &Query { last: Some(last), ..query });
        prop_assert_eq!(&tail[..], &expected[expected.len().saturating_sub(last)..]);
    }

    #[test]
    fn the_last_joined_lines_are_the_end_of_all_joined_lines(
        all in some_entries(), per_file in 1usize..20, last in 0usize..70,
    ) {
        let place = tempfile::tempdir().unwrap();
        // Lines that end: whether one without an end counts is a matter of taste.
        let mut all = all;
        for stream in [Stream::Stdout, Stream::Stderr] {
            all.push(entry(1_000, stream, false, "end"));
        }
        lay(place.path(), &all, per_file);
        let mut everything = entries(place.path(), &Query { join: true, ..Query::default() });
        let mut tail = entries(place.path(), &Query { join: true, last: Some(last), ..Query::default() });
        prop_assert!(tail.iter().all(|line| everything.contains(line)), "{tail:?} of {everything:?}");
        prop_assert_eq!(tail.len(), last.min(everything.len()));
        everything.clear();
        tail.clear();
    }
}

#[test]
fn a_follower_sees_every_line_once_over_rotations() {
    let place = Place::new(64 << 10, 4);
    let mut writer = place.writer();
    let pipe = Pipe::default();
    let mut seen = Vec::new();
    let query = Query { streams: vec![Stream::Stdout], join: true, ..Query::default() };
    let mut follower = Follower::new(&place.log(), query, Position::default());
    for round in 0..300 {
        pipe.put(&numbered(round * 200..(round + 1) * 200));
        writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
        if round % 3 == 0 {
            follower
                .poll(|entry| {
                    seen.extend(entry.text);
                    seen.push(b'\n');
                    true
                })
                .unwrap();
        }
    }
    follower
        .poll(|entry| {
            seen.extend(entry.text);
            seen.push(b'\n');
            true
        })
        .unwrap();
    assert!(seen == numbered(0..60_000));
}

#[test]
fn following_goes_on_where_reading_ended() {
    let place = Place::new(1 << 20, 4);
    let mut writer = place.writer();
    let pipe = Pipe::default();
    pipe.put(b"one\ntwo\n");
    writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
    for query in [Query::default(), Query { last: Some(1), ..Query::default() }] {
        let end = read(&place.log(), &query, |_| true).unwrap();
        let mut follower = Follower::new(&place.log(), Query::default(), end);
        let mut seen = Vec::new();
        follower
            .poll(|entry| {
                seen.push(entry);
                true
            })
            .unwrap();
        assert!(seen.is_empty(), "{seen:?}");
        pipe.put(b"new\n");
        writer.read(Stream::Stdout, &mut pipe.clone()).unwrap();
        follower
            .poll(|entry| {
                seen.push(entry);
                true
            })
            .unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].text, b"new");
    }
}

#[test]
fn garbage_in_a_file_is_passed_over() {
    let place = tempfile::tempdir().unwrap();
    let good = "2026-11-22T18:07:59.123456789Z stdout F good\n";
    let mut file = b"\0\xff garbage\n\n".to_vec();
    file.extend(good.bytes());
    file.extend([b'x'; 200_000]);
    file.push(b'\n');
    file.extend(good.bytes());
    file.extend(b"2026-11-22T18:07:59.123456789Z stdout F half");
    std::fs::write(super::super::files::path(place.path(), 1), file).unwrap();
    std::fs::write(place.path().join("notes.txt"), "mine").unwrap();
    assert_eq!(entries(place.path(), &Query::default()).len(), 2);
    assert_eq!(entries(place.path(), &Query { last: Some(9), ..Query::default() }).len(), 2);
}

fn run_lines(run: u64, stderr: &str, how: &str) -> Vec<Entry> {
    let mut all = vec![entry(1, Stream::Pipd, false, &format!("run {run} started, pid 1"))];
    all.extend(stderr.lines().map(|line| entry(1, Stream::Stderr, false, line)));
    all.push(entry(1, Stream::Pipd, false, &format!("run {run} ended: {how}")));
    all
}

#[test]
fn last_words_are_the_traceback_of_that_run() {
    let traceback = "INFO: started\nTraceback (most recent call last):\n  File \"server.py\", line 3, in <module>\n    import nosuch\nModuleNotFoundError: No module named 'nosuch'\nINFO: stopping";
    let place = tempfile::tempdir().unwrap();
    let mut all = run_lines(4, "four\nfour and a half", "exit code 0");
    all.extend(run_lines(5, traceback, "exit code 1"));
    all.extend(run_lines(6, "six", "exit code 0"));
    lay(place.path(), &all, 3);
    let words = last_words(place.path(), 5);
    assert_eq!(words.first().unwrap(), "Traceback (most recent call last):");
    assert_eq!(words.last().unwrap(), "ModuleNotFoundError: No module named 'nosuch'");
    assert_eq!(last_words(place.path(), 4), ["four", "four and a half"]);
    assert_eq!(last_words(place.path(), 6), ["six"]);
    assert_eq!(last_words(place.path(), 7), Vec::<String>::new());
    assert_eq!(last_words(&place.path().join("nowhere"), 7), Vec::<String>::new());
}

#[test]
fn of_a_long_traceback_the_last_frames_stay() {
    let mut traceback = String::from("  Traceback (most recent call last):\n");
    for frame in 0..40 {
        traceback += &format!("    File \"a.py\", line {frame}, in f\n      f()\n");
    }
    traceback += "  RecursionError: too deep\n  File left\nlater\n";
    let place = tempfile::tempdir().unwrap();
    lay(place.path(), &run_lines(1, &traceback, "exit code 1"), 100);
    let words = last_words(place.path(), 1);
    assert_eq!(words.len(), 12);
    assert_eq!(words[11], "  RecursionError: too deep");
    assert_eq!(words[10], "      f()");
}

#[test]
fn without_a_traceback_the_last_lines_of_both_streams() {
    let place = tempfile::tempdir().unwrap();
    let mut all = run_lines(1, &"line\n".repeat(30), "exit code 1");
    all.insert(31, entry(2, Stream::Stdout, false, "the very last"));
    lay(place.path(), &all, 100);
    let words = last_words(place.path(), 1);
    assert_eq!(words.len(), 10);
    assert_eq!(words[9], "the very last");
}
