//! `pipctl url`: the address that logs in.

use serde::Serialize;
use wire::{Phase, ServiceView};

use super::find;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::render::style::{STRONG, phase_word};
use crate::render::table::{Cell, Table};
use crate::terminal::{Surroundings, Terminal};

#[derive(Serialize)]
struct Row<'a> {
    service: &'a str,
    phase: Phase,
    url: &'a str,
    address: Option<&'a str>,
}

pub(crate) fn run(
    args: &cli::Url,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let root = find::kept_root(&args.workspace, surroundings)?.path;
    let snapshot = find::daemon(surroundings)?.status(Some(&root))?;
    let services: Vec<&ServiceView> = match &args.service {
        Some(name) => vec![find::service_of(&snapshot, &root, name)?],
        None => match find::view_of(&snapshot, &root) {
            Some(view) => view.services.iter().filter(|service| answers(service)).collect(),
            None => return Err(find::never_started(&root)),
        },
    };
    let mut rows = Vec::new();
    for service in &services {
        match &service.url {
            Some(url) if answers(service) => rows.push(Row {
                service: &service.name,
                phase: service.phase,
                url,
                address: service.address.as_deref(),
            }),
            _ => return Err(no_url(service)),
        }
    }
    if args.json {
        terminal.print_json(&rows)?;
    } else if rows.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            "no service with an address is running; start it: pipctl start",
        ));
    } else if args.service.is_some() || rows.len() == 1 {
        terminal.print(&format!("{}\n", rows[0].url))?;
    } else {
        let mut table = Table::default();
        for row in &rows {
            table.row(vec![Cell::new(row.service, STRONG), row.url.into()]);
        }
        terminal.print(&table.render())?;
    }
    Ok(Exit::Ok)
}

/// Whether somebody is expected to answer at its address.
pub(super) fn answers(service: &ServiceView) -> bool {
    service.url.is_some() && matches!(service.phase, Phase::Ready | Phase::Unhealthy | Phase::External)
}

/// Why a service has no address to give, ending in the command to type.
pub(super) fn no_url(service: &ServiceView) -> Failure {
    let name = &service.name;
    let phase = phase_word(service.phase);
    match service.phase {
        Phase::Ready | Phase::Unhealthy | Phase::External => {
            Failure::new(Exit::Failed, format!("{name} has no port, so no address; look: pipctl status"))
        }
        Phase::Down | Phase::Finished | Phase::Stopping | Phase::Quiet => {
            Failure::new(Exit::Failed, format!("{name} is {phase}; start it: pipctl start {name}"))
        }
        Phase::Spawning | Phase::Starting => {
            Failure::new(Exit::Timeout, format!("{name} is {phase}; wait for it: pipctl start {name}"))
        }
        Phase::Blocked => Failure::new(Exit::Blocked, format!("{name} is {phase}; see: pipctl why {name}")),
        Phase::Backoff | Phase::GaveUp | Phase::Unknown => {
            Failure::new(Exit::Failed, format!("{name} is {phase}; see: pipctl why {name}"))
        }
    }
}
