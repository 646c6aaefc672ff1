//! `pipctl stop`: want services down. Asks before work is lost.

use std::time::Instant;

use wire::{ServiceOutcome, StopParams, VerbAnswer};

use super::asking::Asking;
use super::{find, idle};
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render::{self, Verb, plain};
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    args: &cli::Stop,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let (begun, begun_ms) = (Instant::now(), now_ms());
    let root = find::kept_root(&args.workspace, surroundings)?.path;
    let mut first = Some(find::daemon_of_the_living(surroundings, terminal, args.json)?);
    let mut params = StopParams {
        root: root.as_path().into(),
        services: args.services.clone(),
        no_wait: args.waiting.no_wait,
        timeout_ms: args.waiting.timeout_ms(),
        when_idle: false,
        force: args.force,
        all_processes: args.all_processes,
    };
    let asking = Asking {
        surroundings,
        root: &root,
        services: &args.services,
        json: args.json,
        no_wait: args.waiting.no_wait,
        interrupted: "interrupted; services go on stopping. Look: pipctl status".into(),
    };
    let mut ask = |params: &StopParams, terminal: &mut Terminal<'_>| -> Result<VerbAnswer, Failure> {
        let begun_ms = now_ms();
        asking.until_answered(first.take(), terminal, |client, is_first, lines| {
            let mut answer = client.stop(params.clone(), lines)?;
            if !is_first {
                claim(&mut answer, begun_ms);
            }
            Ok(answer)
        })
    };
    let mut waited = None;
    if let Some(limit) = args.when_idle {
        let asked = StopParams { when_idle: true, no_wait: true, ..params.clone() };
        let answer = idle::wait(&asking, limit, terminal, |client| client.stop(asked.clone(), &mut ()))?;
        waited = Some(answer).filter(idle::is_busy);
    }
    let given_up = waited.is_some();
    let mut answer = match waited {
        Some(answer) => answer,
        None => ask(&params, terminal)?,
    };
    if args.when_idle.is_some() {
        // It was asked for before it was waited for.
        claim(&mut answer, begun_ms);
    }
    if !given_up && !args.json && surroundings.interactive && confirm_loss(&answer, "stop", terminal) {
        params.force = true;
        params.services = busy(&answer);
        merge(&mut answer, ask(&params, terminal)?);
    }
    if args.json {
        terminal.print_json(&answer)?;
    } else {
        terminal.print(&render::answer(Verb::Stop, &answer, begun.elapsed(), now_ms()))?;
        hint_force(&answer, "stop", terminal);
    }
    Ok(Exit::of_answer(&answer))
}

/// A daemon that died in between had stopped what the next one finds stopped already.
fn claim(answer: &mut VerbAnswer, begun_ms: i64) {
    for result in &mut answer.services {
        let ours = result.service.last_exit.as_ref().is_some_and(|exit| exit.asked && exit.at_ms >= begun_ms);
        if ours && result.outcome == ServiceOutcome::Already {
            result.outcome = ServiceOutcome::Stopped;
        }
    }
}

/// The services that were left alone because work would be lost.
pub(super) fn busy(answer: &VerbAnswer) -> Vec<String> {
    answer
        .services
        .iter()
        .filter(|result| result.outcome == ServiceOutcome::Busy && !result.would_lose.is_empty())
        .map(|result| result.service.name.clone())
        .collect()
}

/// Tells a person what would be lost and asks whether that is meant.
pub(super) fn confirm_loss(answer: &VerbAnswer, verb: &str, terminal: &mut Terminal<'_>) -> bool {
    let busy = busy(answer);
    if busy.is_empty() {
        return false;
    }
    for result in answer.services.iter().filter(|result| result.outcome == ServiceOutcome::Busy) {
        terminal.tell(&format!("{}: this would be lost:\n", result.service.name));
        for line in &result.would_lose {
            terminal.tell(&format!("  {}\n", plain(line)));
        }
    }
    terminal.confirm(&format!("{verb} {} and lose it?", busy.join(", ")))
}

/// Replaces what was answered first by what was answered last.
pub(super) fn merge(answer: &mut VerbAnswer, later: VerbAnswer) {
    for result in later.services {
        match answer.services.iter_mut().find(|old| old.service.name == result.service.name) {
            Some(old) => *old = result,
            None => answer.services.push(result),
        }
    }
}

/// What to type when the loss is meant.
pub(super) fn hint_force(answer: &VerbAnswer, verb: &str, terminal: &mut Terminal<'_>) {
    let busy = busy(answer);
    if !busy.is_empty() {
        terminal.tell(&format!("to lose that work: pipctl {verb} --force {}\n", busy.join(" ")));
    }
}
