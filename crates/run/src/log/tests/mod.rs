//! The writer and its readers, over deaths, full disks and hands that meddle.

mod crash;
mod meddling;
mod reading;
mod stalls;
mod writing;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use wire::LogSpec;

use super::{Entry, Options, Query, Source, Stream, Writer, read};

/// A pipe that outlives its reader.
#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<VecDeque<u8>>>);

impl Pipe {
    fn put(&self, bytes: &[u8]) {
        self.0.borrow_mut().extend(bytes);
    }
}

impl Source for Pipe {
    fn available(&mut self) -> io::Result<usize> {
        Ok(self.0.borrow().len())
    }

    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        let mut held = self.0.borrow_mut();
        let read = place.len().min(held.len());
        for (byte, from) in place.iter_mut().zip(held.drain(..read)) {
            *byte = from;
        }
        Ok(read)
    }
}

struct Place {
    dir: tempfile::TempDir,
    spec: LogSpec,
}

impl Place {
    fn new(file_bytes: u64, files: u32) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), spec: LogSpec { file_bytes, files } }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn writer(&self) -> Writer {
        let spool = self.dir.path().join("spool");
        Writer::open(Options {
            dir: &self.log(),
            spec: self.spec,
            spool: &spool,
            spills: Some(&self.spills()),
        })
    }

    fn spills(&self) -> PathBuf {
        self.dir.path().join("memory/spills")
    }

    fn entries(&self, query: &Query) -> Vec<Entry> {
        entries(&self.log(), query)
    }

    /// What a stream said, put together; every line ended.
    fn said(&self, stream: Stream) -> Vec<u8> {
        let mut said = Vec::new();
        for entry in self.entries(&Query { streams: vec![stream], ..Query::default() }) {
            said.extend(&entry.text);
            if !entry.partial {
                said.push(b'\n');
            }
        }
        said
    }

    fn marks(&self) -> Vec<String> {
        let marks = self.entries(&Query { streams: vec![Stream::Pipd], ..Query::default() });
        marks.into_iter().map(|entry| String::from_utf8(entry.text).unwrap()).collect()
    }
}

fn entries(log: &Path, query: &Query) -> Vec<Entry> {
    let mut found = Vec::new();
    read(log, query, |entry| {
        found.push(entry);
        true
    })
    .unwrap();
    found
}

fn numbered(range: std::ops::Range<usize>) -> Vec<u8> {
    range.flat_map(|n| format!("line {n}\n").into_bytes()).collect()
}
