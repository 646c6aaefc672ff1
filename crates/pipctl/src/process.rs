//! A program run to its end, or to a moment after which nobody waits for it any more.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often a child is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What a program may print before the rest is passed over.
const MOST: u64 = 4 << 20;

/// What is still read after a program's end, where something it left behind holds its output.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ran {
    /// By itself.
    Ended(Ended),
    /// It was not done in time, and was killed with everything in its process group.
    TooSlow,
    /// It could not be run.
    NotStarted(io::Error),
}

/// A program that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// With which status.
    pub(crate) status: ExitStatus,
    /// What it printed.
    pub(crate) out: String,
    /// What it complained.
    pub(crate) err: String,
}

impl Ended {
    /// The last line it complained, for a message.
    pub(crate) fn last_complaint(&self) -> String {
        let last = self.err.lines().rev().find(|line| !line.trim().is_empty());
        last.map_or_else(|| self.status.to_string(), |line| line.trim().to_owned())
    }
}

/// Runs a program in a process group of its own, with nothing to read.
pub(crate) fn run_until(command: &mut Command, until: Instant) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ran::NotStarted(error),
    };
    let out = child.stdout.take().map(read);
    let err = child.stderr.take().map(read);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
            Ok(None) => {
                kill_group(&mut child);
                return Ran::TooSlow;
            }
            Err(error) => return Ran::NotStarted(error),
        }
    };
    let collected = |from: Option<mpsc::Receiver<String>>| {
        from.and_then(|from| from.recv_timeout(LAST_WORDS).ok()).unwrap_or_default()
    };
    Ran::Ended(Ended { status, out: collected(out), err: collected(err) })
}

/// Kills a child that leads a process group, with that group.
pub(crate) fn kill_group(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait();
}

fn read(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.take(MOST).read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(line: &str, within: Duration) -> Ran {
        run_until(Command::new("/bin/sh").args(["-c", line]), Instant::now() + within)
    }

    #[test]
    fn what_ends_says_how() {
        let Ran::Ended(ended) = sh("echo out; echo one >&2; echo two >&2; exit 3", Duration::from_secs(20))
        else {
            panic!()
        };
        assert_eq!((ended.status.code(), ended.out.as_str()), (Some(3), "out\n"));
        assert_eq!(ended.last_complaint(), "two");
    }

    #[test]
    fn what_does_not_end_is_killed_with_its_children() {
        let begun = Instant::now();
        assert!(matches!(sh("sleep 600 & sleep 600", Duration::from_millis(50)), Ran::TooSlow));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_is_not_there_is_not_started() {
        let ran = run_until(&mut Command::new("/does/not/exist"), Instant::now());
        assert!(matches!(ran, Ran::NotStarted(error) if error.kind() == io::ErrorKind::NotFound));
    }
}
