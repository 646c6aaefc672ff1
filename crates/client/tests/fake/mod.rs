//! A daemon made of one thread: holds the lock, listens on the socket, answers as the test says.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use client::Locations;
use os::lock::FileLock;
use os::process::ProcessIdentity;
use run::layout::HostDir;
use serde::Serialize;
use tempfile::TempDir;
use wire::{DaemonInfo, Frame, HelloAnswer, Request, RequestFrame};

/// What one connection does with one request: lines to write, or nothing more and the end.
pub(crate) type Answer = Box<dyn FnMut(&RequestFrame) -> Option<Vec<Vec<u8>>> + Send>;

/// A host folder of its own.
pub(crate) struct Host {
    pub(crate) dir: TempDir,
    pub(crate) host: HostDir,
}

impl Host {
    pub(crate) fn new() -> Self {
        // Not in TMPDIR: a socket's path must be short.
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let host = HostDir::new(dir.path(), "0123456789ab");
        os::paths::private_dir(host.path()).unwrap();
        Self { dir, host }
    }

    pub(crate) fn locations(&self) -> Locations {
        Locations::at(vec![self.host.clone()])
    }

    /// Holds the daemon's lock as this process.
    pub(crate) fn lock(&self) -> FileLock {
        let lock = FileLock::try_acquire(&self.host.daemon_lock()).unwrap().unwrap();
        lock.write_owner(&ProcessIdentity::current().unwrap()).unwrap();
        lock
    }
}

/// A daemon that answers.
pub(crate) struct Fake {
    pub(crate) host: Host,
    pub(crate) asked: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _lock: FileLock,
}

impl Fake {
    /// Serves in a new host folder; `answer` is made anew for every connection, with its number from 0.
    pub(crate) fn new(answer: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        let host = Host::new();
        let lock = host.lock();
        let listener = UnixListener::bind(host.host.socket()).unwrap();
        Self::serve(host, lock, listener, answer)
    }

    /// Answers `hello` by itself and the rest as told.
    pub(crate) fn greeting(answer: impl Fn(&RequestFrame) -> Vec<Vec<u8>> + Clone + Send + 'static) -> Self {
        Self::new(move |_| {
            let answer = answer.clone();
            Box::new(move |frame| Some(greet(frame).map_or_else(|| answer(frame), |line| vec![line])))
        })
    }

    fn serve(
        host: Host,
        lock: FileLock,
        listener: UnixListener,
        answer: impl Fn(usize) -> Answer + Send + 'static,
    ) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (log, end) = (Arc::clone(&asked), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let (log, answer) = (Arc::clone(&log), answer(number));
                std::thread::spawn(move || converse(stream.unwrap(), answer, &log));
            }
        });
        Self { host, asked, ended, thread: Some(thread), _lock: lock }
    }

    pub(crate) fn locations(&self) -> Locations {
        self.host.locations()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(self.host.host.socket());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn converse(stream: UnixStream, mut answer: Answer, log: &Mutex<Vec<Request>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
        let Ok(Frame::Request(frame)) = wire::decode(line.trim_ascii_end()) else { return };
        log.lock().unwrap().push(frame.request.clone());
        let Some(lines) = answer(&frame) else { return };
        for line in lines {
            if (&stream).write_all(&line).is_err() {
                return;
            }
        }
        line.clear();
    }
}

/// The answer to `hello`; `None` to everything else.
pub(crate) fn greet(frame: &RequestFrame) -> Option<Vec<u8>> {
    matches!(frame.request, Request::Hello(_)).then(|| ok(frame, &hello_answer()))
}

pub(crate) fn hello_answer() -> HelloAnswer {
    let daemon = DaemonInfo {
        version: "0.1.0".into(),
        pid: 4711,
        exe: Some("/usr/bin/pipd".into()),
        ..DaemonInfo::default()
    };
    HelloAnswer { protocol: 1, daemon }
}

/// A good answer.
pub(crate) fn ok<T: Serialize>(frame: &RequestFrame, result: &T) -> Vec<u8> {
    wire::response_line(&frame.id, result).unwrap()
}

/// A refusal.
pub(crate) fn no(frame: &RequestFrame, code: i64, message: &str) -> Vec<u8> {
    wire::error_line(&frame.id, &wire::ErrorObject::new(code, message)).unwrap()
}
