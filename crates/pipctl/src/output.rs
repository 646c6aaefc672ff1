//! A standard stream that takes styled text and passes on what its reader can use.

use std::io::{self, Write};

use anstream::adapter::StripBytes;
use anstream::stream::{AsLockedWrite, RawStream};
use anstream::{AutoStream, ColorChoice};

/// As anstream's own stream, but what is written at once is passed on at once: a table is one system call, not
/// one for each piece between two styles.
pub(crate) struct Output<S> {
    stream: S,
    /// Absent when the reader wants styles.
    strip: Option<StripBytes>,
    plain: Vec<u8>,
}

impl<S: RawStream + AsLockedWrite + Write> Output<S> {
    /// Styles reach a terminal, and nobody else unless the environment asks for them (`NO_COLOR`,
    /// `CLICOLOR_FORCE`).
    pub(crate) fn new(stream: S) -> Self {
        let strip = match AutoStream::choice(&stream) {
            ColorChoice::Never => Some(StripBytes::new()),
            ColorChoice::Auto | ColorChoice::Always | ColorChoice::AlwaysAnsi => None,
        };
        Self { stream, strip, plain: Vec::new() }
    }
}

impl<S: Write> Write for Output<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(strip) = &mut self.strip else { return self.stream.write_all(bytes) };
        self.plain.clear();
        strip.strip_next(bytes).for_each(|piece| self.plain.extend_from_slice(piece));
        self.stream.write_all(&self.plain)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_one_write_and_sequences_may_be_cut() {
        #[derive(Default)]
        struct Writes(Vec<Vec<u8>>);
        impl Write for Writes {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.push(bytes.to_vec());
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output =
            Output { stream: Writes::default(), strip: Some(StripBytes::new()), plain: Vec::new() };
        output.write_all(b"a\x1b[1mb\x1b[0mc\n\x1b[3").unwrap();
        output.write_all(b"2mgreen\n").unwrap();
        assert_eq!(output.stream.0, [&b"abc\n"[..], b"green\n"]);
    }
}
