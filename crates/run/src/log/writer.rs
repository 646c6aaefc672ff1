//! The writer of a log, used by the shim and by nobody else. See [`super`].

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use wire::LogSpec;

use super::files::Files;
use super::format::{Formatted, PIECE_BYTES, Tail, entries, format};
use super::spill::Spill;
use super::spool::{Batch, Spool, Unfinished};
use super::{Stamp, Stream, fault};

/// How long the beginning of a line waits for its end before it is logged as a piece.
const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// How long after a loss a quiet service's log is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Largest batch of formatted entries.
const BATCH_BYTES: usize = 192 << 10;
/// The buffer for entries is given back when a service gets quiet.
const KEEP_BYTES: usize = 8 << 10;

/// Where a service's output comes from: a FIFO with one reader.
pub trait Source {
    /// Bytes that a read would return now.
    ///
    /// # Errors
    /// What the system says.
    fn available(&mut self) -> io::Result<usize>;

    /// Reads without waiting.
    ///
    /// # Errors
    /// What the system says.
    fn read(&mut self, place: &mut [u8]) -> io::Result<usize>;
}

/// The read end of a FIFO, not blocking.
#[derive(Debug)]
pub struct Fifo(File);

impl Fifo {
    /// Takes the read end over.
    pub fn new(end: OwnedFd) -> Self {
        Self(end.into())
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Source for Fifo {
    fn available(&mut self) -> io::Result<usize> {
        os::fifo::available(self.0.as_fd())
    }

    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        self.0.read(place)
    }
}

/// What to write, and where.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Folder of the log files; made when it is needed.
    pub dir: &'a Path,
    /// How much is kept.
    pub spec: LogSpec,
    /// The run's spool; made, or taken over from a predecessor.
    pub spool: &'a Path,
    /// Where a predecessor may have left spills; see [`super::Spill::folder`].
    pub spills: Option<&'a Path>,
}

/// A mark that a run has once, however many shims it sees.
const MARK_STARTED: u32 = 0;
const MARK_ENDED: u32 = 1;
/// Of a spill: whether its lines go on from what was read before is said.
const MARK_JOINED: u32 = 2;
/// The error number of a disk that stood still.
const NO_ANSWER: i32 = nix::errno::Errno::ETIMEDOUT as i32;

/// See the module.
pub struct Writer {
    files: Files,
    spool: Spool,
    out: Vec<u8>,
    /// Since when the streams hold the beginning of a line.
    waiting: [Option<Instant>; 2],
    retry_at: Option<Instant>,
    lost_unreported: u64,
}

impl Writer {
    /// Opens the log of a run. What a predecessor had read and not logged is logged before this returns.
    /// Where no spool can be made, output survives everything but a SIGKILL of this process.
    pub fn open(options: Options<'_>) -> Self {
        let spool = Spool::open(options.spool).unwrap_or_else(|_| Spool::private());
        let mut writer = Self {
            files: Files::new(options.dir, options.spec),
            spool,
            out: Vec::new(),
            waiting: [None; 2],
            retry_at: None,
            lost_unreported: 0,
        };
        writer.go_on();
        for stream in Stream::ALL {
            writer.log(stream, Tail::Keep);
        }
        for spill in options.spills.map(Spill::left_behind).into_iter().flatten() {
            writer.absorb(spill);
        }
        writer
    }

    /// Logs what was read elsewhere while this writer hung, behind what it had read before. A death in between costs
    /// and doubles nothing: the spill is there until all of it is logged.
    pub fn absorb(&mut self, mut spill: Spill) {
        spill.close();
        let streams = [Stream::Stdout, Stream::Stderr];
        // A line that was begun here goes on there.
        for stream in streams {
            self.log(stream, Tail::Piece);
        }
        if !spill.spool.is_marked(MARK_JOINED) {
            for stream in streams {
                spill.spool.set_open(stream, self.spool.window(stream).open);
            }
            spill.spool.mark(MARK_JOINED);
        }
        std::mem::swap(&mut self.spool, &mut spill.spool);
        self.go_on();
        for stream in streams {
            self.log(stream, Tail::Piece);
        }
        let dropped = self.spool.note();
        if dropped > 0 {
            self.spool.set_errno(NO_ANSWER);
            self.spool.set_lost(self.spool.lost().0 + dropped);
            self.spool.set_note(0);
            self.lost_unreported += dropped;
            self.tell_of_loss();
        }
        std::mem::swap(&mut self.spool, &mut spill.spool);
        let (untold, errno) = spill.spool.lost();
        if untold > 0 {
            self.spool.set_errno(errno);
            self.spool.set_lost(self.spool.lost().0 + untold);
            self.retry_at = Some(Instant::now() + RETRY_AFTER);
        }
        for stream in streams {
            self.spool.set_open(stream, spill.spool.window(stream).open);
        }
        spill.remove();
    }

