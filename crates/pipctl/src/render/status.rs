//! `pipctl status`.

use wire::{DetailsAnswer, Goal, Owner, Phase, ServiceView, Snapshot, WorkspaceView};

use super::holder::{holder, unnamed};
use super::style::{BAD, FAINT, GOOD, LINK, STRONG, Styled, WAITING, phase_style, phase_word};
use super::table::{Cell, Table, plain};
use super::{arrow, details, last_exit, pid};
use crate::clock::{between, span};
use crate::commands::uses::{Use, Uses};

/// Every workspace, each under its folder.
pub(crate) fn snapshot(
    snapshot: &Snapshot,
    details: Option<&DetailsAnswer>,
    uses: &Uses,
    now_ms: i64,
) -> String {
    let mut text = String::new();
    for (index, view) in snapshot.workspaces.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let root = view.root.as_ref().map_or_else(|| view.id.clone(), |root| plain(&root.to_string_lossy()));
        let gone = if view.gone { format!(" {}", Styled("(gone)", BAD)) } else { String::new() };
        text.push_str(&format!("{}{gone}\n", Styled(root, STRONG)));
        text.push_str(&workspace(view, details, now_ms));
        text.push_str(&outside(view, uses));
    }
    text.push_str(&warnings(&snapshot.warnings));
    text.push_str(&details.map(details::machine).unwrap_or_default());
    text
}

/// One workspace: a row for each service, and below it what a person should know of it.
pub(crate) fn workspace(view: &WorkspaceView, details: Option<&DetailsAnswer>, now_ms: i64) -> String {
    if view.services.is_empty() {
        return format!("{}{}", Styled("no services\n", FAINT), warnings(&view.warnings));
    }
    let mut heading = vec!["SERVICE", "STATE", "PID", "UPTIME"];
    if details.is_some() {
        heading.extend(["OWNER", "RESTARTS", "PROCS", "MEMORY", "CPU"]);
    }
    heading.push("URL");
    let mut table = Table::with_heading(&heading);
    for service in &view.services {
        let mut cells: Vec<Cell> = vec![
            Cell::new(&service.name, STRONG),
            Cell::new(phase_word(service.phase), phase_style(service.phase)),
            pid(service.pid).into(),
            uptime(service, now_ms).into(),
        ];
        let more = details.map(|answer| details::of(answer, view, service));
        if let Some(more) = more {
            cells.extend([owner(service.owner).into(), service.restarts.to_string().into()]);
            cells.extend(details::columns(more));
        }
        cells.push(Cell::new(address(service), LINK));
        table.row(cells);
        for line in below(service, now_ms) {
            table.line(line);
        }
        let lines = match more {
            Some(more) => details::lines(more, now_ms),
            None => details::kernels_in_short(service, now_ms).into_iter().collect(),
        };
        for line in lines {
            table.line(line);
        }
    }
    let mut text = table.render();
    text.push_str(&warnings(&view.warnings));
    text
}

/// What the services use and pipd does not run.
fn outside(view: &WorkspaceView, uses: &Uses) -> String {
    let lines = view.depends.iter().map(|depend| {
        let (word, style) = match uses.get(&depend.url) {
            Some(Use { answers: Some(true), .. }) => ("answers".to_owned(), GOOD),
            Some(Use { answers: Some(false), detail }) => {
                (format!("no answer: {}", detail.as_deref().unwrap_or("nobody there")), FAINT)
            }
            Some(Use { answers: None, .. }) | None => ("not asked (pipctl status --long)".to_owned(), FAINT),
        };
        let url = Styled(plain(&depend.url), LINK);
        format!("uses {} at {url}: {}\n", Styled(&depend.name, STRONG), Styled(plain(&word), style))
    });
    lines.collect()
}

/// What the row does not say.
fn below(service: &ServiceView, now_ms: i64) -> Vec<String> {
    let mut lines = Vec::new();
    let style = phase_style(service.phase);
    if let Some(detail) = &service.detail {
        lines.extend(detail.lines().map(|line| format!("    {}", Styled(plain(line), style))));
    }
    match service.phase {
        Phase::Backoff | Phase::GaveUp | Phase::Finished => lines.extend(ending(service, now_ms)),
        Phase::Unhealthy => {
            let age = span(between(service.since_ms, now_ms));
            lines.push(format!("    {}", Styled(format!("no answer for {age}"), BAD)));
        }
        Phase::Quiet => {
            lines.extend(service.next_try_ms.map(|next| match between(now_ms, next) {
                0 => "    now".into(),
                wait => format!("    in {}", span(wait)),
            }));
        }
        Phase::Down if service.goal == Goal::Down => {}
        Phase::Down
        | Phase::Blocked
        | Phase::Spawning
        | Phase::Starting
        | Phase::Ready
        | Phase::Stopping
        | Phase::External
        | Phase::Unknown => {}
    }
    // Of what runs by hand the row has the process and the reason the rest.
    let own = service.pid.filter(|_| service.phase == Phase::External);
    let holders = unnamed(&service.holders, service.detail.as_deref());
    for view in holders.filter(|holder| own.is_none() || holder.pid != own) {
        lines.push(format!("    {}", holder(view, now_ms)));
    }
    lines.extend(service.warnings.iter().map(|warning| warning_line(4, warning)));
    lines.extend(ways_on(service));
    lines
}

/// What to type next: the commands to choose from, or the one there is.
pub(crate) fn ways_on(service: &ServiceView) -> Vec<String> {
    let several = service.choices.iter();
    let one = service.hint.iter().filter(|_| service.choices.is_empty());
    several.chain(one).map(|command| arrow(4, command)).collect()
}

/// How it ended, how often, and when it is tried again.
fn ending(service: &ServiceView, now_ms: i64) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(last_exit(service));
    if service.restarts > 0 {
        parts.push(format!("restarts: {}", service.restarts));
    }
    if let Some(next) = service.next_try_ms {
        parts.push(match between(now_ms, next) {
            0 => "next try now".into(),
            wait => format!("next try in {}", span(wait)),
        });
    }
    (!parts.is_empty()).then(|| format!("    {}", parts.join(", ")))
}

/// Where it answers, or will; nothing for what is not about to.
fn address(service: &ServiceView) -> String {
    match service.phase {
        Phase::Down | Phase::Finished | Phase::GaveUp => String::new(),
        Phase::Blocked
        | Phase::Spawning
        | Phase::Starting
        | Phase::Ready
        | Phase::Unhealthy
        | Phase::Stopping
        | Phase::Backoff
        | Phase::Quiet
        | Phase::External
        | Phase::Unknown => service.address.clone().unwrap_or_default(),
    }
}

fn uptime(service: &ServiceView, now_ms: i64) -> String {
    match (service.pid, service.started_ms) {
        (Some(_), Some(started)) => span(between(started, now_ms)),
        _ => "-".into(),
    }
}

/// Warnings, one line each.
pub(crate) fn warnings(warnings: &[String]) -> String {
    warnings.iter().map(|warning| warning_line(0, warning) + "\n").collect()
}

fn warning_line(indent: usize, warning: &str) -> String {
    format!("{:indent$}{} {}", "", Styled("warning:", WAITING), plain(warning))
}

fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::Managed => "managed",
        Owner::External => "external",
        Owner::Foreign => "foreign",
    }
}
