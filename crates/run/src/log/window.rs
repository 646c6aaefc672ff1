//! Where in its buffer a stream's pending bytes lie, as one word, so that it changes in one store.

/// Bytes of one stream that are read and not logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Pieces of the line that goes on here are logged already.
    pub(crate) open: bool,
}

impl Window {
    pub(crate) fn pack(self) -> u64 {
        (self.start as u64) << 32 | (self.len as u64) << 1 | u64::from(self.open)
    }

    pub(crate) fn unpack(word: u64) -> Self {
        Self { start: (word >> 32) as usize, len: (word as u32 >> 1) as usize, open: word & 1 == 1 }
    }

    /// Without its first bytes.
    pub(crate) fn after(self, consumed: usize, open: bool) -> Self {
        match self.len.saturating_sub(consumed) {
            0 => Self { start: 0, len: 0, open },
            len => Self { start: self.start + consumed, len, open },
        }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start..self.start + self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_one_word() {
        for window in [
            Window::default(),
            Window { start: 0, len: 98_304, open: true },
            Window { start: 98_303, len: 1, open: false },
        ] {
            assert_eq!(Window::unpack(window.pack()), window);
        }
    }

    #[test]
    fn an_empty_window_begins_at_the_front_again() {
        let window = Window { start: 40, len: 10, open: false };
        assert_eq!(window.after(4, true), Window { start: 44, len: 6, open: true });
        assert_eq!(window.after(10, false), Window::default());
    }
}
