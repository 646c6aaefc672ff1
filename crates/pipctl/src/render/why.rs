//! `pipctl why`: the timeline of a service.

use jiff::tz::TimeZone;
use wire::{RunView, ServiceView, WhyAnswer};

use super::holder::{holder, unnamed};
use super::style::{BAD, FAINT, GOOD, STRONG, Styled, phase_style, phase_word};
use super::table::{Table, plain};
use super::{arrow, status};
use crate::clock::{between, local, span};

/// Where it is and why, its runs, and what happens next.
pub(crate) fn why(answer: &WhyAnswer, now_ms: i64, zone: &TimeZone) -> String {
    let service = &answer.service;
    let mut text = head(service, now_ms);
    text.push_str(&runs(&answer.runs, now_ms, zone));
    if !answer.next.is_empty() {
        text.push_str(&format!("next: {}\n", plain(&answer.next)));
    }
    let several = service.choices.iter();
    for command in several.chain(service.hint.iter().filter(|_| service.choices.is_empty())) {
        text.push_str(&format!("{}\n", arrow(0, command)));
    }
    text.push_str(&status::warnings(&service.warnings));
    text
}

fn head(service: &ServiceView, now_ms: i64) -> String {
    let phase = Styled(phase_word(service.phase), phase_style(service.phase));
    let mut text = format!("{} is {phase}", Styled(&service.name, STRONG));
    if service.since_ms > 0 {
        text.push_str(&format!(" for {}", span(between(service.since_ms, now_ms))));
    }
    if let Some(pid) = service.pid {
        text.push_str(&format!(", pid {pid}"));
    }
    if let Some(address) = &service.address {
        text.push_str(&format!(", {}", plain(address)));
    }
    text.push('\n');
    if let Some(detail) = &service.detail {
        text.extend(detail.lines().map(|line| format!("  {}\n", plain(line))));
    }
    text.extend(
        unnamed(&service.holders, service.detail.as_deref())
            .map(|view| format!("  {}\n", holder(view, now_ms))),
    );
    text
}

fn runs(runs: &[RunView], now_ms: i64, zone: &TimeZone) -> String {
    if runs.is_empty() {
        return format!("{}\n", Styled("it has not run yet", FAINT));
    }
    let mut table = Table::default();
    for run in runs {
        let started = run.started_ms.map_or_else(|| "-".into(), |at| local(at, now_ms, zone));
        let pid = run.pid.map(|pid| format!("pid {pid}")).unwrap_or_default();
        let end = match (&run.exit, run.started_ms) {
            (None, Some(started)) => {
                super::table::Cell::new(format!("running for {}", span(between(started, now_ms))), GOOD)
            }
            (None, None) => "not running yet".into(),
            (Some(exit), _) => {
                let asked = if exit.asked { ", as asked" } else { "" };
                let after = match exit.uptime_ms {
                    0 => String::new(),
                    uptime => format!(" after {}", span(uptime)),
                };
                let text = format!("{}{after}{asked}", exit.cause);
                let well = exit.asked || exit.cause == wire::ExitCause::Code(0);
                super::table::Cell::new(text, if well { FAINT } else { BAD })
            }
        };
        table.row(vec![format!("run {}", run.run).into(), started.into(), pid.into(), end]);
        for line in &run.last_words {
            table.line(format!("      {}", plain(&line.replace('\t', "    "))));
        }
        if let Some(exit) = &run.exit {
            for command in &exit.swept {
                table.line(format!("      {}", Styled(format!("swept: {}", plain(command)), FAINT)));
            }
            for command in &exit.left_running {
                table.line(format!("      {}", Styled(format!("left running: {}", plain(command)), FAINT)));
            }
        }
    }
    table.render()
}
