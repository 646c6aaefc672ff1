//! What the shim has read from a service and not yet logged, in a file mapped into memory: it is still there
//! after SIGKILL, and the successor logs it exactly once.
//!
//! Only one process uses a spool at a time (it holds the run's lock), so nothing is synchronised between
//! processors. What counts is the order of stores as one thread makes them: SIGKILL falls between two
//! instructions, and every store before it is in the page cache. The compiler is kept from reordering by
//! fences.
//!
//! Every step is written down before it is done, and the phase word is set last:
//!
//! | phase  | written down                       | a successor                                               |
//! |--------|------------------------------------|-----------------------------------------------------------|
//! | IDLE   |                                    | goes on                                                   |
//! | READ   | stream, bytes expected, where to   | the nonce is gone from there: they were read, counts them |
//! | APPEND | stream, bytes, where               | counts them: they were put before the phase was set       |
//! | WRITE  | stream, bytes, stamp, file, offset | formats the same and writes it to the same place again    |
//! | NOTICE | lines lost, stamp, file, offset    | the same with the notice of a loss                        |
//!
//! **READ.** A successor must know whether `read` returned before the kill. There is one reader, so a read of
//! what FIONREAD promised returns exactly that much. The place is filled with bytes that occur in no UTF-8
//! text before; if they are still there, nothing was read.

use std::io;
use std::path::Path;
use std::sync::atomic::{Ordering, compiler_fence};

use os::mapping::SharedMapping;

use super::format::{PIECE_BYTES, Tail};
use super::nonce::{NONCE_BYTES, Nonces};
use super::window::Window;
use super::{Stamp, Stream, fault};

/// Most bytes read at once: what a pipe holds.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// The header, then the marks' buffer in the same page, then a buffer per stream of the service.
const HEADER_BYTES: usize = 4 << 10;
const MARKS_AT: usize = 2 << 10;
/// A carry that overlaps its destination is not moved, so there must be room for a read behind two carries.
const BUFFER_BYTES: usize = READ_BYTES + 2 * PIECE_BYTES;

/// Size of a spool, in bytes. Only the pages that are used cost memory.
pub const SPOOL_BYTES: usize = size(BUFFER_BYTES);

/// Bytes of a page, at least.
const PAGE_BYTES: usize = 4 << 10;

/// Size of a spool whose streams have so much room each.
pub(crate) const fn size(buffer: usize) -> usize {
    HEADER_BYTES + 2 * buffer
}

const MAGIC: u64 = u64::from_le_bytes(*b"pipdspl1");

/// Words of the header, by index.
mod word {
    pub(super) const MAGIC: usize = 0;
    pub(super) const PHASE: usize = 1;
    pub(super) const STREAM: usize = 2;
    pub(super) const AMOUNT: usize = 3;
    pub(super) const PLACE: usize = 4;
    pub(super) const STAMP: usize = 5;
    pub(super) const FILE: usize = 6;
    pub(super) const OFFSET: usize = 7;
    pub(super) const TAIL: usize = 8;
    pub(super) const OPEN_BEFORE: usize = 9;
    pub(super) const LOST_BEFORE: usize = 10;
    pub(super) const LOST: usize = 11;
    pub(super) const ERRNO: usize = 12;
    pub(super) const MARKS: usize = 13;
    pub(super) const MARK: usize = 14;
    pub(super) const NOTES: usize = 15;
    pub(super) const WINDOWS: usize = 16; // one per stream
    pub(super) const NONCE: usize = 24; // four
    pub(super) const COUNT: usize = 28;
}

/// A batch of entries about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) stream: Stream,
    pub(crate) consumed: usize,
    pub(crate) open_before: bool,
    pub(crate) tail: Tail,
    pub(crate) stamp: Stamp,
    pub(crate) file: u64,
    pub(crate) offset: u64,
    pub(crate) lost_before: u64,
}

/// A step that was under way when the predecessor died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// Write the batch again.
    Write(Batch),
    /// Write the notice of a loss again.
    Notice(Batch),
}

enum Memory {
    Shared(SharedMapping),
    /// Where the disk has no room for a spool: better a log that does not survive a SIGKILL than none.
    Private {
        words: Vec<u64>,
        bytes: Vec<u8>,
    },
}

/// See the module.
pub(crate) struct Spool {
    memory: Memory,
    /// Room of each stream, in bytes.
    buffer: usize,
    nonces: Nonces,
}

