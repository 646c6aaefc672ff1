//! `pipctl list`.

use std::fmt::Write as _;

use wire::{Goal, Phase, Snapshot};

use super::status::warnings;
use super::style::{FAINT, STRONG, Styled, phase_style, phase_word};
use super::table::{Cell, Table, plain};

/// A row for each workspace: its folder and its services with their states.
pub(crate) fn list(snapshot: &Snapshot) -> String {
    if snapshot.workspaces.is_empty() {
        let mut text =
            format!("{}\n", Styled("no workspaces yet; start one: cd <folder> && pipctl start", FAINT));
        text.push_str(&warnings(&snapshot.warnings));
        return text;
    }
    let mut table = Table::with_heading(&["WORKSPACE", "UP", "SERVICES"]);
    for view in &snapshot.workspaces {
        let root = view.root.as_ref().map_or_else(|| view.id.clone(), |root| plain(&root.to_string_lossy()));
        let wanted = view.services.iter().filter(|service| service.goal == Goal::Up).count();
        let well = view
            .services
            .iter()
            .filter(|service| matches!(service.phase, Phase::Ready | Phase::External))
            .count();
        let mut services = String::new();
        for (index, service) in view.services.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(services, "{comma}{} {}", service.name, phase_word(service.phase));
        }
        let style = view
            .services
            .iter()
            .map(|service| service.phase)
            .find(|phase| !matches!(phase, Phase::Ready | Phase::External))
            .map_or_else(|| phase_style(Phase::Ready), phase_style);
        table.row(vec![
            Cell::new(if view.gone { format!("{root} (gone)") } else { root }, STRONG),
            Cell::new(format!("{well}/{}", wanted.max(well)), style),
            services.into(),
        ]);
    }
    table.render() + &warnings(&snapshot.warnings)
}
