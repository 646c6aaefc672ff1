//! Running a program with a time limit and everything it said.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

/// Exit codes of `pipctl`, as documented in `docs/exit-codes.md`.
pub mod exit {
    /// Done, or so already.
    pub const OK: i32 = 0;
    /// A service failed.
    pub const FAILED: i32 = 1;
    /// The command line or a configuration file is wrong.
    pub const USAGE: i32 = 2;
    /// Something outside must change first.
    pub const BLOCKED: i32 = 3;
    /// It took longer than allowed.
    pub const TIMEOUT: i32 = 4;
    /// No daemon can be reached.
    pub const UNREACHABLE: i32 = 5;
    /// Work would be lost; nothing was done.
    pub const BUSY: i32 = 6;
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What was called, for messages.
    pub command: String,
    /// Its exit code; -1 for a signal.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// How long it took, until the last holder of its output was gone.
    pub took: Duration,
}

impl Finished {
    /// Checks the exit code.
    ///
    /// # Panics
    /// When it is another one; shows what the program said.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert!(self.code == code, "exit code {code} expected of {self}");
        self
    }

    /// Checks for exit code 0.
    ///
    /// # Panics
    /// When it is another one.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect(exit::OK)
    }

    /// Everything it said.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Checks that it said something, on stdout or stderr.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.all().contains(text), "{text:?} expected in the output of {self}");
        self
    }

    /// Its stdout as JSON.
    ///
    /// # Panics
    /// When it is not JSON of that shape.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in the output of {self}"))
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr, took } = self;
        write!(f, "{command} (code {code}, {took:?})\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Runs to the end. A program whose output is held open by something it left behind counts as not ended.
///
/// # Panics
/// When it takes longer than `limit`.
#[track_caller]
pub fn finish(mut command: Command, limit: Duration) -> Finished {
    let name = shown(&command);
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("failed to run {name}: {error}"));
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let left = |start: Instant| limit.saturating_sub(start.elapsed());
    let (Ok(stdout), Ok(stderr)) = (stdout.recv_timeout(left(start)), stderr.recv_timeout(left(start)))
    else {
        let ended = child.try_wait().unwrap();
        let _ = child.kill();
        let _ = child.wait();
        let state = ended.map_or("it was still running".into(), |status| {
            format!("it had ended with {status}, and something it left behind holds its output")
        });
        panic!("{name} took longer than {limit:?}; {state}");
    };
    let status = wait(&mut child, &name, limit);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished {
        command: name,
        code: status.code().unwrap_or(-1),
        stdout: text(stdout),
        stderr: text(stderr),
        took: start.elapsed(),
    }
}

#[track_caller]
fn wait(child: &mut Child, name: &str, limit: Duration) -> ExitStatus {
    crate::wait::until_some(&format!("{name} to end"), limit, || child.try_wait().unwrap())
}

fn collect(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
