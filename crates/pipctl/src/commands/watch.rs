//! `pipctl status --watch`: the state as it changes. Goes on over the daemon's death, and starts none.

use std::path::Path;
use std::time::{Duration, Instant};

use client::{CallError, Client, ConnectError, Locations};
use wire::{DetailsAnswer, Snapshot};

use super::status::{self, Running};
use super::uses::{self, Uses};
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::terminal::Terminal;

/// Ages are shown anew so often when nothing changes.
const TICK: Duration = Duration::from_secs(1);
/// What `--long` shows is gathered so often, and so often it is asked whether what services use answers.
const GATHER: Duration = Duration::from_secs(2);

/// Shows until the process is ended, or nobody reads any more.
pub(super) fn run(
    args: &cli::Status,
    root: Option<&Path>,
    locations: &Locations,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let mut screen = Screen { drawn: 0, absent: false, height: if args.json { None } else { height() } };
    loop {
        match Client::connect(locations) {
            Ok(mut client) => match follow(&mut client, args, root, &mut screen, terminal) {
                Ok(()) | Err(Stopped::Daemon(CallError::Gone)) => {}
                Err(Stopped::Daemon(error)) => return Err(error.into()),
                Err(Stopped::Reader(failure)) => return Err(failure),
            },
            Err(error @ ConnectError::NotRunning) => {
                let text = match args.json {
                    true => "{\"running\":false}\n".into(),
                    false => format!("{error}; waiting for one: pipctl daemon start\n"),
                };
                let is_news = !std::mem::replace(&mut screen.absent, true);
                screen.show(terminal, &text, is_news)?;
            }
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(TICK);
    }
}

enum Stopped {
    Daemon(CallError),
    Reader(Failure),
}

impl From<CallError> for Stopped {
    fn from(error: CallError) -> Self {
        Self::Daemon(error)
    }
}

fn follow(
    client: &mut Client,
    args: &cli::Status,
    root: Option<&Path>,
    screen: &mut Screen,
    terminal: &mut Terminal<'_>,
) -> Result<(), Stopped> {
    let mut snapshot = client.subscribe_with_details(root)?;
    let mut gathered: Option<(Instant, Option<DetailsAnswer>)> = None;
    let mut asked: Option<(Instant, Uses)> = None;
    let mut is_news = true;
    screen.absent = false;
    loop {
        if args.long && gathered.as_ref().is_none_or(|(at, _)| at.elapsed() >= GATHER) {
            let details = status::details(client, root, terminal).map_err(Stopped::Reader)?;
            gathered = Some((Instant::now(), details));
            is_news = true;
        }
        let details = gathered.as_ref().and_then(|(_, details)| details.as_ref());
        if asked.as_ref().is_none_or(|(at, uses)| at.elapsed() >= GATHER || !uses::cover(uses, &snapshot)) {
            let uses = uses::of(&snapshot, args.long);
            is_news |= asked.as_ref().is_some_and(|(_, before)| *before != uses);
            asked = Some((Instant::now(), uses));
        }
        let uses = asked.as_ref().map(|(_, uses)| uses);
        let text = text(client, args, &snapshot, details, uses).map_err(Stopped::Reader)?;
        screen.show(terminal, &text, is_news).map_err(Stopped::Reader)?;
        let newer = client.changes().next_within(TICK)?;
        is_news = newer.is_some();
        snapshot = newer.unwrap_or(snapshot);
    }
}

fn text(
    client: &Client,
    args: &cli::Status,
    snapshot: &Snapshot,
    details: Option<&DetailsAnswer>,
    uses: Option<&Uses>,
) -> Result<String, Failure> {
    if args.json {
        let uses = uses.filter(|_| args.long);
        let running = Running { running: true, daemon: client.daemon(), snapshot, uses, details };
        return Ok(serde_json::to_string(&running)? + "\n");
    }
    if snapshot.workspaces.is_empty() {
        return Ok(render::list(snapshot));
    }
    Ok(render::snapshot(snapshot, details, uses.unwrap_or(&Uses::new()), now_ms()))
}

/// Where it is shown: a terminal is drawn over, anything else gets what is new, one piece after the other.
struct Screen {
    /// Lines on the terminal that are ours.
    drawn: usize,
    /// It was said that there is no daemon.
    absent: bool,
    /// Lines of the terminal, where it is one.
    height: Option<usize>,
}

impl Screen {
    fn show(&mut self, terminal: &mut Terminal<'_>, text: &str, is_news: bool) -> Result<(), Failure> {
        let Some(height) = self.height else {
            return if is_news { terminal.print(text) } else { Ok(()) };
        };
        // What does not fit cannot be drawn over.
        let lines: Vec<&str> = text.lines().take(height.saturating_sub(1)).collect();
        let mut frame = String::new();
        if self.drawn > 0 {
            frame.push_str(&format!("\x1b[{}A\r", self.drawn));
        }
        for line in &lines {
            frame.push_str(line);
            frame.push_str("\x1b[K\n");
        }
        frame.push_str("\x1b[J");
        self.drawn = lines.len();
        terminal.print(&frame)
    }
}

fn height() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stdout()).map(|(_, height)| usize::from(height.0))
}
