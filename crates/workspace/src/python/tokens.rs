//! Just enough of Python's grammar to tell code from comments and strings.
//!
//! Works on any bytes: what is not Python gives tokens that mean nothing.

/// A piece of Python code. Strings are opaque, comments and blanks are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name or keyword.
    Name(&'a [u8]),
    /// A number, as written.
    Number(&'a [u8]),
    /// A string of any kind.
    Text,
    /// One character of punctuation.
    Mark(u8),
    /// The end of a statement.
    End,
}

/// Cuts source text into tokens.
pub(super) fn tokens(source: &[u8]) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = source.get(at) {
        let rest = &source[at..];
        match byte {
            b'#' => at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()),
            b'\n' | b';' if depth == 0 => {
                found.push(Token::End);
                at += 1;
            }
            b'\\' => at += if rest.starts_with(b"\\\r\n") { 3 } else { 2 },
            b'"' | b'\'' => {
                found.push(Token::Text);
                at += string(rest);
            }
            b'0'..=b'9' => {
                let length = run(rest, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
                found.push(Token::Number(&rest[..length]));
                at += length;
            }
            _ if is_name(byte) => {
                let length = run(rest, is_name);
                at += length;
                let quote = matches!(source.get(at), Some(b'"' | b'\''));
                // A prefix such as `rb` belongs to its string, which comes next.
                if !(quote && length <= 2 && rest[..length].iter().all(|b| b"rRbBuUfFtT".contains(b))) {
                    found.push(Token::Name(&rest[..length]));
                }
            }
            b' ' | b'\t' | b'\r' | b'\n' | 0x0c => at += 1,
            _ => {
                match byte {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                found.push(Token::Mark(byte));
                at += 1;
            }
        }
    }
    found.push(Token::End);
    found
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&b| !belongs(b)).unwrap_or(bytes.len())
}

/// Length of the string that `rest` begins with.
fn string(rest: &[u8]) -> usize {
    let quote = rest[0];
    let triple = rest.starts_with(&[quote; 3]);
    let mut at = if triple { 3 } else { 1 };
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            b'\n' if !triple => return at,
            _ if byte == quote && !triple => return at + 1,
            _ if triple && rest[at..].starts_with(&[quote; 3]) => return at + 3,
            _ => at += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        let tokens = tokens(source.as_bytes());
        tokens
            .iter()
            .filter_map(|token| match token {
                Token::Name(name) => Some(String::from_utf8_lossy(name).into_owned()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        for (source, expected) in [
            ("a # serve()", vec!["a"]),
            ("a = 'serve()'; b", vec!["a", "b"]),
            (r#"a = "it's \" serve()" + b"#, vec!["a", "b"]),
            ("'''\nserve()\n''' and b", vec!["and", "b"]),
            ("r'\\' serve' x", vec!["x"]),
            ("rb\"\"\"a\"b\"\"\" x", vec!["x"]),
            ("f'{serve()}'", vec![]),
            ("'open\nnext", vec!["next"]),
            ("'''open\nserve()", vec![]),
            ("größe = 1", vec!["größe"]),
            ("a\\\nb", vec!["a", "b"]),
            ("\\", vec![]),
            ("'\\", vec![]),
        ] {
            assert_eq!(names(source), expected, "{source:?}");
        }
    }

    #[test]
    fn statements_end_outside_brackets_only() {
        let ends = |source: &str| tokens(source.as_bytes()).iter().filter(|t| **t == Token::End).count();
        assert_eq!(ends("a\nb\nc"), 3);
        assert_eq!(ends("f(a,\n b)\nc"), 2);
        assert_eq!(ends("a; b"), 2);
    }
}
