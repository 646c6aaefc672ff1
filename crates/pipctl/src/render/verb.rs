//! What `start`, `stop` and `restart` came to.

use std::time::Duration;

use wire::{Goal, Phase, ServiceOutcome, ServiceResult, VerbAnswer, WorkspaceSpec};

use super::holder::{holder, unnamed};
use super::style::{BAD, FAINT, LINK, STRONG, Styled, outcome as outcome_style, phase_word};
use super::table::{Cell, Table, plain};
use super::{arrow, last_exit, status};
use crate::clock::{between, span};

/// Which verb was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
    Adopt,
}

/// What was found and why, before anything is started.
pub(crate) fn notes(spec: &WorkspaceSpec) -> String {
    let mut text = String::new();
    for note in &spec.notes {
        text.push_str(&format!("{}\n", Styled(plain(note), FAINT)));
    }
    text.push_str(&status::warnings(&spec.warnings));
    text
}

/// A line for each service, and below it what the line does not say.
pub(crate) fn answer(verb: Verb, answer: &VerbAnswer, took: Duration, now_ms: i64) -> String {
    let mut table = Table::default();
    for result in &answer.services {
        let service = &result.service;
        let (_, style) = outcome_style(result.outcome);
        let mut cells = vec![Cell::new(&service.name, STRONG), Cell::new(word(verb, result), style)];
        if verb != Verb::Stop && runs(result.outcome) {
            cells.push(Cell::new(service.url.clone().or(service.address.clone()).unwrap_or_default(), LINK));
            cells.push(service.pid.map(|pid| format!("pid {pid}")).unwrap_or_default().into());
            cells.push(time(result, took, now_ms).into());
        }
        table.row(cells);
        for line in below(result, now_ms) {
            table.line(line);
        }
    }
    table.render()
}

fn runs(outcome: ServiceOutcome) -> bool {
    match outcome {
        ServiceOutcome::Ready
        | ServiceOutcome::Already
        | ServiceOutcome::Accepted
        | ServiceOutcome::Timeout
        | ServiceOutcome::External => true,
        ServiceOutcome::Stopped
        | ServiceOutcome::Failed
        | ServiceOutcome::Blocked
        | ServiceOutcome::Superseded
        | ServiceOutcome::Busy
        | ServiceOutcome::Absent
        | ServiceOutcome::Unknown => false,
    }
}

fn word(verb: Verb, result: &ServiceResult) -> String {
    let phase = phase_word(result.service.phase);
    match (result.outcome, verb) {
        (ServiceOutcome::Already, Verb::Stop) => "was not running".into(),
        (ServiceOutcome::Already, _) => "already running".into(),
        (ServiceOutcome::Accepted, _) => phase.into(),
        (ServiceOutcome::Timeout, _) => format!("still {phase}"),
        (ServiceOutcome::External, Verb::Stop) => "started by hand, left alone".into(),
        (ServiceOutcome::External, Verb::Adopt) => "not adopted, runs by hand".into(),
        (ServiceOutcome::External, _) => "already running, external".into(),
        (ServiceOutcome::Ready, Verb::Adopt) => "adopted".into(),
        (ServiceOutcome::Busy, _) if result.would_lose.is_empty() => "left as it is".into(),
        (ServiceOutcome::Busy, _) => "busy, not stopped".into(),
        (ServiceOutcome::Superseded, _) => format!("now {phase}"),
        (ServiceOutcome::Failed, Verb::Stop) => format!("not stopped, {phase}"),
        (outcome, _) => outcome_style(outcome).0.into(),
    }
}

/// How long it took, or for how long it has been running.
fn time(result: &ServiceResult, took: Duration, now_ms: i64) -> String {
    match (result.outcome, result.service.started_ms) {
        (ServiceOutcome::Already | ServiceOutcome::External, Some(started)) => {
            format!("up {}", span(between(started, now_ms)))
        }
        (ServiceOutcome::Ready, Some(started)) => span(between(started, result.service.since_ms)),
        (ServiceOutcome::Ready | ServiceOutcome::Timeout, _) => {
            span(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
        }
        _ => String::new(),
    }
}

fn below(result: &ServiceResult, now_ms: i64) -> Vec<String> {
    let service = &result.service;
    let name = &service.name;
    let mut lines = Vec::new();
    let detail = |lines: &mut Vec<String>| {
        if let Some(detail) = &service.detail {
            lines.extend(detail.lines().map(|line| format!("    {}", plain(line))));
        }
    };
    match result.outcome {
        ServiceOutcome::Failed => {
            lines.extend(last_exit(service).map(|exit| format!("    {}", Styled(exit, BAD))));
            detail(&mut lines);
            lines.extend(result.last_words.iter().map(|line| format!("    {}", plain_indented(line))));
            if service.goal == Goal::Up
                && let Some(next) = service.next_try_ms
            {
                let wait = span(between(now_ms, next));
                lines.push(format!("    tried again in {wait}, and at once when its files change"));
            }
            lines.extend(service.hint.iter().map(|hint| arrow(4, hint)));
            lines.push(arrow(4, &format!("pipctl why {name}    pipctl logs {name}")));
        }
        ServiceOutcome::Blocked => {
            detail(&mut lines);
            lines.extend(
                unnamed(&service.holders, service.detail.as_deref())
                    .map(|view| format!("    {}", holder(view, now_ms))),
            );
            let ways_on = status::ways_on(service);
            if ways_on.is_empty() {
                lines.push(arrow(4, &format!("pipctl why {name}")));
            }
            lines.extend(ways_on);
        }
        ServiceOutcome::Busy => {
            lines.extend(result.would_lose.iter().map(|line| format!("    would be lost: {}", plain(line))));
        }
        ServiceOutcome::Timeout => {
            detail(&mut lines);
            lines.extend(result.last_words.iter().map(|line| format!("    {}", plain_indented(line))));
            lines.push(arrow(4, &format!("pipctl status    pipctl logs -f {name}")));
        }
        ServiceOutcome::Superseded => {
            lines.push("    another request took the place of this one".into());
            detail(&mut lines);
            lines.push(arrow(4, "pipctl status"));
        }
        ServiceOutcome::Absent => {
            let there = match service.phase {
                Phase::Blocked => "what holds its port is not this service started by hand",
                _ => "nobody runs it by hand",
            };
            lines.push(format!("    {there}; nothing was changed"));
            detail(&mut lines);
            lines.push(arrow(4, &format!("pipctl start {name}    pipctl status")));
        }
        ServiceOutcome::External | ServiceOutcome::Unknown => {
            detail(&mut lines);
            lines.extend(service.hint.iter().map(|hint| arrow(4, hint)));
        }
        ServiceOutcome::Ready
        | ServiceOutcome::Already
        | ServiceOutcome::Stopped
        | ServiceOutcome::Accepted => {
            if let Some(exit) = &service.last_exit
                && result.outcome == ServiceOutcome::Stopped
            {
                let left = exit.left_running.iter();
                lines.extend(left.map(|command| format!("    left running: {}", plain(command))));
            }
        }
    }
    lines.extend(service.warnings.iter().flat_map(|warning| {
        status::warnings(std::slice::from_ref(warning))
            .lines()
            .map(|line| format!("    {line}"))
            .collect::<Vec<_>>()
    }));
    lines
}

/// As [`plain`], but a line's tabs and leading blanks stay: they are the shape of a traceback.
fn plain_indented(line: &str) -> String {
    plain(&line.replace('\t', "    "))
}