    /// Does what was under way when the predecessor died.
    fn go_on(&mut self) {
        match self.spool.recover() {
            Some(Unfinished::Write(batch)) => self.write_again(batch),
            Some(Unfinished::Notice(batch)) => {
                let at = self.files.resume(batch.file, batch.offset);
                self.notice(at, batch.stamp, batch.lost_before);
            }
            None => {}
        }
    }

    /// Reads once from `source` and logs the lines that are whole. 0 when there is nothing to read.
    ///
    /// # Errors
    /// When the source cannot be read; never because of the log.
    pub fn read(&mut self, stream: Stream, source: &mut impl Source) -> io::Result<usize> {
        let available = source.available()?;
        if available == 0 {
            return Ok(0);
        }
        let place = self.spool.begin_read(stream, available);
        let read = loop {
            fault::point();
            match source.read(place) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.spool.end_read(stream, *read.as_ref().unwrap_or(&0));
        let read = match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        self.log(stream, Tail::Keep);
        if read <= KEEP_BYTES && self.out.capacity() > 4 * KEEP_BYTES {
            self.out = Vec::new();
        }
        Ok(read)
    }

    /// Marks where the run begins.
    pub fn started(&mut self, run: u64, pid: i32) {
        self.mark(&format!("run {run} started, pid {pid}"), Some(MARK_STARTED));
    }

    /// Logs what is left of the service's output and marks where the run ends.
    pub fn ended(&mut self, run: u64, how: &str) {
        self.log(Stream::Stdout, Tail::Close);
        self.log(Stream::Stderr, Tail::Close);
        self.mark(&format!("run {run} ended: {how}"), Some(MARK_ENDED));
    }

    /// A line of pipd's own.
    pub fn say(&mut self, text: &str) {
        self.mark(text, None);
    }

    fn mark(&mut self, text: &str, once: Option<u32>) {
        let line: Vec<u8> = text.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }).collect();
        self.spool.append_mark(&line, once);
        self.log(Stream::Pipd, Tail::Keep);
    }

    /// When [`Writer::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let flush = self.waiting.iter().flatten().min().map(|since| *since + FLUSH_AFTER);
        flush.into_iter().chain(self.retry_at).min()
    }

    /// Does what is due: logs the beginning of a line that waited long enough, tries the disk again.
    pub fn tick(&mut self, now: Instant) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            if self.waiting[stream.index()].is_some_and(|since| now >= since + FLUSH_AFTER) {
                self.log(stream, Tail::Flush);
                self.waiting[stream.index()] = None;
            }
        }
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = Some(now + RETRY_AFTER);
            self.tell_of_loss();
        }
    }

    /// Lines lost since the last call.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost_unreported)
    }

    /// A number kept for the shim over its own death.
    pub fn note(&self) -> u64 {
        self.spool.note()
    }

    /// See [`Writer::note`].
    pub fn set_note(&mut self, note: u64) {
        self.spool.set_note(note);
    }

    /// Logs what is pending of `stream`, as far as `tail` says.
    fn log(&mut self, stream: Stream, tail: Tail) {
        let stamp = Stamp::now();
        while self.log_batch(stream, stamp, tail) {}
        if let Some(waiting) = self.waiting.get_mut(stream.index()) {
            *waiting = match self.spool.window(stream).len {
                0 => None,
                _ => waiting.or_else(|| Some(Instant::now())),
            };
        }
    }

    /// One batch; whether there is more.
    fn log_batch(&mut self, stream: Stream, stamp: Stamp, tail: Tail) -> bool {
        // Only look: nothing to log is the common end of the loop and costs no system call.
        let window = self.spool.window(stream);
        let pending = self.spool.pending(stream);
        let whole = memchr::memrchr(b'\n', pending).is_some() || pending.len() > PIECE_BYTES;
        if !whole && (tail == Tail::Keep || (pending.is_empty() && !(window.open && tail == Tail::Close))) {
            return false;
        }
        self.tell_of_loss();
        let mut at = self.files.prepare();
        let mut formatted = self.format(stream, stamp, window.open, tail, self.room(&at));
        if formatted.limited && self.out.is_empty() {
            at = self.files.rotate();
            formatted = self.format(stream, stamp, window.open, tail, self.room(&at));
        }
        if self.out.is_empty() {
            return false;
        }
        let (file, offset) = *at.as_ref().unwrap_or(&(0, 0));
        let batch = Batch {
            stream,
            consumed: formatted.consumed,
            open_before: window.open,
            tail: formatted.again,
            stamp,
            file,
            offset,
            lost_before: self.spool.lost().0,
        };
        self.spool.begin_write(&batch, false);
        self.write(at.map(|_| ()), &batch, formatted);
        true
    }

    fn write_again(&mut self, batch: Batch) {
        let at = self.files.resume(batch.file, batch.offset);
        let pending = self.spool.pending(batch.stream);
        let input = &pending[..batch.consumed.min(pending.len())];
        self.out.clear();
        let formatted = format(
            input,
            batch.stream,
            batch.stamp,
            batch.open_before,
            batch.tail,
            usize::MAX,
            &mut self.out,
        );
        self.write(at.map(|_| ()), &batch, formatted);
    }

    /// Writes what is formatted; what the disk does not take is counted.
    fn write(&mut self, at: io::Result<()>, batch: &Batch, formatted: Formatted) {
        let result = at
            .map_err(|source| (0, source))
            .and_then(|()| self.files.write(&self.out).map_err(|error| (error.written, error.source)));
        let mut open = formatted.open;
        let mut lost = batch.lost_before;
        if let Err((written, error)) = result {
            let kept = entries(&self.out, batch.stream)
                .map(|(end, _)| end)
                .take_while(|&end| end <= written)
                .last()
                .unwrap_or(0);
            let lines = entries(&self.out, batch.stream).filter(|&(end, ends_line)| end > kept && ends_line);
            lost += lines.count() as u64;
            open = false;
            self.files.trim(kept);
            self.failed(&error, lost - batch.lost_before);
        }
        fault::point();
        let next = self.spool.window(batch.stream).after(batch.consumed, open);
        self.spool.end_write(Some((batch.stream, next)), lost);
    }

    fn failed(&mut self, error: &io::Error, lines: u64) {
        self.spool.set_errno(error.raw_os_error().unwrap_or(0));
        self.lost_unreported += lines;
        self.retry_at.get_or_insert_with(|| Instant::now() + RETRY_AFTER);
    }

    /// Says in the log what was lost, once the disk takes it.
    fn tell_of_loss(&mut self) {
        let (lost, _) = self.spool.lost();
        if lost == 0 {
            self.retry_at = None;
            return;
        }
        let mut at = self.files.prepare();
        if at.as_ref().is_ok_and(|&(_, offset)| offset + 256 > self.files.file_bytes()) {
            at = self.files.rotate();
        }
        let Ok((file, offset)) = at else { return };
        let batch = Batch {
            stream: Stream::Pipd,
            consumed: 0,
            open_before: false,
            tail: Tail::Keep,
            stamp: Stamp::now(),
            file,
            offset,
            lost_before: lost,
        };
        self.spool.begin_write(&batch, true);
        self.notice(at, batch.stamp, lost);
    }

    fn notice(&mut self, at: io::Result<(u64, u64)>, stamp: Stamp, lost: u64) {
        let why = match self.spool.lost().1 {
            0 => "the log could not be written".to_owned(),
            NO_ANSWER => "the disk did not answer".to_owned(),
            errno => error_text(&io::Error::from_raw_os_error(errno)),
        };
        let lines = if lost == 1 { "line" } else { "lines" };
        let text = format!("dropped {lost} {lines}: {why}\n");
        self.out.clear();
        format(text.as_bytes(), Stream::Pipd, stamp, false, Tail::Keep, usize::MAX, &mut self.out);
        let written = at.is_ok()
            && match self.files.write(&self.out) {
                Ok(()) => true,
                Err(_) => {
                    self.files.trim(0);
                    false
                }
            };
        self.spool.end_write(None, if written { 0 } else { lost });
        if written {
            self.retry_at = None;
        }
    }

    fn format(&mut self, stream: Stream, stamp: Stamp, open: bool, tail: Tail, room: usize) -> Formatted {
        self.out.clear();
        format(self.spool.pending(stream), stream, stamp, open, tail, room, &mut self.out)
    }

    fn room(&self, at: &io::Result<(u64, u64)>) -> usize {
        let left =
            at.as_ref().map_or(u64::MAX, |(_, offset)| self.files.file_bytes().saturating_sub(*offset));
        usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_BYTES)
    }
}

/// What the system says of an error, for the middle of a sentence: lower case, without its number.
pub fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}
