//! `pipctl adopt`: have a server that somebody started by hand looked after, in place.

use std::collections::BTreeMap;
use std::time::Instant;

use wire::StartParams;

use super::asking::Asking;
use super::find;
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render::{self, Verb};
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    args: &cli::Adopt,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let (root, spec) = find::spec(&args.workspace, surroundings)?;
    find::check_names(&args.services, &spec)?;
    let params = StartParams {
        workspace: spec,
        services: args.services.clone(),
        no_wait: args.waiting.no_wait,
        timeout_ms: args.waiting.timeout_ms(),
        refresh_env: false,
        force: false,
        when_idle: false,
        seen_runs: BTreeMap::new(),
        port: None,
        takeover: false,
        takeover_pids: Vec::new(),
    };
    let asking = Asking {
        surroundings,
        root: &root,
        services: &args.services,
        json: args.json,
        no_wait: args.waiting.no_wait,
        interrupted: "interrupted; it is adopted all the same. Look: pipctl status".into(),
    };
    let answer =
        asking.until_answered(None, terminal, |client, _, lines| client.adopt(params.clone(), lines))?;
    if args.json {
        terminal.print_json(&answer)?;
    } else {
        terminal.print(&render::answer(Verb::Adopt, &answer, begun.elapsed(), now_ms()))?;
    }
    Ok(Exit::of_answer(&answer))
}
