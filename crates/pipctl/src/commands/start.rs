//! `pipctl start`: find the workspace, have a daemon, want its services up, say what came of it.

use std::collections::BTreeMap;
use std::time::Instant;

use wire::{ServiceOutcome, StartParams};

use super::asking::Asking;
use super::{find, open};
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render::{self, Verb};
use crate::terminal::{Surroundings, Terminal};

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
        when_idle: false,
        force: false,
        seen_runs: BTreeMap::new(),
    };
    let asking = Asking {
        surroundings,
        root: &root,
        services: &args.services,
        json: args.json,
        no_wait: args.waiting.no_wait,
        interrupted: going_on(&args.services),
    };
    let answer =
        asking.until_answered(None, terminal, |client, _, lines| client.start(params.clone(), lines))?;
    if args.json {
        terminal.print_json(&answer)?;
    } else {
        terminal.print(&render::answer(Verb::Start, &answer, begun.elapsed(), now_ms()))?;
    }
    let mut exit = Exit::of_answer(&answer);
    if args.open {
        // One tab for each that was started now; none when nothing was: its tab is open already.
        for result in answer.services.iter().filter(|result| result.outcome == ServiceOutcome::Ready) {
            if let Some(url) = &result.service.url {
                let shown = result.service.address.as_deref().unwrap_or(url);
                let page = open::Page { name: &result.service.name, url, shown };
                exit = exit.worst(open::browse(page, args.json, surroundings, terminal)?);
            }
        }
    }
    Ok(exit)
}

fn going_on(services: &[String]) -> String {
    let names = services.join(" ");
    let space = if names.is_empty() { "" } else { " " };
    format!(
        "interrupted; services go on starting. Look: pipctl status   Stop them: pipctl stop{space}{names}"
    )
}
