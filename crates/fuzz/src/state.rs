//! Records: as they lie there, and as their content would be if its checksum were right. Read as what was written, or
//! said to be unreadable; what was read can be written and read again.

use std::fmt::Debug;
use std::path::Path;

use run::record::{self, AutostartRecord, DaemonRecord, Durability, Exited, RecordError, RunSpec, Started};
use run::workspace::WorkspaceRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::folder;

pub(crate) const WORDS: &[&str] = &[
    "pipd 1 ",
    "pipd 2 ",
    "\"root\":",
    "\"services\":[",
    "\"goal\":\"up\"",
    "\"cause\":{\"code\":3}",
    "\"cause\":{\"signal\":9}",
    "\"at_ms\":",
    "\"pid\":",
    "18446744073709551616",
    "-1",
    "null",
    "{\"bytes\":[255]}",
];

fn headed(body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("pipd 1 {:08x} {}\n", crc32fast::hash(body), body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn run(bytes: &[u8]) {
    folder::with(|folder| {
        let path = folder.join("record.json");
        for content in [bytes, &headed(bytes)] {
            std::fs::write(&path, content).unwrap();
            every_kind(&path);
            assert_eq!(std::fs::read(&path).unwrap(), content, "reading changed it");
        }
    });
}

fn every_kind(path: &Path) {
    one::<WorkspaceRecord>(path);
    one::<DaemonRecord>(path);
    one::<AutostartRecord>(path);
    one::<RunSpec>(path);
    one::<Started>(path);
    one::<Exited>(path);
}

fn one<T: Serialize + DeserializeOwned + PartialEq + Debug>(path: &Path) {
    match record::read::<T>(path) {
        Ok(found) => {
            let found = found.expect("it is there");
            let again = path.with_file_name("again.json");
            record::write(&again, &found, Durability::Rename).unwrap();
            assert_eq!(record::read::<T>(&again).unwrap(), Some(found));
        }
        Err(RecordError::Unreadable { .. } | RecordError::Newer { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}
