//! `pipctl restart`: stop, then start, as one request.

use std::collections::BTreeMap;
use std::time::Instant;

use wire::{ServiceOutcome, ServiceSpec, StartParams, VerbAnswer, WorkspaceSpec};

use super::asking::Asking;
use super::{find, idle, stop};
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render::{self, Verb};
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    args: &cli::Restart,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let (root, spec) = find::spec(&args.workspace, surroundings)?;
    find::check_names(&args.services, &spec)?;
    let (chosen, held) = divide(&args.services, &spec);
    for line in &held {
        terminal.tell(line);
    }
    let kept_back = if held.is_empty() { Exit::Ok } else { Exit::Blocked };
    if chosen.is_empty() && !held.is_empty() {
        return Ok(kept_back);
    }
    let names: Vec<String> = spec.services.iter().map(|service| service.name.clone()).collect();
    let mut params = StartParams {
        workspace: spec,
        services: chosen.clone(),
        no_wait: args.waiting.no_wait,
        timeout_ms: args.waiting.timeout_ms(),
        refresh_env: args.env,
        when_idle: false,
        force: args.force,
        seen_runs: BTreeMap::new(),
        port: args.port,
        takeover: false,
        takeover_pids: Vec::new(),
    };
    let asking = Asking {
        surroundings,
        root: &root,
        services: &chosen,
        json: args.json,
        no_wait: args.waiting.no_wait,
        interrupted: "interrupted; services go on restarting. Look: pipctl status".into(),
    };
    let ask = |params: &StartParams, terminal: &mut Terminal<'_>| -> Result<VerbAnswer, Failure> {
        // The runs there were before anything was asked: a newer one needs no second restart.
        let mut seen: Option<BTreeMap<String, u64>> = None;
        asking.until_answered(None, terminal, |client, _, lines| {
            let seen_runs = match &seen {
                Some(seen) => seen.clone(),
                None => {
                    let found = client.last_runs(&root)?;
                    seen = Some(
                        names
                            .iter()
                            .map(|name| (name.clone(), found.get(name).copied().unwrap_or(0)))
                            .collect(),
                    );
                    BTreeMap::new()
                }
            };
            client.restart(StartParams { seen_runs, ..params.clone() }, lines)
        })
    };
    let mut waited = None;
    if let Some(limit) = args.when_idle {
        let asked = StartParams { when_idle: true, no_wait: true, ..params.clone() };
        let answer = idle::wait(&asking, limit, terminal, |client| client.restart(asked.clone(), &mut ()))?;
        waited = Some(if idle::is_busy(&answer) { answer } else { await_start(&asking, &params, terminal)? });
    }
    let asked_already = waited.is_some();
    let mut answer = match waited {
        Some(answer) => answer,
        None => ask(&params, terminal)?,
    };
    if !asked_already
        && !args.json
        && surroundings.interactive
        && stop::confirm_loss(&answer, "restart", terminal)
    {
        params.force = true;
        params.services = stop::busy(&answer);
        stop::merge(&mut answer, ask(&params, terminal)?);
    }
    if args.json {
        terminal.print_json(&answer)?;
    } else {
        terminal.print(&render::answer(Verb::Restart, &answer, begun.elapsed(), now_ms()))?;
        stop::hint_force(&answer, "restart", terminal);
    }
    Ok(Exit::of_answer(&answer).worst(kept_back))
}

/// Waits for the end of a restart that was taken on.
fn await_start(
    asking: &Asking<'_>,
    params: &StartParams,
    terminal: &mut Terminal<'_>,
) -> Result<VerbAnswer, Failure> {
    let mut answer =
        asking.until_answered(None, terminal, |client, _, lines| client.start(params.clone(), lines))?;
    for result in &mut answer.services {
        // It was quick.
        if result.outcome == ServiceOutcome::Already {
            result.outcome = ServiceOutcome::Ready;
        }
    }
    Ok(answer)
}

/// The services to restart, and a line for each that is left as it is: what could not be started again is not
/// stopped for it.
fn divide(asked: &[String], spec: &WorkspaceSpec) -> (Vec<String>, Vec<String>) {
    let is_meant = |name: &String| asked.is_empty() || asked.contains(name);
    let (held, free): (Vec<_>, Vec<_>) = spec
        .services
        .iter()
        .filter(|service| is_meant(&service.name))
        .partition(|service| !service.absent.is_empty());
    if held.is_empty() {
        return (asked.to_vec(), Vec::new());
    }
    let line = |service: &ServiceSpec| {
        let missing = service.absent.iter().map(|absent| {
            let hint = absent.hint.as_ref().map(|hint| format!("    → {hint}\n")).unwrap_or_default();
            format!("    {}\n{hint}", absent.detail)
        });
        format!(
            "{}  left as it is; it could not be started again\n{}",
            service.name,
            missing.collect::<String>()
        )
    };
    (free.iter().map(|service| service.name.clone()).collect(), held.into_iter().map(line).collect())
}
