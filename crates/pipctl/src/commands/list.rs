//! `pipctl list`: all workspaces the daemon knows.

use super::find;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    args: &cli::List,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let snapshot = find::daemon(surroundings)?.status(None)?;
    if args.json {
        terminal.print_json(&snapshot.workspaces)?;
    } else {
        terminal.print(&render::list(&snapshot))?;
    }
    Ok(Exit::Ok)
}
