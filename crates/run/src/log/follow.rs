//! Reading on while a log grows, over rotations.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::files::{numbers, path};
use super::join::Joiner;
use super::probes::Questions;
use super::read::Lines;
use super::{Entry, Query};

/// A place in a log: everything before it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Number of the file; 0 before the first.
    pub file: u64,
    /// Bytes into it.
    pub offset: u64,
}

/// Reads what is new. Does nothing by itself: call [`Follower::poll`] as often as news is wanted, every
/// 100 ms for a person.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    query: Query,
    at: Position,
    open: Option<File>,
    joiner: Joiner,
    questions: Option<Questions>,
}

impl Follower {
    /// Follows the log in `dir` from a position that [`super::read`] returned; from its beginning with the
    /// default position. `last` of the query means nothing here.
    pub fn new(dir: &Path, query: Query, from: Position) -> Self {
        let questions = query.questions(dir);
        Self { dir: dir.to_owned(), query, at: from, open: None, joiner: Joiner::default(), questions }
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        self.at
    }

    /// Gives every line that is new since the last call, until `give` answers `false`.
    ///
    /// # Errors
    /// When a file that is there cannot be read. The position stays: calling again is right.
    pub fn poll(&mut self, mut give: impl FnMut(Entry) -> bool) -> io::Result<()> {
        loop {
            // Looked at before reading: once a next file exists, nothing is written to this one any more.
            let next = self.next_file()?;
            if !self.read_current(&mut give)? {
                return Ok(());
            }
            match next {
                Some(number) => {
                    self.at = Position { file: number, offset: 0 };
                    self.open = None;
                }
                None => return Ok(()),
            }
        }
    }

    /// The file after the current one. No listing while the current one is where it was and alone.
    fn next_file(&self) -> io::Result<Option<u64>> {
        if self.at.file != 0 {
            match std::fs::metadata(path(&self.dir, self.at.file + 1)) {
                Ok(_) => return Ok(Some(self.at.file + 1)),
                Err(_) if self.is_in_place() => return Ok(None),
                Err(_) => {}
            }
        }
        Ok(numbers(&self.dir)?.into_iter().find(|&number| number > self.at.file))
    }

    fn is_in_place(&self) -> bool {
        let Some(Ok(open)) = self.open.as_ref().map(File::metadata) else { return false };
        std::fs::metadata(path(&self.dir, self.at.file))
            .is_ok_and(|found| (found.dev(), found.ino()) == (open.dev(), open.ino()))
    }

    /// Reads to the end of the current file; whether to go on.
    fn read_current(&mut self, give: &mut impl FnMut(Entry) -> bool) -> io::Result<bool> {
        if self.open.is_none() && self.at.file != 0 {
            self.open = match File::open(path(&self.dir, self.at.file)) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
        let Some(file) = &mut self.open else { return Ok(true) };
        let length = file.metadata()?.len();
        if length == self.at.offset {
            return Ok(true);
        }
        if length < self.at.offset {
            self.at.offset = 0; // somebody emptied it
        }
        file.seek(SeekFrom::Start(self.at.offset))?;
        let begin = self.at.offset;
        let mut lines = Lines::new(file.take(length - begin));
        let mut go_on = true;
        while go_on && let Some(entry) = lines.next()? {
            self.at.offset = begin + lines.offset;
            let own = |questions: &mut Questions| questions.caused(&entry);
            if !self.query.wants(&entry) || self.questions.as_mut().is_some_and(own) {
                continue;
            }
            if self.query.join {
                self.joiner.push(entry, |entry| go_on &= go_on && give(entry));
            } else {
                go_on = give(entry);
            }
        }
        self.at.offset = begin + lines.offset;
        Ok(go_on)
    }
}
