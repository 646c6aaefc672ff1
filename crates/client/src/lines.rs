//! Bounded lines over a socket, with deadlines. Knows nothing of what the lines say.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use interprocess::local_socket::Stream;
use interprocess::local_socket::traits::Stream as _;

use crate::CallError;

/// First read; most answers fit. Fresh memory costs a page fault for each 4 KiB, which a quick call notices.
const FIRST_CHUNK: usize = 4 << 10;

/// Largest read.
const MAX_CHUNK: usize = 256 << 10;

/// One end of a line protocol.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: Stream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already handed out.
    taken: usize,
    /// Bytes of `buffer` known to hold no further newline.
    searched: usize,
    /// The receive timeout the socket has now: setting it anew costs a system call.
    timeout: Option<Duration>,
}

/// What a read came to.
#[derive(Debug)]
pub(crate) enum Received {
    /// A line without its newline.
    Line(Vec<u8>),
    /// The deadline passed; what has come so far is kept.
    Nothing,
}

impl Lines {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, buffer: Vec::new(), taken: 0, searched: 0, timeout: None }
    }

    /// Writes whole lines, newlines included.
    pub(crate) fn send(&mut self, lines: &[u8], timeout: Duration) -> Result<(), CallError> {
        self.stream.set_send_timeout(Some(timeout)).map_err(CallError::Io)?;
        (&self.stream).write_all(lines).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => CallError::Timeout(timeout),
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::WriteZero
            | io::ErrorKind::NotConnected => CallError::Gone,
            _ => CallError::Io(error),
        })
    }

    /// The next line, waited for until `deadline`, or for ever.
    pub(crate) fn receive(&mut self, deadline: Option<Instant>) -> Result<Received, CallError> {
        loop {
            if let Some(line) = self.take_line()? {
                return Ok(Received::Line(line));
            }
            let left = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    // A zero timeout would mean "for ever" to the socket.
                    Some(left) if left > Duration::from_micros(100) => Some(left),
                    _ => return Ok(Received::Nothing),
                },
            };
            self.set_timeout(left)?;
            if !self.fill()? {
                return Ok(Received::Nothing);
            }
        }
    }

    /// Reads what is there; false when the timeout passed.
    fn fill(&mut self) -> Result<bool, CallError> {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.searched -= self.taken;
            self.taken = 0;
        }
        let old = self.buffer.len();
        self.buffer.resize(old + old.clamp(FIRST_CHUNK, MAX_CHUNK), 0);
        let result = (&self.stream).read(&mut self.buffer[old..]);
        self.buffer.truncate(old + *result.as_ref().unwrap_or(&0));
        match result {
            Ok(0) => Err(CallError::Gone),
            Ok(_) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(false),
                io::ErrorKind::Interrupted => Ok(true),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => {
                    Err(CallError::Gone)
                }
                _ => Err(CallError::Io(error)),
            },
        }
    }

    fn take_line(&mut self) -> Result<Option<Vec<u8>>, CallError> {
        if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
            let end = self.searched + at;
            if self.taken == 0 && end + 1 == self.buffer.len() {
                // A whole buffer of one line, perhaps a long one, is handed out and not copied.
                self.searched = 0;
                self.buffer.pop();
                return Ok(Some(std::mem::take(&mut self.buffer)));
            }
            let line = self.buffer[self.taken..end].to_vec();
            self.taken = end + 1;
            self.searched = self.taken;
            return Ok(Some(line));
        }
        self.searched = self.buffer.len();
        if self.buffer.len() - self.taken > wire::MAX_LINE_BYTES {
            return Err(CallError::Garbage(format!("a line of more than {} bytes", wire::MAX_LINE_BYTES)));
        }
        Ok(None)
    }

    fn set_timeout(&mut self, left: Option<Duration>) -> Result<(), CallError> {
        // Deadlines move by microseconds between calls; only a real difference is worth a system call.
        let near = |a: Duration, b: Duration| a.abs_diff(b) < Duration::from_millis(20);
        let same = match (self.timeout, left) {
            (None, None) => true,
            (Some(now), Some(wanted)) => near(now, wanted) && wanted > Duration::from_millis(200),
            _ => false,
        };
        if !same {
            self.stream.set_recv_timeout(left).map_err(CallError::Io)?;
            self.timeout = left;
        }
        Ok(())
    }
}
