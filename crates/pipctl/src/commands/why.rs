//! `pipctl why`: the timeline of a service and what happens next.

use jiff::tz::TimeZone;

use super::find;
use crate::cli;
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    args: &cli::Why,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let root = find::kept_root(&args.workspace, surroundings)?.path;
    let answer = find::daemon(surroundings)?.why(&root, &args.service)?;
    if args.json {
        terminal.print_json(&answer)?;
    } else {
        terminal.print(&render::why(&answer, now_ms(), &TimeZone::system()))?;
    }
    Ok(Exit::Ok)
}
