//! What a shim leaves its successor besides the records, in one word of the spool.

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Kills for memory in our cgroup before the run began, where they can be counted.
    pub(crate) kills_before: Option<u64>,
    /// A stop or a kill was ordered.
    pub(crate) asked: bool,
}

impl Note {
    pub(crate) fn pack(self) -> u64 {
        self.kills_before.map_or(0, |count| (count + 1) << 1) | u64::from(self.asked)
    }

    pub(crate) fn unpack(word: u64) -> Self {
        Self { kills_before: (word >> 1).checked_sub(1), asked: word & 1 == 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_comes_back_and_an_empty_word_is_no_note() {
        for note in [
            Note { kills_before: None, asked: true },
            Note { kills_before: Some(0), asked: false },
            Note { kills_before: Some(7), asked: true },
        ] {
            assert_eq!(Note::unpack(note.pack()), note);
        }
        assert_eq!(Note::unpack(0), Note::default());
    }
}
