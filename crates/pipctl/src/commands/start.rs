//! `pipctl start`: find the workspace, have a daemon, want its services up, say what came of it.

use std::path::Path;
use std::time::{Duration, Instant};

use client::{CallError, Client};
use wire::{ServiceOutcome, StartParams, VerbAnswer};

use super::{find, open};
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::interrupt::Watch;
use crate::live::Live;
use crate::render::{self, Verb};
use crate::terminal::{Surroundings, Terminal};

/// How often a `start` is sent again because the daemon went away while it waited. Starting is idempotent.
const ATTEMPTS: u32 = 3;

/// What the daemon that went away is given to be gone, more each time.
const ANOTHER: Duration = Duration::from_millis(50);

pub(crate) fn run(
    args: &cli::Start,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let (root, spec) = find::spec(&args.workspace, surroundings)?;
    find::check_names(&args.services, &spec)?;
    if !args.json {
        terminal.tell(&render::notes(&spec));
    }
    let params = StartParams {
        workspace: spec,
        services: args.services.clone(),
        no_wait: args.waiting.no_wait,
        timeout_ms: args.waiting.timeout_ms(),
        refresh_env: false,
        force: false,
    };
    let answer = until_answered(&params, &root, args.json, surroundings, terminal)?;
    if args.json {
        terminal.print_json(&answer)?;
    } else {
        terminal.print(&render::answer(Verb::Start, &answer, begun.elapsed(), now_ms()))?;
    }
    let mut exit = Exit::of_answer(&answer);
    if args.open {
        for result in &answer.services {
            if let (Some(url), true) = (&result.service.url, is_up(result.outcome)) {
                let shown = result.service.address.as_deref().unwrap_or(url);
                exit = exit.worst(open::browse(url, shown, args.json, surroundings, terminal)?);
            }
        }
    }
    Ok(exit)
}

fn is_up(outcome: ServiceOutcome) -> bool {
    matches!(outcome, ServiceOutcome::Ready | ServiceOutcome::Already | ServiceOutcome::External)
}

fn until_answered(
    params: &StartParams,
    root: &Path,
    quiet: bool,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<VerbAnswer, Failure> {
    let live = surroundings.interactive && !quiet && !params.no_wait;
    let watch = Watch::begin(surroundings.catch_interrupts && !params.no_wait, going_on(&params.services));
    for attempt in 1.. {
        let mut client = find::daemon_or_start(surroundings, terminal, quiet)?;
        match once(&mut client, params.clone(), root, live, terminal) {
            // One that is on its way out may still take connections for a moment.
            Err(CallError::Gone) if attempt < ATTEMPTS => std::thread::sleep(ANOTHER * attempt),
            result => {
                drop(watch);
                return Ok(result?);
            }
        }
    }
    Err(CallError::Gone.into())
}

fn once(
    client: &mut Client,
    params: StartParams,
    root: &Path,
    live: bool,
    terminal: &mut Terminal<'_>,
) -> Result<VerbAnswer, CallError> {
    let mut lines = Live::new(terminal.err, root, &params.services, live);
    if live {
        let snapshot = client.subscribe(Some(root))?;
        client::Progress::changed(&mut lines, &snapshot);
    }
    let result = client.start(params, &mut lines);
    lines.clear();
    result
}

fn going_on(services: &[String]) -> String {
    let names = services.join(" ");
    let space = if names.is_empty() { "" } else { " " };
    format!(
        "interrupted; services go on starting. Look: pipctl status   Stop them: pipctl stop{space}{names}"
    )
}
