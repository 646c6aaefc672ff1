//! `pipctl restart`: stop, then start, as one request.

use std::time::Instant;

use wire::{StartParams, VerbAnswer};

use super::{find, stop};
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::interrupt::Watch;
use crate::live::Live;
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
    let mut client = find::daemon_or_start(surroundings, terminal, args.json)?;
    let mut params = StartParams {
        workspace: spec,
        services: args.services.clone(),
        no_wait: args.waiting.no_wait,
        timeout_ms: args.waiting.timeout_ms(),
        refresh_env: args.env,
        force: args.force,
    };
    let live = surroundings.interactive && !args.json && !args.waiting.no_wait;
    let mut ask = |params: &StartParams, terminal: &mut Terminal<'_>| -> Result<VerbAnswer, Failure> {
        let _watch = Watch::begin(
            surroundings.catch_interrupts && !args.waiting.no_wait,
            "interrupted; services go on restarting. Look: pipctl status",
        );
        let mut lines = Live::new(terminal.err, &root, &args.services, live);
        if live {
            let snapshot = client.subscribe(Some(&root))?;
            client::Progress::changed(&mut lines, &snapshot);
        }
        let result = client.restart(params.clone(), &mut lines);
        lines.clear();
        Ok(result?)
    };
    let mut answer = ask(&params, terminal)?;
    if !args.json && surroundings.interactive && stop::confirm_loss(&answer, "restart", terminal) {
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
    Ok(Exit::of_answer(&answer))
}
