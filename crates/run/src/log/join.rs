//! Pieces of one line (`P … P F`) put together again.

use super::{Entry, Stream};

/// Longest line put together, in bytes; a longer one is given in parts, so that one endless line costs no
/// more memory than this.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Collects pieces per stream.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    open: [Option<Entry>; 3],
}

impl Joiner {
    /// Takes the next entry in the order of the log; gives the lines that are complete by it.
    pub(crate) fn push(&mut self, entry: Entry, mut give: impl FnMut(Entry)) {
        if entry.stream == Stream::Pipd {
            // A run began or ended, or lines were lost: nothing before it goes on behind it.
            self.finish(&mut give);
        }
        let open = &mut self.open[entry.stream.index()];
        let whole = match open.take() {
            Some(mut before) => {
                before.text.extend_from_slice(&entry.text);
                before.partial = entry.partial;
                before
            }
            None => entry,
        };
        if whole.partial && whole.text.len() < MAX_LINE_BYTES {
            *open = Some(whole);
        } else {
            give(whole);
        }
    }

    /// Gives the lines whose end never came.
    pub(crate) fn finish(&mut self, mut give: impl FnMut(Entry)) {
        for open in &mut self.open {
            if let Some(entry) = open.take() {
                give(entry);
            }
        }
    }
}
