//! One line of a log, for people and for programs.

use std::fmt::Write as _;

use run::log::{Entry, Stream};
use serde::Serialize;

use super::style::{BAD, FAINT, LINK, Styled, WAITING};
use crate::clock::local_ms;

/// What stands before each line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prefix {
    /// Width of the column of service names; none when 0.
    pub(crate) names: usize,
    /// The time.
    pub(crate) times: bool,
}

/// A line for people. `index` is the service's place, for its colour.
pub(crate) fn line(entry: &Entry, service: &str, index: usize, prefix: Prefix) -> String {
    let mut text = String::new();
    if prefix.times {
        let _ = write!(text, "{} ", Styled(local_ms(entry.at.as_ms()), FAINT));
    }
    if prefix.names > 0 {
        let colours = [LINK, WAITING, super::style::GOOD, BAD];
        let pad = prefix.names.saturating_sub(service.chars().count());
        let _ = write!(text, "{}{:pad$} | ", Styled(service, colours[index % colours.len()]), "");
    }
    match entry.stream {
        Stream::Pipd => {
            let said = format!("-- {} {}", local_ms(entry.at.as_ms()), visible(&entry.text));
            let _ = write!(text, "{}", Styled(said, FAINT));
        }
        Stream::Stdout | Stream::Stderr => text.push_str(&visible(&entry.text)),
    }
    text.push('\n');
    text
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    service: &'a str,
    stream: &'static str,
    text: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
}

/// The line as one JSON object.
pub(crate) fn json(entry: &Entry, service: &str) -> Result<String, serde_json::Error> {
    let mut line = serde_json::to_string(&JsonLine {
        time: entry.at.to_string(),
        service,
        stream: entry.stream.name(),
        text: String::from_utf8_lossy(&entry.text),
        partial: entry.partial,
    })?;
    line.push('\n');
    Ok(line)
}

/// A service's bytes made safe for a terminal: colours stay, everything that moves the cursor, sets titles or
/// clears the screen goes; of a progress bar the last state stays. The file keeps every byte.
fn visible(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let last = bytes.iter().rposition(|&byte| byte == b'\r').map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&bytes[last..]);
    let mut shown = String::with_capacity(text.len());
    let mut coloured = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\t' => shown.push('\t'),
            '\u{1b}' => {
                if let Some(colour) = escape(&mut rest) {
                    coloured = true;
                    shown.push_str(&colour);
                }
            }
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    if coloured {
        shown.push_str("\u{1b}[0m");
    }
    shown
}

/// Reads one escape sequence; gives it back when it only sets colours.
fn escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    match rest.next()? {
        '[' => {
            let mut sequence = String::from("\u{1b}[");
            for c in rest.by_ref() {
                sequence.push(c);
                if ('@'..='~').contains(&c) {
                    let parameters = &sequence[2..sequence.len() - 1];
                    let only_colours =
                        c == 'm' && parameters.chars().all(|c| c.is_ascii_digit() || c == ';' || c == ':');
                    return only_colours.then_some(sequence);
                }
            }
            None
        }
        // Titles, links and other strings end with BEL or ESC \.
        ']' | 'P' | 'X' | '^' | '_' => {
            while let Some(c) = rest.next() {
                if c == '\u{7}' || (c == '\u{1b}' && rest.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
            None
        }
        // Two-byte sequences, some with one more byte.
        '(' | ')' | '*' | '+' | '#' | '%' | ' ' => {
            rest.next();
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use run::log::Stamp;

    #[test]
    fn colours_stay_and_everything_that_moves_goes() {
        assert_eq!(visible(b"\x1b[32mINFO\x1b[0m:  up"), "\x1b[32mINFO\x1b[0m:  up\x1b[0m");
        assert_eq!(visible(b"a\x1b[2Jb\x1b]0;title\x07c\x1b(Bd\x1b[1;1He"), "abcde");
        assert_eq!(visible(b" 10%\r 50%\r100%\r"), "100%");
        assert_eq!(visible(b"a\x00b\xffc"), "a\\u{0}b\u{fffd}c");
        assert_eq!(visible(b"\x1b["), "");
        assert_eq!(visible(b"\tx\r"), "\tx");
    }

    #[test]
    fn a_line_has_a_prefix_only_when_asked() {
        let entry = Entry { at: Stamp(0), stream: Stream::Stdout, partial: false, text: b"hello".to_vec() };
        assert_eq!(line(&entry, "server", 0, Prefix::default()), "hello\n");
        let named = line(&entry, "server", 0, Prefix { names: 7, times: false });
        assert_eq!(anstream::adapter::strip_str(&named).to_string(), "server  | hello\n");
        assert_eq!(
            json(&entry, "server").unwrap(),
            "{\"time\":\"1970-01-01T00:00:00.000000000Z\",\"service\":\"server\",\"stream\":\"stdout\",\"text\":\"hello\"}\n"
        );
    }
}
