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

fn going_on(services: &[String]) -> String {
    let names = services.join(" ");
    let space = if names.is_empty() { "" } else { " " };
    format!(
        "interrupted; services go on starting. Look: pipctl status   Stop them: pipctl stop{space}{names}"
    )
}
