//! A long program whose lines are read as they come, and which Ctrl-C ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::{Fault, Work};
use crate::process::kill_group;

/// How often Ctrl-C is looked for while a program says nothing.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of complaint kept for the message.
const LAST: usize = 3;

/// What a program said.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Its standard output, whole.
    pub(super) out: Vec<String>,
    /// Its standard error, whole.
    pub(super) err: Vec<String>,
}

/// Runs a program to its end, in a process group of its own: Ctrl-C is for us, who then end it. Each line goes to the
/// log and to `on_line`.
pub(super) fn run(
    work: &mut Work<'_>,
    doing: &str,
    command: &mut Command,
    mut on_line: impl FnMut(&str, &mut Work<'_>),
) -> Result<Said, Fault> {
    let _ = writeln!(work.log, "$ {}", shown(command));
    command.env_clear().envs(work.env.iter().map(|(name, value)| (name, value)));
    command.env("PYTHONUNBUFFERED", "1").env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("PIP_NO_INPUT", "1");
    command.current_dir(work.root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).spawn().map_err(Fault::io(doing))?;
    let (sender, lines) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        read(out, false, sender.clone());
    }
    if let Some(err) = child.stderr.take() {
        read(err, true, sender);
    }
    let mut said = Said::default();
    loop {
        if work.flag.is_raised() {
            kill_group(&mut child);
            let _ = writeln!(work.log, "interrupted");
            return Err(Fault::Interrupted);
        }
        match lines.recv_timeout(LOOK) {
            Ok((is_error, line)) => {
                let _ = writeln!(work.log, "{line}");
                on_line(&line, work);
                if is_error { said.err.push(line) } else { said.out.push(line) }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let status = child.wait().map_err(Fault::io(doing))?;
    let _ = writeln!(work.log, "({status})");
    if status.success() {
        return Ok(said);
    }
    Err(Fault::Program { doing: doing.to_owned(), said: complaint(&said, &status.to_string()) })
}

/// The lines that say why, as short as they can be.
fn complaint(said: &Said, status: &str) -> String {
    let all: Vec<&str> = said.err.iter().chain(&said.out).map(|line| line.trim()).collect();
    let errors: Vec<&str> = all
        .iter()
        .filter_map(|line| line.strip_prefix("ERROR: ").or_else(|| line.strip_prefix("error: ")))
        .collect();
    let from =
        if errors.is_empty() { all.into_iter().filter(|line| !line.is_empty()).collect() } else { errors };
    let last = from.iter().skip(from.len().saturating_sub(LAST)).copied().collect::<Vec<_>>().join("; ");
    if last.is_empty() { status.to_owned() } else { last }
}

fn read(from: impl Read + Send + 'static, is_error: bool, to: mpsc::Sender<(bool, String)>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if to.send((is_error, line)).is_err() {
                break;
            }
        }
    });
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
