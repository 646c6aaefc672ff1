//! From bytes of a service to entries of its log, the same every time: a successor formats again what its
//! predecessor was writing when it was killed, and must arrive at the same bytes.

use super::stamp::STAMP_BYTES;
use super::{Stamp, Stream};

/// Longest text of one entry, in bytes; a longer line becomes pieces (`P … P F`).
pub(crate) const PIECE_BYTES: usize = 16 << 10;

/// What to do with bytes after the last newline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Leave them: the line goes on. Pieces longer than [`PIECE_BYTES`] are taken.
    Keep,
    /// Log them as a piece, but leave an unfinished UTF-8 character.
    Flush,
    /// Log all of them as a piece.
    Piece,
    /// Log all of them as the end of the line; ends also a line whose pieces are all logged.
    Close,
}

impl Tail {
    pub(crate) const fn code(self) -> u64 {
        match self {
            Self::Keep => 0,
            Self::Flush => 1,
            Self::Piece => 2,
            Self::Close => 3,
        }
    }

    pub(crate) const fn from_code(code: u64) -> Self {
        match code {
            1 => Self::Flush,
            2 => Self::Piece,
            3 => Self::Close,
            _ => Self::Keep,
        }
    }
}

/// What was formatted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Formatted {
    /// Bytes of the input that the entries contain.
    pub(crate) consumed: usize,
    /// The last entry is a piece: its line goes on.
    pub(crate) open: bool,
    /// The limit, not the input, ended it.
    pub(crate) limited: bool,
    /// The tail that gives the same entries again from just the consumed bytes.
    pub(crate) again: Tail,
}

/// Bytes before the text of an entry of `stream`.
pub(crate) const fn head_bytes(stream: Stream) -> usize {
    STAMP_BYTES + 1 + stream.name().len() + 3
}

/// Appends entries made from `input` to `out`, whole ones, up to `limit` bytes of `out`. `open` says whether
/// the line before is still unfinished.
pub(crate) fn format(
    input: &[u8],
    stream: Stream,
    stamp: Stamp,
    open: bool,
    tail: Tail,
    limit: usize,
    out: &mut Vec<u8>,
) -> Formatted {
    let mut head = [b' '; STAMP_BYTES + 16];
    let length = head_bytes(stream);
    head[..STAMP_BYTES].copy_from_slice(&stamp.text());
    head[STAMP_BYTES + 1..length - 3].copy_from_slice(stream.name().as_bytes());
    let mut done = Formatted { consumed: 0, open, limited: false, again: Tail::Keep };
    let mut push = |text: &[u8], partial: bool| {
        if out.len() + length + text.len() + 1 > limit {
            return false;
        }
        head[length - 2] = if partial { b'P' } else { b'F' };
        out.extend_from_slice(&head[..length]);
        out.extend_from_slice(text);
        out.push(b'\n');
        true
    };
    loop {
        let rest = &input[done.consumed..];
        let (text, newline, partial, again) =
            match memchr::memchr(b'\n', &rest[..rest.len().min(PIECE_BYTES + 1)]) {
                Some(end) => (&rest[..end], 1, false, Tail::Keep),
                None if rest.len() > PIECE_BYTES => {
                    (&rest[..whole_characters(&rest[..PIECE_BYTES])], 0, true, Tail::Piece)
                }
                None => match tail {
                    Tail::Keep => break,
                    Tail::Flush => (&rest[..whole_characters(rest)], 0, true, Tail::Piece),
                    Tail::Piece => (rest, 0, true, Tail::Piece),
                    Tail::Close => (rest, 0, false, Tail::Close),
                },
            };
        let nothing = text.is_empty() && newline == 0;
        if nothing && (again == Tail::Piece || !done.open) {
            break;
        }
        if !push(text, partial) {
            done.limited = true;
            break;
        }
        done.consumed += text.len() + newline;
        done.open = partial;
        done.again = again;
        if newline == 0 && tail == Tail::Flush && rest.len() <= PIECE_BYTES {
            break; // what is left is an unfinished character
        }
    }
    done
}

