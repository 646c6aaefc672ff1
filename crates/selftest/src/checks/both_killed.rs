//! Daemon and shim die together.

use crate::world::World;
use crate::{Check, Kept, Trouble, processes};

/// See the module.
pub(crate) struct BothKilled;

impl Check for BothKilled {
    fn name(&self) -> &'static str {
        "both-killed"
    }

    fn promise(&self) -> &'static str {
        "pipd and shim killed together: same processes, adopted again"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        // A second service's shim is the one that brings the daemon back.
        world.service("other", &[], "ready = \"none\"")?;
        world.start()?;
        let before = world.running("web")?;
        let killed = world.daemon()?;
        processes::kill(killed)?;
        processes::kill(before.shim)?;
        let now = world.until_view("web", "a new shim", |view| {
            view.phase == wire::Phase::Ready
                && view.shim_pid.is_some_and(|shim| shim != before.shim && processes::alive(shim))
        })?;
        before.same(&now)?;
        // Lines that were between the two may be lost then; it prints on, which is what counts.
        let lines = crate::ticks::logged(&now).len();
        world.until("more lines in the log", || crate::ticks::logged(&now).len() > lines + 10)?;
        Ok(Kept::Fully)
    }
}
