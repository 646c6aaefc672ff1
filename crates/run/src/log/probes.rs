//! Which access lines of a log are pipd's own.
//!
//! Whoever asks a service by HTTP notes the moment and the local port of the connection before it sends the
//! question, and again when it has the answer. A server that logs who asked (`127.0.0.1:43210 - "GET / HTTP/1.1"`)
//! logs that port, and while the connection lives nobody else can have it: so a reader can leave out exactly these
//! lines.
//!
//! A server that logs no port (`127.0.0.1 - - [date] "GET / HTTP/1.0" 200 -`) mostly logs the version of the protocol.
//! Ours is [`VERSION`], which no browser, no curl and no test client has spoken for decades: one such line for each
//! question, at its time, for its path, is left out. One that logs neither is always shown.
//!
//! Must never: leave out a line that names another port, another path, another version, another client or another
//! time; or two lines for one question.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Entry, Stamp};

/// What pipd says it speaks when it asks. It also keeps an answer in one piece.
pub const VERSION: &str = "HTTP/1.0";

/// What it calls itself.
pub const AGENT: &str = "pipd";

/// Size at which a new file is begun; the one before it is kept. Some weeks of questions every ten seconds.
const FILE_BYTES: u64 = 4 << 20;

/// How long after its answer a question may still turn up in the log, in milliseconds.
const AFTER_ANSWER_MS: i64 = 1_000;

/// How long a question without an answer may turn up, in milliseconds: it waits in the backlog of a server that is
/// broken until somebody mends it.
const UNANSWERED_MS: i64 = 3_600_000;

/// The same where no port proves whose a line is.
const UNPROVEN_MS: i64 = 60_000;

/// A little more than two clocks read at the same moment may differ, in milliseconds.
const TOLERANCE_MS: i64 = 5;

/// The files, beside the log's own.
fn path(dir: &Path) -> PathBuf {
    dir.join("probes")
}

fn older(dir: &Path) -> PathBuf {
    dir.join("probes.1")
}

/// One question on its way.
#[derive(Debug)]
pub struct Probe {
    dir: PathBuf,
    port: u16,
}

impl Probe {
    /// Notes a question for `what` (the path in the request line) that will be sent from the local `port`. To be
    /// called before it is sent, so that no reader meets its line first.
    ///
    /// # Errors
    /// When the note cannot be written; the line will then be shown.
    pub fn begin(dir: &Path, at_ms: i64, port: u16, what: &str) -> io::Result<Self> {
        append(dir, &format!("{at_ms} {port} {what}\n"))?;
        Ok(Self { dir: dir.to_owned(), port })
    }

    /// Notes that the server has answered.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn answered(self, at_ms: i64) -> io::Result<()> {
        append(&self.dir, &format!("{at_ms} {}\n", self.port))
    }
}

