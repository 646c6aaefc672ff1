//! `pipctl start`: find the workspace, have a daemon, want its services up, say what came of it.

use std::collections::BTreeMap;
use std::time::Instant;

use wire::{HolderView, ServiceOutcome, ServiceResult, StartParams, VerbAnswer};

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
    let mut params = StartParams {
        workspace: spec,
        services: args.services.clone(),
        no_wait: args.waiting.no_wait,
        timeout_ms: args.waiting.timeout_ms(),
        refresh_env: false,
        when_idle: false,
        force: args.force,
        seen_runs: BTreeMap::new(),
        port: args.port,
        takeover: args.takeover.is_some(),
        takeover_pids: args.takeover.filter(|&pid| pid > 0).into_iter().collect(),
    };
    let asking = Asking {
        surroundings,
        root: &root,
        services: &args.services,
        json: args.json,
        no_wait: args.waiting.no_wait,
        interrupted: going_on(&args.services),
    };
    let ask = |params: &StartParams, terminal: &mut Terminal<'_>| {
        asking.until_answered(None, terminal, |client, _, lines| client.start(params.clone(), lines))
    };
    let asks_a_person = params.takeover && !args.json && surroundings.interactive;
    let mut answer = match ask(&params, terminal) {
        // What would be lost is another workspace's.
        Err(failure) if failure.exit == Exit::Busy && asks_a_person && !params.force => {
            terminal.tell(&format!("{}\n", render::plain(&failure.message)));
            if !terminal.confirm("take it over and lose that work?") {
                terminal.tell("nothing was done\n");
                return Ok(Exit::Busy);
            }
            params.force = true;
            ask(&params, terminal)?
        }
        answer => answer?,
    };
    if asks_a_person && confirm(&answer, &mut params, terminal) {
        answer = ask(&params, terminal)?;
    }
    if args.json {
        terminal.print_json(&answer)?;
    } else {
        terminal.print(&render::answer(Verb::Start, &answer, begun.elapsed(), now_ms()))?;
    }
    let mut exit = Exit::of_answer(&answer);
    if params.takeover {
        for (service, holder) in in_the_way(&answer) {
            // What runs by hand is no failure unless it was to be ended.
            exit = exit.worst(Exit::Blocked);
            if let Some(pid) = holder.pid {
                terminal.tell(&format!(
                    "pid {pid} is not pipd's; to end it: pipctl start {service} --takeover={pid}\n"
                ));
            }
        }
    }
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

/// Who still holds the port of a service that was to be started.
fn in_the_way(answer: &VerbAnswer) -> Vec<(&str, &HolderView)> {
    let stands = |result: &&ServiceResult| {
        matches!(result.outcome, ServiceOutcome::Blocked | ServiceOutcome::External)
    };
    let with_holder = answer.services.iter().filter(stands);
    with_holder
        .filter_map(|result| Some((result.service.name.as_str(), result.service.holders.first()?)))
        .collect()
}

/// Asks a person about each process that is in the way and not pipd's; whether any may be ended.
fn confirm(answer: &VerbAnswer, params: &mut StartParams, terminal: &mut Terminal<'_>) -> bool {
    let mut any = false;
    for (service, holder) in in_the_way(answer) {
        let Some(pid) = holder.pid else { continue };
        let named = render::named_holder(holder, now_ms());
        if terminal.confirm(&format!("{service}: end {named}?")) {
            params.takeover_pids.push(pid);
            any = true;
        }
    }
    any
}

fn going_on(services: &[String]) -> String {
    let names = services.join(" ");
    let space = if names.is_empty() { "" } else { " " };
    format!(
        "interrupted; services go on starting. Look: pipctl status   Stop them: pipctl stop{space}{names}"
    )
}
