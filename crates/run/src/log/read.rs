//! Reading a log once, from the oldest file to the newest.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::files::{numbers, path};
use super::join::Joiner;
use super::probes::Questions;
use super::tail::LinesFromEnd;
use super::{Entry, Position, Stamp, Stream};

/// Longest line of a file that is looked at: an entry, with room. What is longer is not ours and skipped.
const MAX_ENTRY_BYTES: usize = 64 << 10;

/// Which lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only the last so many.
    pub last: Option<usize>,
    /// Only what was read at this time or later.
    pub since: Option<Stamp>,
    /// Only these streams; all when empty.
    pub streams: Vec<Stream>,
    /// Put the pieces of long lines together.
    pub join: bool,
    /// Leave out the access lines of pipd's own questions, see [`super::Probe`].
    pub hide_probes: bool,
}

impl Query {
    pub(crate) fn wants(&self, entry: &Entry) -> bool {
        (self.streams.is_empty() || self.streams.contains(&entry.stream))
            && self.since.is_none_or(|since| entry.at >= since)
    }

    /// What is needed to leave out pipd's own access lines; `None` where they are wanted.
    pub(crate) fn questions(&self, dir: &Path) -> Option<Questions> {
        self.hide_probes.then(|| Questions::of(dir))
    }
}

/// Gives the lines of the log in `dir` that `query` asks for to `give`, the oldest first, until it answers
/// `false`. Returns where the log ended, for a [`super::Follower`] to go on. A file that disappears meanwhile
/// is skipped; so is what is not a line of a log.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn read(dir: &Path, query: &Query, mut give: impl FnMut(Entry) -> bool) -> io::Result<Position> {
    let numbers = numbers(dir)?;
    if let Some(last) = query.last {
        return read_last(dir, &numbers, query, last, give);
    }
    let mut questions = query.questions(dir);
    let mut joiner = Joiner::default();
    let mut end = Position::default();
    let mut go_on = true;
    for &number in &numbers[first_file(dir, &numbers, query.since)..] {
        let Some(file) = open(dir, number)? else { continue };
        let mut lines = Lines::new(file);
        while go_on && let Some(entry) = lines.next()? {
            if !query.wants(&entry) || questions.as_mut().is_some_and(|own| own.caused(&entry)) {
                continue;
            }
            if query.join {
                joiner.push(entry, |entry| go_on &= go_on && give(entry));
            } else {
                go_on = give(entry);
            }
        }
        end = Position { file: number, offset: lines.offset };
        if !go_on {
            return Ok(end);
        }
    }
    joiner.finish(|entry| go_on &= go_on && give(entry));
    Ok(end)
}

/// Index of the newest file that begins before `since`: the ones before it hold nothing that is wanted.
fn first_file(dir: &Path, numbers: &[u64], since: Option<Stamp>) -> usize {
    let Some(since) = since else { return 0 };
    let begins_before = |&number: &u64| {
        let first =
            File::open(path(dir, number)).ok().and_then(|file| Lines::new(file).next().ok().flatten());
        first.is_some_and(|entry| entry.at < since)
    };
    numbers.iter().rposition(begins_before).unwrap_or(0)
}

fn read_last(
    dir: &Path,
    numbers: &[u64],
    query: &Query,
    last: usize,
    mut give: impl FnMut(Entry) -> bool,
) -> io::Result<Position> {
    let mut questions = query.questions(dir);
    let mut found = VecDeque::new();
    let mut backwards = Backwards::new(dir, numbers);
    let mut complete = 0;
    // Pieces precede their end: after the last line wanted, its own pieces are still to come.
    let mut wants_pieces = [false; 3];
    while let Some(entry) = backwards.next()? {
        if query.since.is_some_and(|since| entry.at < since) {
            break;
        }
        if !query.wants(&entry) || questions.as_mut().is_some_and(|own| own.caused(&entry)) {
            continue;
        }
        let stream = entry.stream.index();
        let counts = !query.join || !entry.partial;
        if complete == last {
            if counts {
                wants_pieces[stream] = false;
            }
            if !wants_pieces.contains(&true) || backwards.read > MAX_LOOK_BACK_BYTES {
                break;
            }
            if !wants_pieces[stream] {
                continue;
            }
        } else if counts {
            complete += 1;
            wants_pieces[stream] = query.join;
        }
        found.push_front(entry);
    }
    let mut joiner = Joiner::default();
    let mut go_on = true;
    for entry in found {
        if query.join {
            joiner.push(entry, |entry| go_on &= go_on && give(entry));
        } else {
            go_on = go_on && give(entry);
        }
    }
    joiner.finish(|entry| go_on &= go_on && give(entry));
    Ok(backwards.end)
}

/// How far back the pieces of a line are looked for.
const MAX_LOOK_BACK_BYTES: u64 = 4 << 20;

/// All entries of a log, the newest first.
pub(crate) struct Backwards<'a> {
    dir: &'a Path,
    numbers: &'a [u64],
    lines: Option<LinesFromEnd>,
    /// Where the log ended when this began.
    pub(crate) end: Position,
    /// Bytes given so far.
    pub(crate) read: u64,
}

impl<'a> Backwards<'a> {
    pub(crate) fn new(dir: &'a Path, numbers: &'a [u64]) -> Self {
        Self { dir, numbers, lines: None, end: Position::default(), read: 0 }
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            if self.lines.is_none() {
                let Some((&number, rest)) = self.numbers.split_last() else { return Ok(None) };
                self.numbers = rest;
                let Some(file) = open(self.dir, number)? else { continue };
                let mut lines = LinesFromEnd::new(file)?;
                if self.end == Position::default() {
                    self.end = Position { file: number, offset: lines.whole()? };
                }
                self.lines = Some(lines);
            }
            let Some(lines) = &mut self.lines else { continue };
            match lines.next()? {
                Some(line) => {
                    self.read += line.len() as u64 + 1;
                    if let Some(entry) = Entry::parse(&line) {
                        return Ok(Some(entry));
                    }
                }
                None => self.lines = None,
            }
        }
    }
}

fn open(dir: &Path, number: u64) -> io::Result<Option<File>> {
    match File::open(path(dir, number)) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Entries of one file, the oldest first, with the offset behind the last one.
pub(crate) struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    /// Behind the last whole line.
    pub(crate) offset: u64,
}

impl<R: io::Read> Lines<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from: BufReader::with_capacity(64 << 10, from), line: Vec::new(), offset: 0 }
    }

    /// The next entry; `None` at the end, or before a line whose end is not written yet.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        loop {
            self.line.clear();
            let mut length = 0;
            loop {
                let available = self.from.fill_buf()?;
                if available.is_empty() {
                    return Ok(None);
                }
                let newline = memchr::memchr(b'\n', available);
                let taken = newline.map_or(available.len(), |end| end + 1);
                if self.line.len() < MAX_ENTRY_BYTES {
                    self.line.extend_from_slice(&available[..newline.unwrap_or(taken)]);
                }
                self.from.consume(taken);
                length += taken as u64;
                if newline.is_some() {
                    break;
                }
            }
            self.offset += length;
            if let Some(entry) = Entry::parse(&self.line) {
                return Ok(Some(entry));
            }
        }
    }
}
