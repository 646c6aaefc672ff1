//! The lines of a file from its end, without reading the rest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const CHUNK_BYTES: usize = 64 << 10;

/// Whole lines of a file, the last first. What follows the last newline is not a line yet.
pub(crate) struct LinesFromEnd {
    file: File,
    /// What lies before this offset is not read yet.
    unread: u64,
    /// Read and not given out: begins at `unread`, ends behind the newline of the next line to give.
    held: Vec<u8>,
    begun: bool,
}

impl LinesFromEnd {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let unread = file.metadata()?.len();
        Ok(Self { file, unread, held: Vec::new(), begun: false })
    }

    /// The line before the last one given.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if !self.begun {
                if let Some(end) = memchr::memrchr(b'\n', &self.held) {
                    self.held.truncate(end + 1);
                    self.begun = true;
                } else {
                    self.held.clear();
                }
            }
            if self.begun {
                if self.held.is_empty() && self.unread == 0 {
                    return Ok(None);
                }
                let inner = self.held.len().saturating_sub(1);
                match memchr::memrchr(b'\n', &self.held[..inner]) {
                    Some(before) => {
                        let line = self.held[before + 1..inner].to_vec();
                        self.held.truncate(before + 1);
                        return Ok(Some(line));
                    }
                    None if self.unread == 0 => {
                        let line = self.held[..inner].to_vec();
                        self.held.clear();
                        return Ok(Some(line));
                    }
                    None => {}
                }
            } else if self.unread == 0 {
                return Ok(None);
            }
            self.fill()?;
        }
    }

    /// Offset behind the last newline. Only before the first line is taken.
    pub(crate) fn whole(&mut self) -> io::Result<u64> {
        while !self.held.contains(&b'\n') && self.unread > 0 {
            self.fill()?;
        }
        Ok(memchr::memrchr(b'\n', &self.held).map_or(0, |end| self.unread + end as u64 + 1))
    }

    fn fill(&mut self) -> io::Result<()> {
        // Grows with what is held, so that a line of any length costs linear time.
        let amount = self.unread.min((CHUNK_BYTES.max(self.held.len())) as u64);
        let mut chunk = vec![0; amount as usize];
        self.file.read_exact_at(&mut chunk, self.unread - amount)?;
        self.unread -= amount;
        chunk.append(&mut self.held);
        self.held = chunk;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut lines = LinesFromEnd::new(file).unwrap();
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn the_last_line_comes_first_and_half_a_line_does_not_count() {
        assert_eq!(lines(b"a\n\nbc\nhalf"), [&b"bc"[..], b"", b"a"]);
        assert_eq!(lines(b"half"), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"\n"), [b""]);
    }

    #[test]
    fn lines_longer_than_a_chunk_come_whole() {
        let long = vec![b'x'; 3 * CHUNK_BYTES];
        let file = [b"a\n", &long[..], b"\nb\n"].concat();
        assert_eq!(lines(&file), [b"b".to_vec(), long, b"a".to_vec()]);
    }
}