fn append(dir: &Path, line: &str) -> io::Result<()> {
    let path = path(dir);
    if fs::metadata(&path).is_ok_and(|data| data.len() >= FILE_BYTES) {
        fs::rename(&path, older(dir))?;
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    file.write_all(line.as_bytes())
}

/// What was asked from one port at one time.
#[derive(Debug)]
struct Question {
    begin_ms: i64,
    /// Until when its line may come.
    end_ms: i64,
    path: Box<[u8]>,
    /// The line without a port that was taken for its trace.
    trace: Option<Stamp>,
}

impl Question {
    fn is_for(&self, at_ms: i64) -> bool {
        at_ms >= self.begin_ms - TOLERANCE_MS && at_ms <= self.end_ms
    }
}

/// The questions that were noted, for a reader of the log.
#[derive(Debug)]
pub(crate) struct Questions {
    dir: PathBuf,
    by_port: HashMap<u16, Vec<Question>>,
    /// When one was asked, from which port, and which of that port's it is; in the order of the notes.
    by_time: Vec<(i64, u16, usize)>,
    /// Bytes of the current file that were read, and which file that was.
    taken: (u64, u64),
}

impl Questions {
    pub(crate) fn of(dir: &Path) -> Self {
        let mut all =
            Self { dir: dir.to_owned(), by_port: HashMap::new(), by_time: Vec::new(), taken: (0, 0) };
        if let Ok(bytes) = fs::read(older(dir)) {
            all.take(&bytes);
        }
        all.look_again();
        all
    }

    /// Whether this line is the trace of a question of pipd's own.
    pub(crate) fn caused(&mut self, entry: &Entry) -> bool {
        // Nearly every line ends here: it names no client.
        let Some((port, rest)) = client(&entry.text) else {
            let Some(path) = unnamed(&entry.text) else { return false };
            return self.claims(path, entry) || (self.look_again() && self.claims(path, entry));
        };
        if self.knows(port, rest, entry) {
            return true;
        }
        // A reader that follows: the question may be newer than the last look.
        self.look_again() && self.knows(port, rest, entry)
    }

    fn knows(&self, port: u16, rest: &[u8], entry: &Entry) -> bool {
        let at_ms = entry.at.as_ms();
        self.by_port.get(&port).is_some_and(|questions| {
            questions.iter().rev().any(|question| question.is_for(at_ms) && asks_for(rest, &question.path))
        })
    }

    /// Takes a line without a port for the trace of a question, if one of that time has none yet.
    fn claims(&mut self, path: &[u8], entry: &Entry) -> bool {
        let at_ms = entry.at.as_ms();
        let end = self.by_time.partition_point(|(begin, ..)| *begin <= at_ms + TOLERANCE_MS);
        let recent = self.by_time[..end].iter().rev();
        for &(_, port, index) in recent.take_while(|(begin, ..)| at_ms - begin <= UNPROVEN_MS) {
            let Some(question) = self.by_port.get_mut(&port).and_then(|all| all.get_mut(index)) else {
                continue;
            };
            if question.is_for(at_ms)
                && *question.path == *path
                && *question.trace.get_or_insert(entry.at) == entry.at
            {
                return true;
            }
        }
        false
    }

    /// Reads what was noted since; false when that is nothing.
    fn look_again(&mut self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let Ok(mut file) = File::open(path(&self.dir)) else { return false };
        let Ok(found) = file.metadata() else { return false };
        let from = if found.ino() == self.taken.1 { self.taken.0 } else { 0 };
        if found.len() <= from {
            return false;
        }
        let mut bytes = Vec::new();
        let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes));
        // A line whose end is not written yet is for the next look.
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        self.take(&bytes[..whole]);
        self.taken = (from + whole as u64, found.ino());
        read.is_ok() && whole > 0
    }

    fn take(&mut self, bytes: &[u8]) {
        for line in bytes.split(|&byte| byte == b'\n') {
            let mut words = line.splitn(3, |&byte| byte == b' ');
            let (Some(at_ms), Some(port)) = (number(words.next()), number(words.next())) else { continue };
            let Ok(port) = u16::try_from(port) else { continue };
            let questions = self.by_port.entry(port).or_default();
            match words.next() {
                Some(path) => {
                    // The port has a new owner: the question before was settled, whatever became of it.
                    if let Some(last) = questions.last_mut() {
                        last.end_ms = last.end_ms.min(at_ms);
                    }
                    let (begin_ms, end_ms) = (at_ms, at_ms.saturating_add(UNANSWERED_MS));
                    self.by_time.push((at_ms, port, questions.len()));
                    questions.push(Question { begin_ms, end_ms, path: path.into(), trace: None });
                }
                None => {
                    if let Some(last) = questions.last_mut() {
                        last.end_ms = last.end_ms.min(at_ms.saturating_add(AFTER_ANSWER_MS));
                    }
                }
            }
        }
    }
}

fn number(word: Option<&[u8]>) -> Option<i64> {
    std::str::from_utf8(word?).ok()?.parse().ok()
}

/// The port of the loopback client that a line names, and what follows it.
fn client(text: &[u8]) -> Option<(u16, &[u8])> {
    let (at, length) = ["127.0.0.1:", "::1:", "[::1]:"]
        .iter()
        .find_map(|name| Some((memchr::memmem::find(text, name.as_bytes())?, name.len())))?;
    let rest = &text[at + length..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let port = number(Some(&rest[..digits]))?;
    Some((u16::try_from(port).ok()?, &rest[digits..]))
}

/// The path of a request in [`VERSION`], where nothing in the line speaks against its being ours.
fn unnamed(text: &[u8]) -> Option<&[u8]> {
    let version = memchr::memmem::find(text, VERSION.as_bytes())?;
    let begin = memchr::memmem::find(&text[..version], b"GET ")? + 4;
    let path = text[begin..version].strip_suffix(b" ")?;
    // Some name the agent, between quotes as the request is.
    let rest = &text[version + VERSION.len()..];
    let quoted = memchr::memchr_iter(b'"', rest).count() > 1;
    let agent = format!("\"{AGENT}\"");
    if quoted && memchr::memmem::find(rest, agent.as_bytes()).is_none() {
        return None;
    }
    let words = text[..begin].split(|&byte| matches!(byte, b' ' | b'[' | b']' | b'(' | b')' | b',' | b'"'));
    let mut addresses = words.filter_map(|word| std::str::from_utf8(word).ok()?.parse::<IpAddr>().ok());
    addresses.all(|address| address.to_canonical().is_loopback()).then_some(path)
}

/// Whether a request line for this path is there.
fn asks_for(text: &[u8], path: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(text, b"GET ") else { return false };
    text[at + 4..].strip_prefix(path).is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b' '))
}

#[cfg(test)]
mod tests {
    use super::super::{Stamp, Stream};
    use super::*;

    fn line(at_ms: i64, text: &str) -> Entry {
        Entry { at: Stamp::from_ms(at_ms), stream: Stream::Stdout, partial: false, text: text.into() }
    }

