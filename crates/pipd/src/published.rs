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
            let text = to_raw_value(&self.snapshot).map_err(S::Error::custom)?;
            let text = RawValue::from_string(lean(text.get())).map_err(S::Error::custom)?;
            let _ = self.text.set(text);
        }
        match self.text.get() {
            Some(text) => text.serialize(serializer),
            None => self.snapshot.serialize(serializer),
        }
    }
}

/// The same without the keys that hold nothing, `null` or an empty list: half of what a thousand services would be.
/// Whoever reads takes what is not there for just that.
///
/// Of text that was written without blanks. Within a string a quotation mark never follows a comma, for a backslash is
/// between the two; and behind a comma that a string ends with comes no letter, for there it ends.
fn lean(text: &str) -> String {
    let mut lean = String::with_capacity(text.len());
    let mut kept = 0;
    for (at, _) in text.match_indices(',') {
        let Some(key) = text[at + 1..].strip_prefix('"') else { continue };
        let value = key.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
        let rest = match value.strip_prefix("\":").filter(|_| value.len() < key.len()) {
            Some(value) => value.strip_prefix("null").or_else(|| value.strip_prefix("[]")),
            None => None,
        };
        if let Some(rest) = rest {
            lean.push_str(&text[kept..at]);
            kept = text.len() - rest.len();
        }
    }
    lean.push_str(&text[kept..]);
    lean
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::{ServiceView, WorkspaceView};

    #[test]
    fn what_is_written_is_the_snapshot_every_time() {
        let workspaces = vec![WorkspaceView { id: "w".into(), ..WorkspaceView::default() }];
        let warnings = vec!["\"a\"\n".into()];
        let snapshot = Snapshot { generation: 7, warnings, workspaces, ..Snapshot::default() };
        let published = Published::new(snapshot.clone());
        for _ in 0..2 {
            let line = wire::response_line(&1.into(), &published).unwrap();
            let text = String::from_utf8(line.clone()).unwrap();
            assert!(!text.contains("null") && !text.contains("[]"), "{text}");
            assert_eq!(wire::answer_of::<Snapshot>(&line, 1), Some(snapshot.clone()));
            let news = wire::notification_line("status.changed", &published).unwrap();
            let Ok(wire::Frame::Notification(news)) = wire::decode(&news) else { panic!("{text}") };
            assert_eq!(news.params.read::<Snapshot>().unwrap(), snapshot);
        }
    }

    /// A field that must be there would have to be said, and every reader would have to be of this release.
    #[test]
    fn what_holds_nothing_can_be_left_out_everywhere() {
        let bare = r#"{"name":"a","goal":"up","phase":"ready"}"#;
        let service: ServiceView = serde_json::from_str(bare).unwrap();
        let text = serde_json::to_string(&service).unwrap();
        assert!(text.contains("null") && text.contains("[]"), "{text}");
        let lean = lean(&text);
        assert!(!lean.contains("null") && !lean.contains("[]"), "{lean}");
        assert_eq!(serde_json::from_str::<ServiceView>(&lean).unwrap(), service);
    }

    #[test]
    fn what_only_looks_like_a_key_stays() {
        let told = [",\"a\":null,", "x,", ",", "\",\"a\":[]", "a\":null", "\\"];
        let text = serde_json::to_string(&(told, 1)).unwrap();
        assert_eq!(lean(&text), text);
        assert_eq!(
            lean(r#"{"a":null,"b":[],"c":[1,null],"d":null,"e_f":null}"#),
            r#"{"a":null,"c":[1,null]}"#
        );
        let object = r#"{"a":"x,","b":null,"c":[[],[]],"d":"null"}"#;
        assert_eq!(lean(object), r#"{"a":"x,","c":[[],[]],"d":"null"}"#);
    }
}
