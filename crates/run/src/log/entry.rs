//! One line of a log file.

use super::Stamp;
use super::stamp::STAMP_BYTES;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The service, on its standard output.
    Stdout,
    /// The service, on its standard error.
    Stderr,
    /// pipd itself: where runs begin and end, and what was lost.
    Pipd,
}

impl Stream {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stdout, Self::Stderr, Self::Pipd];

    /// As written in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Pipd => "pipd",
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
            Self::Pipd => 2,
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name().as_bytes() == name)
    }
}

/// One line of a log file, or, joined, one line of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was read from the service.
    pub at: Stamp,
    /// Who said it.
    pub stream: Stream,
    /// The line goes on in the next entry of the same stream.
    pub partial: bool,
    /// Its bytes, as they came.
    pub text: Vec<u8>,
}

impl Entry {
    /// Reads one line of a log file, without its newline. `None` for what no writer of ours wrote.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let at = Stamp::parse(line.get(..STAMP_BYTES)?)?;
        let rest = line[STAMP_BYTES..].strip_prefix(b" ")?;
        let name_end = rest.iter().take(8).position(|&byte| byte == b' ')?;
        let stream = Stream::named(&rest[..name_end])?;
        let (partial, text) = match &rest[name_end..] {
            [b' ', b'F', b' ', text @ ..] => (false, text),
            [b' ', b'P', b' ', text @ ..] => (true, text),
            _ => return None,
        };
        Some(Self { at, stream, partial, text: text.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ours_are_read() {
        let entry = Entry::parse(b"2026-11-22T18:07:59.123456789Z stderr P a  b\r").unwrap();
        assert_eq!((entry.stream, entry.partial, &entry.text[..]), (Stream::Stderr, true, &b"a  b\r"[..]));
        let empty = Entry::parse(b"2026-11-22T18:07:59.123456789Z pipd F ").unwrap();
        assert_eq!((empty.stream, empty.partial, &empty.text[..]), (Stream::Pipd, false, &b""[..]));
    }

    #[test]
    fn garbage_is_none() {
        for line in [
            "",
            "hello",
            "2026-11-22T18:07:59.123456789Z stdin F x",
            "2026-11-22T18:07:59.123456789Z stdout X x",
            "2026-11-22T18:07:59.123456789Z stdout F",
        ] {
            assert_eq!(Entry::parse(line.as_bytes()), None, "{line}");
        }
    }
}