/// Length without an unfinished UTF-8 character at the end; all of it where that would be nothing, or where
/// it is no UTF-8 anyway.
fn whole_characters(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let needs = match bytes[bytes.len() - back] {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            _ => 1,
        };
        return if needs > back && back < bytes.len() { bytes.len() - back } else { bytes.len() };
    }
    bytes.len()
}

/// Ends of the entries in `out`, with whether each ends its line.
pub(crate) fn entries(out: &[u8], stream: Stream) -> impl Iterator<Item = (usize, bool)> + '_ {
    let tag = head_bytes(stream) - 2;
    let mut start = 0;
    memchr::memchr_iter(b'\n', out).map(move |end| {
        let ends_line = out.get(start + tag) == Some(&b'F');
        start = end + 1;
        (end + 1, ends_line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(input: &[u8], open: bool, tail: Tail) -> (String, Formatted) {
        let mut out = Vec::new();
        let formatted = format(input, Stream::Stdout, Stamp(0), open, tail, usize::MAX, &mut out);
        (String::from_utf8_lossy(&out).replace("1970-01-01T00:00:00.000000000Z ", ""), formatted)
    }

    #[test]
    fn lines_and_tails() {
        assert_eq!(text(b"a\n\nb", false, Tail::Keep).0, "stdout F a\nstdout F \n");
        assert_eq!(text(b"a\nb", false, Tail::Flush).0, "stdout F a\nstdout P b\n");
        assert_eq!(text(b"a\nb", false, Tail::Close).0, "stdout F a\nstdout F b\n");
        assert_eq!(text(b"", true, Tail::Close).0, "stdout F \n");
        assert_eq!(text(b"", false, Tail::Close).0, "");
        assert_eq!(text(b"", true, Tail::Flush).0, "");
    }

    #[test]
    fn a_character_is_not_cut() {
        let (out, formatted) = text("xä".as_bytes().split_last().unwrap().1, false, Tail::Flush);
        assert_eq!((out.as_str(), formatted.consumed), ("stdout P x\n", 1));
        let long = "ä".repeat(PIECE_BYTES);
        let (out, _) = text(&[b"x", long.as_bytes(), b"\n"].concat(), false, Tail::Keep);
        assert!(!out.contains('\u{fffd}'));
    }

    proptest! {
        #[test]
        fn consumed_bytes_alone_give_the_same_entries(
            chunks in prop::collection::vec((prop::collection::vec(prop::sample::select(b"ab\n\xc3\xa4\xf0\xff".to_vec()), 0..40), 0usize..40_000), 0..5),
            open: bool, tail in 0u64..4, limit in 0usize..200_000,
        ) {
            let mut input = Vec::new();
            for (bytes, repeat) in chunks {
                input.extend(bytes);
                input.extend(std::iter::repeat_n(b'z', repeat));
            }
            let tail = Tail::from_code(tail);
            let (mut out, mut again) = (Vec::new(), Vec::new());
            let first = format(&input, Stream::Stderr, Stamp(7), open, tail, limit, &mut out);
            let second = format(&input[..first.consumed], Stream::Stderr, Stamp(7), open, first.again, usize::MAX, &mut again);
            prop_assert!(out == again, "{first:?} {second:?}");
            prop_assert!(out.len() <= limit || out.is_empty());
            // The texts, joined, are the input.
            let mut joined = Vec::new();
            let mut start = 0;
            for (end, ends_line) in entries(&out, Stream::Stderr) {
                joined.extend(&out[start + head_bytes(Stream::Stderr)..end - 1]);
                if ends_line { joined.push(b'\n'); }
                start = end;
            }
            let mut expected = input[..first.consumed].to_vec();
            if first.again == Tail::Close && !out.is_empty() { expected.push(b'\n'); }
            prop_assert!(joined == expected);
        }
    }
}
