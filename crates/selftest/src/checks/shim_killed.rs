//! The parent of a service dies.

use wire::ExitCause;

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, processes, ticks};

/// See the module.
pub(crate) struct ShimKilled;

impl Check for ShimKilled {
    fn name(&self) -> &'static str {
        "shim-killed"
    }

    fn promise(&self) -> &'static str {
        "kill -9 of a shim: replaced, same process, no line lost"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        world.start()?;
        let before = world.running("web")?;
        processes::kill(before.shim)?;
        let now = world.until_view("web", "a new shim", |view| {
            view.shim_pid.is_some_and(|shim| shim != before.shim && processes::alive(shim))
        })?;
        before.same(&now)?;
        ticks::go_on_without_a_gap(world, &before.view)?;

        // The new shim is no parent of the service: what it can tell of its end depends on the system.
        processes::kill(before.pid)?;
        world.until_view("web", "a new run", |view| view.run > before.view.run && view.pid.is_some())?;
        let runs = world.why("web")?.runs;
        let exit = runs.iter().find(|run| Some(run.run) == before.view.run).and_then(|run| run.exit.clone());
        match exit.map(|exit| exit.cause) {
            Some(ExitCause::Signal(9)) => Ok(Kept::Fully),
            Some(ExitCause::Unknown) => {
                Ok(Kept::Except("how the service then ends is not told by this system"))
            }
            other => {
                ensure(false, || format!("the service was killed, and `why` says {other:?}"))?;
                Ok(Kept::Fully)
            }
        }
    }
}
