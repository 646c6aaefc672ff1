//! The last words of a run: what a person wants to read first when it has died.

use std::io;
use std::path::Path;

use super::files::numbers;
use super::join::Joiner;
use super::read::Backwards;
use super::{Entry, Stream};

/// Lines of a traceback that are shown, and of anything else.
const TRACEBACK_LINES: usize = 12;
const OTHER_LINES: usize = 10;
/// How much of a run is looked at, in lines, and how much of the log to find it, in bytes.
const MAX_LINES: usize = 2_000;
const MAX_BYTES: u64 = 16 << 20;

/// The last lines of the last Python traceback that the run printed, or, without one, its last lines. Empty
/// when it printed nothing, or its lines are rotated away or cannot be read.
pub fn last_words(log_dir: &Path, run: u64) -> Vec<String> {
    let lines = lines_of(log_dir, run).unwrap_or_default();
    if let Some(traceback) = traceback_of(&lines) {
        return traceback;
    }
    let all: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    last(&all, OTHER_LINES)
}

/// The last lines of the last Python traceback that the run printed, if it printed one.
pub fn last_traceback(log_dir: &Path, run: u64) -> Option<Vec<String>> {
    traceback_of(&lines_of(log_dir, run).ok()?)
}

fn traceback_of(lines: &[(Stream, String)]) -> Option<Vec<String>> {
    let stderr: Vec<&str> =
        lines.iter().filter(|(stream, _)| *stream == Stream::Stderr).map(|(_, text)| text.as_str()).collect();
    Some(last(traceback_in(&stderr)?, TRACEBACK_LINES))
}

fn last(lines: &[&str], count: usize) -> Vec<String> {
    lines[lines.len().saturating_sub(count)..].iter().map(|&line| line.to_owned()).collect()
}

/// The last lines of the run, in order, pieces joined, for people: invalid bytes replaced.
fn lines_of(log_dir: &Path, run: u64) -> io::Result<Vec<(Stream, String)>> {
    let numbers = numbers(log_dir)?;
    let mut backwards = Backwards::new(log_dir, &numbers);
    let mut found: Vec<Entry> = Vec::new();
    while let Some(entry) = backwards.next()? {
        if backwards.read > MAX_BYTES || found.len() > MAX_LINES {
            break;
        }
        match mark(&entry) {
            Some(Mark::Started(number)) if number == run => break,
            Some(Mark::Started(number) | Mark::Ended(number)) if number < run => break,
            // What follows the end of a run, or the beginning of a later one, is not this one's.
            Some(Mark::Started(_) | Mark::Ended(_)) => found.clear(),
            None if entry.stream == Stream::Pipd => {}
            None => found.push(entry),
        }
    }
    let mut joiner = Joiner::default();
    let mut lines = Vec::new();
    let mut give =
        |entry: Entry| lines.push((entry.stream, String::from_utf8_lossy(&entry.text).trim_end().to_owned()));
    for entry in found.into_iter().rev() {
        joiner.push(entry, &mut give);
    }
    joiner.finish(give);
    Ok(lines)
}

enum Mark {
    Started(u64),
    Ended(u64),
}

fn mark(entry: &Entry) -> Option<Mark> {
    if entry.stream != Stream::Pipd {
        return None;
    }
    let text = std::str::from_utf8(&entry.text).ok()?;
    let (number, what) = text.strip_prefix("run ")?.split_once(' ')?;
    let number = number.parse().ok()?;
    if what.starts_with("started") {
        Some(Mark::Started(number))
    } else if what.starts_with("ended") {
        Some(Mark::Ended(number))
    } else {
        None
    }
}

/// From the head of the last traceback to its error line.
fn traceback_in<'a, 'b>(lines: &'b [&'a str]) -> Option<&'b [&'a str]> {
    let head =
        lines.iter().rposition(|line| line.trim_start().starts_with("Traceback (most recent call last)"))?;
    let indent = indent_of(lines[head]);
    let body = &lines[head + 1..];
    // Frames are indented deeper than the head; the first line that is not is the error.
    let end = body.iter().position(|line| !line.trim().is_empty() && indent_of(line) <= indent);
    Some(&lines[head..=end.map_or(lines.len() - 1, |end| head + 1 + end)])
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
