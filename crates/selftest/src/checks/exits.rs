//! How a run ended.

use wire::{ExitCause, Phase};

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, processes};

/// See the module.
pub(crate) struct Exits;

impl Check for Exits {
    fn name(&self) -> &'static str {
        "exits"
    }

    fn promise(&self) -> &'static str {
        "exit codes and signals are told as they were"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.service("seven", &["--exit", "7"], "ready = \"none\"\nrestart = { policy = \"never\" }")?;
        world.service("victim", &[], "ready = \"none\"\nrestart = { policy = \"never\" }")?;
        world.pipctl(&["start"])?;
        cause(world, "seven", &ExitCause::Code(7))?;
        world.until_ready("victim")?;
        processes::kill(world.running("victim")?.pid)?;
        cause(world, "victim", &ExitCause::Signal(9))?;
        Ok(Kept::Fully)
    }
}

fn cause(world: &World<'_>, name: &str, expected: &ExitCause) -> Result<(), Trouble> {
    world.until_view(name, "its end", |view| view.last_exit.is_some() && view.phase != Phase::Ready)?;
    let why = world.why(name)?;
    let told = why.runs.first().and_then(|run| run.exit.as_ref()).map(|exit| &exit.cause);
    ensure(told == Some(expected), || match told {
        Some(told) => format!("{name} ended with {expected}, and `why` says {told}"),
        None => format!("{name} ended with {expected}, and `why` knows of no end"),
    })
}
