//! The snapshot as it is published: made once, and written out once however many read it.

use std::cell::OnceCell;

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use wire::Snapshot;

/// A snapshot, and its text as soon as somebody has asked for it.
pub(crate) struct Published {
    snapshot: Snapshot,
    text: OnceCell<Box<RawValue>>,
}

impl Published {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, text: OnceCell::new() }
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Serialize for Published {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.text.get().is_none() {
            // Nobody can have been quicker: there is one thread.
            let _ = self.text.set(to_raw_value(&self.snapshot).map_err(S::Error::custom)?);
        }
        match self.text.get() {
            Some(text) => text.serialize(serializer),
            None => self.snapshot.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_the_snapshot_every_time() {
        let snapshot = Snapshot { generation: 7, warnings: vec!["\"a\"\n".into()], ..Snapshot::default() };
        let published = Published::new(snapshot.clone());
        for _ in 0..2 {
            let line = wire::response_line(&1.into(), &published).unwrap();
            assert_eq!(line, wire::response_line(&1.into(), &snapshot).unwrap());
            let news = wire::notification_line("status.changed", &published).unwrap();
            assert_eq!(news, wire::notification_line("status.changed", &snapshot).unwrap());
        }
    }
}