    fn access(at_ms: i64, port: u16, path: &str) -> Entry {
        line(at_ms, &format!("INFO:     127.0.0.1:{port} - \"GET {path} HTTP/1.1\" 200 OK"))
    }

    #[test]
    fn a_line_is_ours_by_port_path_and_time() {
        let place = tempfile::tempdir().unwrap();
        let mut questions = Questions::of(place.path());
        assert!(!questions.caused(&access(1_000, 43210, "/")), "nothing was asked");
        let probe = Probe::begin(place.path(), 1_000, 43210, "/").unwrap();
        assert!(questions.caused(&access(1_001, 43210, "/")), "noted after the reader began");
        for other in [
            access(1_001, 43211, "/"),
            access(1_001, 4321, "/"),
            access(1_001, 43210, "/x"),
            access(900, 43210, "/"),
            line(1_001, "INFO:     127.0.0.1:43210 - \"POST / HTTP/1.1\" 200 OK"),
            line(1_001, "INFO:     192.168.0.7:43210 - \"GET / HTTP/1.1\" 200 OK"),
            line(1_001, "127.0.0.1 - - \"GET / HTTP/1.1\" 200 -"),
            line(1_001, "listening on 127.0.0.1:43210"),
        ] {
            assert!(!questions.caused(&other), "{}", String::from_utf8_lossy(&other.text));
        }
        // One that nobody answered waits in the backlog of a broken server.
        assert!(questions.caused(&access(1_500_000, 43210, "/")));
        probe.answered(1_010).unwrap();
        let mut questions = Questions::of(place.path());
        assert!(questions.caused(&access(1_011, 43210, "/")));
        assert!(!questions.caused(&access(2_500, 43210, "/")), "the port is somebody else's by now");
    }

    #[test]
    fn ipv6_and_mapped_addresses_are_known() {
        let place = tempfile::tempdir().unwrap();
        Probe::begin(place.path(), 1_000, 50000, "/health").unwrap();
        let mut questions = Questions::of(place.path());
        for client in ["::1:50000", "[::1]:50000", "::ffff:127.0.0.1:50000"] {
            assert!(
                questions.caused(&line(1_000, &format!("{client} - \"GET /health HTTP/1.1\" 404"))),
                "{client}"
            );
        }
    }

    #[test]
    fn where_no_port_is_logged_one_line_of_our_version_is_left_out_for_each_question() {
        let place = tempfile::tempdir().unwrap();
        let plain = |at_ms, path: &str, version: &str| {
            line(at_ms, &format!("127.0.0.1 - - [22/Nov/2026 18:07:59] \"GET {path} HTTP/{version}\" 200 -"))
        };
        let mut questions = Questions::of(place.path());
        assert!(!questions.caused(&plain(1_001, "/", "1.0")), "nothing was asked");
        Probe::begin(place.path(), 1_000, 43210, "/").unwrap().answered(1_010).unwrap();
        for other in [
            plain(1_001, "/", "1.1"),
            plain(1_001, "/x", "1.0"),
            plain(900, "/", "1.0"),
            plain(2_500, "/", "1.0"),
            line(1_001, "192.168.0.7 - - [date] \"GET / HTTP/1.0\" 200 -"),
            line(1_001, "[::ffff:10.0.0.1] \"GET / HTTP/1.0\" 200 -"),
            line(1_001, "127.0.0.1 - - [date] \"GET / HTTP/1.0\" 200 5 \"-\" \"ApacheBench/2.3\""),
            line(1_001, "127.0.0.1 - - [date] \"POST / HTTP/1.0\" 200 -"),
        ] {
            assert!(!questions.caused(&other), "{}", String::from_utf8_lossy(&other.text));
        }
        let trace = plain(1_002, "/", "1.0");
        assert!(questions.caused(&trace));
        assert!(questions.caused(&trace), "whoever reads it twice");
        assert!(!questions.caused(&plain(1_003, "/", "1.0")), "the second one is somebody else's");
        // Django names no client, gunicorn names the agent.
        for text in [
            "[22/Nov/2026 18:07:59] \"GET / HTTP/1.0\" 200 123",
            "::1 - - [date] \"GET / HTTP/1.0\" 200 5 \"-\" \"pipd\"",
        ] {
            assert!(Questions::of(place.path()).caused(&line(1_002, text)), "{text}");
        }
    }

    #[test]
    fn the_notes_are_bounded_and_damage_is_skipped() {
        let place = tempfile::tempdir().unwrap();
        fs::write(path(place.path()), "x".repeat(usize::try_from(FILE_BYTES).unwrap()) + "\n7 x /\n")
            .unwrap();
        Probe::begin(place.path(), 1_000, 43210, "/").unwrap();
        assert!(fs::metadata(path(place.path())).unwrap().len() < 100);
        assert!(Questions::of(place.path()).caused(&access(1_000, 43210, "/")));
    }
}
