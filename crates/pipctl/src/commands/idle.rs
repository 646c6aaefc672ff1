//! `--when-idle`: asking again until nothing would be lost. Nothing at all is done before that, so Ctrl-C has nothing
//! to undo.

use std::time::{Duration, Instant};

use client::{CallError, Client};
use wire::{ServiceOutcome, VerbAnswer};

use super::asking::Asking;
use super::find;
use crate::exit::Failure;
use crate::interrupt::Watch;
use crate::render::plain;
use crate::terminal::Terminal;

/// Time between two questions: what JupyterLab is asked costs it a few milliseconds.
const PERIOD: Duration = Duration::from_secs(1);

/// Asks until the daemon takes it on, or `limit` has passed: then the answer says what is still at work. `ask` must
/// leave everything as it is while it answers `busy`.
pub(super) fn wait(
    asking: &Asking<'_>,
    limit: Option<Duration>,
    terminal: &mut Terminal<'_>,
    mut ask: impl FnMut(&mut Client) -> Result<VerbAnswer, CallError>,
) -> Result<VerbAnswer, Failure> {
    let _watch = Watch::begin(asking.surroundings.catch_interrupts, "interrupted; everything is as it was");
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut told = Vec::new();
    let mut client = None;
    loop {
        let mut connected = match client.take() {
            Some(client) => client,
            None => find::daemon_or_start(asking.surroundings, terminal, asking.json)?,
        };
        let answer = match ask(&mut connected) {
            Ok(answer) => answer,
            // The next daemon is asked the next time.
            Err(CallError::Gone) => {
                std::thread::sleep(PERIOD);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        client = Some(connected);
        if !is_busy(&answer) || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(answer);
        }
        let lines: Vec<String> =
            answer.services.iter().flat_map(|result| result.would_lose.clone()).collect();
        if lines != told && !asking.json {
            terminal.tell("waiting for the end of this; Ctrl-C leaves all as it is:\n");
            for line in &lines {
                terminal.tell(&format!("  {}\n", plain(line)));
            }
        }
        told = lines;
        let left = deadline.map_or(PERIOD, |deadline| deadline.saturating_duration_since(Instant::now()));
        std::thread::sleep(left.min(PERIOD));
    }
}

/// Whether something was in the way.
pub(super) fn is_busy(answer: &VerbAnswer) -> bool {
    answer.services.iter().any(|result| result.outcome == ServiceOutcome::Busy)
}