impl Spool {
    /// The spool at `path`: the predecessor's where there is one, else a new one.
    ///
    /// # Errors
    /// When a new one cannot be made.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Self::open_sized(path, BUFFER_BYTES)
    }

    /// The same with room for `buffer` bytes of each stream.
    pub(crate) fn open_sized(path: &Path, buffer: usize) -> io::Result<Self> {
        let mut begun = std::fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() > 0);
        if let Ok(mapping) = SharedMapping::open(path)
            && mapping.bytes().len() == size(buffer)
        {
            let spool = Self::new(Memory::Shared(mapping), buffer);
            if spool.get(word::MAGIC) == MAGIC && spool.is_sound() {
                return Ok(spool);
            }
            // Made and not begun: whoever made it died in that instant.
            begun = spool.get(word::MAGIC) != 0;
        }
        // Another length, or numbers that cannot be: a disk lied. Whoever knows better may find lines in it.
        if begun {
            let _ = crate::record::set_aside(path);
        }
        let mut spool = Self::new(Memory::Shared(SharedMapping::create(path, size(buffer))?), buffer);
        spool.set(word::MAGIC, MAGIC);
        Ok(spool)
    }

    /// A spool that dies with the process.
    pub(crate) fn private() -> Self {
        Self::private_sized(BUFFER_BYTES)
    }

    /// The same with room for `buffer` bytes of each stream.
    pub(crate) fn private_sized(buffer: usize) -> Self {
        Self::new(Memory::Private { words: vec![0; word::COUNT], bytes: vec![0; size(buffer)] }, buffer)
    }

    fn new(memory: Memory, buffer: usize) -> Self {
        Self { memory, buffer, nonces: Nonces::new() }
    }

    /// Whether `stream` has no room left behind what is pending.
    pub(crate) fn is_full(&self, stream: Stream) -> bool {
        self.window(stream).range().end >= self.capacity(stream)
    }

    /// Says whether the line that goes on here has pieces that are logged already.
    pub(crate) fn set_open(&mut self, stream: Stream, open: bool) {
        let window = self.window(stream);
        self.set(word::WINDOWS + stream.index(), Window { open, ..window }.pack());
    }

    /// Forgets what is pending of `stream` behind its last whole line, and says whether there was any.
    pub(crate) fn cut(&mut self, stream: Stream) -> bool {
        let window = self.window(stream);
        let whole = memchr::memrchr(b'\n', self.pending(stream)).map_or(0, |end| end + 1);
        self.set(word::WINDOWS + stream.index(), Window { len: whole, ..window }.pack());
        whole < window.len
    }

    /// Whether a mark is there that is made once.
    pub(crate) fn is_marked(&self, bit: u32) -> bool {
        self.get(word::MARKS) & 1 << bit != 0
    }

    /// Makes it.
    pub(crate) fn mark(&mut self, bit: u32) {
        self.set(word::MARKS, self.get(word::MARKS) | 1 << bit);
    }

    /// Counts lines as lost.
    pub(crate) fn set_lost(&mut self, lost: u64) {
        self.set(word::LOST, lost);
    }

    /// Bytes of `stream` that are read and not logged.
    pub(crate) fn pending(&self, stream: Stream) -> &[u8] {
        &self.buffer(stream)[self.window(stream).range()]
    }

    pub(crate) fn window(&self, stream: Stream) -> Window {
        Window::unpack(self.get(word::WINDOWS + stream.index()))
    }

    /// Writes down that up to `available` bytes of `stream` will be read, and gives the place for them.
    pub(crate) fn begin_read(&mut self, stream: Stream, available: usize) -> &mut [u8] {
        self.compact(stream);
        let place = self.window(stream).range().end;
        let amount = available.min(READ_BYTES).min(self.capacity(stream) - place);
        let nonce = self.nonces.next();
        for (index, chunk) in nonce.chunks_exact(8).enumerate() {
            let bytes = chunk.try_into().unwrap_or_default();
            self.set(word::NONCE + index, u64::from_le_bytes(bytes));
        }
        let marked = amount.min(NONCE_BYTES);
        self.buffer_mut(stream)[place..place + marked].copy_from_slice(&nonce[..marked]);
        self.describe(stream, amount, place);
        self.set(word::PHASE, phase::READ);
        let place = &mut self.buffer_mut(stream)[place..place + amount];
        // Every page is made writable now. On a disk that stands still that takes until it goes on, and `read` would
        // wait for it with the pipe locked, which the service waits for, too.
        let last = place.len().saturating_sub(1).max(NONCE_BYTES);
        for at in (NONCE_BYTES..last).step_by(PAGE_BYTES).chain([last]) {
            if let Some(byte) = place.get_mut(at) {
                *std::hint::black_box(byte) = 0;
            }
        }
        place
    }

    /// The read announced is over.
    pub(crate) fn end_read(&mut self, stream: Stream, read: usize) {
        fault::point();
        self.count(stream, read);
        self.set(word::PHASE, phase::IDLE);
    }

    /// Puts a line of pipd's own behind what is pending. `once` names a mark that a run has once: nothing
    /// happens when it is there already.
    pub(crate) fn append_mark(&mut self, line: &[u8], once: Option<u32>) {
        let bit = once.map_or(0, |bit| 1u64 << bit);
        if self.get(word::MARKS) & bit != 0 {
            return;
        }
        self.compact(Stream::Pipd);
        let place = self.window(Stream::Pipd).range().end;
        let amount = line.len().min((self.capacity(Stream::Pipd) - place).saturating_sub(1)) + 1;
        if place + amount > self.capacity(Stream::Pipd) {
            return; // marks that the disk did not take for so long are not worth more memory
        }
        let buffer = &mut self.buffer_mut(Stream::Pipd)[place..place + amount];
        buffer[..amount - 1].copy_from_slice(&line[..amount - 1]);
        buffer[amount - 1] = b'\n';
        self.describe(Stream::Pipd, amount, place);
        self.set(word::MARK, bit);
        self.set(word::PHASE, phase::APPEND);
        self.end_append();
    }

    fn end_append(&mut self) {
        self.count(Stream::Pipd, self.get(word::AMOUNT) as usize);
        self.set(word::MARKS, self.get(word::MARKS) | self.get(word::MARK));
        self.set(word::PHASE, phase::IDLE);
    }

    /// Writes down a batch that is about to be written.
    pub(crate) fn begin_write(&mut self, batch: &Batch, notice: bool) {
        self.describe(batch.stream, batch.consumed, 0);
        self.set(word::STAMP, batch.stamp.0);
        self.set(word::FILE, batch.file);
        self.set(word::OFFSET, batch.offset);
        self.set(word::TAIL, batch.tail.code());
        self.set(word::OPEN_BEFORE, u64::from(batch.open_before));
        self.set(word::LOST_BEFORE, batch.lost_before);
        self.set(word::PHASE, if notice { phase::NOTICE } else { phase::WRITE });
    }

    /// The batch is written, or what is not is counted in `lost`. Until the phase is idle again a successor
    /// would write the batch again, so the window moves in between without harm: the batch starts where it
    /// ends less what is consumed.
    pub(crate) fn end_write(&mut self, next: Option<(Stream, Window)>, lost: u64) {
        self.set(word::LOST, lost);
        match next {
            // The new window and the end of the step must be one store, or the successor would consume twice:
            // the step's stream is written down, the window travels in the phase word.
            Some((_, window)) => {
                self.set(word::PLACE, window.pack());
                self.set(word::PHASE, phase::MOVE);
                self.end_move();
            }
            None => self.set(word::PHASE, phase::IDLE),
        }
    }

    fn end_move(&mut self) {
        let index = (self.get(word::STREAM) as usize).min(2);
        self.set(word::WINDOWS + index, self.get(word::PLACE));
        self.set(word::PHASE, phase::IDLE);
    }

    /// Finishes what can be finished here of a step that was under way, and says what the writer has to do.
    pub(crate) fn recover(&mut self) -> Option<Unfinished> {
        let stream = self.step_stream();
        let amount = self.get(word::AMOUNT) as usize;
        match self.get(word::PHASE) {
            phase::READ => {
                let place = self.get(word::PLACE) as usize;
                let marked = amount.min(NONCE_BYTES);
                let untouched = self.buffer(stream)[place..place + marked] == self.stored_nonce()[..marked];
                self.count(stream, if untouched { 0 } else { amount });
                self.set(word::PHASE, phase::IDLE);
                None
            }
            phase::APPEND => {
                self.end_append();
                None
            }
            phase::MOVE => {
                self.end_move();
                None
            }
            phase::WRITE => Some(Unfinished::Write(self.batch(stream))),
            phase::NOTICE => Some(Unfinished::Notice(self.batch(stream))),
            _ => None,
        }
    }

    /// Lines lost and not yet told of, and the last error number.
    pub(crate) fn lost(&self) -> (u64, i32) {
        (self.get(word::LOST), self.get(word::ERRNO) as i32)
    }

    pub(crate) fn set_errno(&mut self, errno: i32) {
        self.set(word::ERRNO, u64::from(errno.unsigned_abs()));
    }

    /// A word kept for the shim.
    pub(crate) fn note(&self) -> u64 {
        self.get(word::NOTES)
    }

    pub(crate) fn set_note(&mut self, note: u64) {
        self.set(word::NOTES, note);
    }

    fn batch(&self, stream: Stream) -> Batch {
        Batch {
            stream,
            consumed: self.get(word::AMOUNT) as usize,
            open_before: self.get(word::OPEN_BEFORE) == 1,
            tail: Tail::from_code(self.get(word::TAIL)),
            stamp: Stamp(self.get(word::STAMP)),
            file: self.get(word::FILE),
            offset: self.get(word::OFFSET),
            lost_before: self.get(word::LOST_BEFORE),
        }
    }

    fn describe(&mut self, stream: Stream, amount: usize, place: usize) {
        self.set(word::STREAM, stream.index() as u64);
        self.set(word::AMOUNT, amount as u64);
        self.set(word::PLACE, place as u64);
    }

    /// Makes the window of `stream` reach `amount` bytes behind the place written down. The same however
    /// often it is done.
    fn count(&mut self, stream: Stream, amount: usize) {
        let window = self.window(stream);
        let end = self.get(word::PLACE) as usize + amount;
        self.set(word::WINDOWS + stream.index(), Window { len: end - window.start, ..window }.pack());
    }

    /// Moves a carry to the front, where that does not overwrite it: the copy is whole before the window
    /// moves. Keeps a quiet service in the first page of its buffer.
    fn compact(&mut self, stream: Stream) {
        let window = self.window(stream);
        if window.start == 0 || window.len > window.start {
            return;
        }
        self.buffer_mut(stream).copy_within(window.range(), 0);
        fault::point();
        self.set(word::WINDOWS + stream.index(), Window { start: 0, ..window }.pack());
    }

    fn step_stream(&self) -> Stream {
        Stream::ALL[(self.get(word::STREAM) as usize).min(2)]
    }

    /// Whether every number of a predecessor's spool is within bounds. Ours always are; a disk may lie.
    fn is_sound(&self) -> bool {
        let windows =
            Stream::ALL.into_iter().all(|stream| self.window(stream).range().end <= self.capacity(stream));
        let stream = self.step_stream();
        let (amount, place) = (self.get(word::AMOUNT) as usize, self.get(word::PLACE) as usize);
        windows
            && match self.get(word::PHASE) {
                phase::IDLE => true,
                phase::READ | phase::APPEND => {
                    amount <= self.capacity(stream)
                        && place <= self.capacity(stream) - amount
                        && place >= self.window(stream).start
                }
                phase::WRITE | phase::NOTICE => amount <= self.window(stream).len,
                phase::MOVE => Window::unpack(self.get(word::PLACE)).range().end <= self.capacity(stream),
                _ => false,
            }
    }

    fn stored_nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        for (index, chunk) in nonce.chunks_exact_mut(8).enumerate() {
            chunk.copy_from_slice(&self.get(word::NONCE + index).to_le_bytes());
        }
        nonce
    }

    fn get(&self, index: usize) -> u64 {
        match &self.memory {
            Memory::Shared(mapping) => mapping.atomic_u64(index * 8).load(Ordering::Relaxed),
            Memory::Private { words, .. } => words[index],
        }
    }

    fn set(&mut self, index: usize, value: u64) {
        fault::point();
        compiler_fence(Ordering::SeqCst);
        match &mut self.memory {
            Memory::Shared(mapping) => mapping.atomic_u64(index * 8).store(value, Ordering::Relaxed),
            Memory::Private { words, .. } => words[index] = value,
        }
        compiler_fence(Ordering::SeqCst);
    }

    fn capacity(&self, stream: Stream) -> usize {
        place(stream, self.buffer).len()
    }

    fn buffer(&self, stream: Stream) -> &[u8] {
        let bytes = match &self.memory {
            Memory::Shared(mapping) => mapping.bytes(),
            Memory::Private { bytes, .. } => bytes,
        };
        &bytes[place(stream, self.buffer)]
    }

    fn buffer_mut(&mut self, stream: Stream) -> &mut [u8] {
        let bytes = match &mut self.memory {
            Memory::Shared(mapping) => mapping.bytes_mut(),
            Memory::Private { bytes, .. } => bytes,
        };
        &mut bytes[place(stream, self.buffer)]
    }
}

mod phase {
    pub(super) const IDLE: u64 = 0;
    pub(super) const READ: u64 = 1;
    pub(super) const APPEND: u64 = 2;
    pub(super) const WRITE: u64 = 3;
    pub(super) const NOTICE: u64 = 4;
    /// A batch is written; its window is about to move.
    pub(super) const MOVE: u64 = 5;
}

const fn place(stream: Stream, buffer: usize) -> std::ops::Range<usize> {
    match stream {
        Stream::Stdout => HEADER_BYTES..HEADER_BYTES + buffer,
        Stream::Stderr => HEADER_BYTES + buffer..size(buffer),
        Stream::Pipd => MARKS_AT..HEADER_BYTES,
    }
}
