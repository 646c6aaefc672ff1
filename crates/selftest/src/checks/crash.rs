//! The service itself dies.

use wire::Phase;

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, processes};

/// See the module.
pub(crate) struct Crash;

impl Check for Crash {
    fn name(&self) -> &'static str {
        "crash"
    }

    fn promise(&self) -> &'static str {
        "a service that dies is up again, one of it"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        world.start()?;
        let before = world.running("web")?;
        processes::kill(before.pid)?;
        let now = world.until_view("web", "ready again", |view| {
            view.phase == Phase::Ready && view.pid.is_some_and(|pid| pid != before.pid)
        })?;
        ensure(now.restarts == 1, || format!("it died once and was restarted {} times", now.restarts))?;
        Ok(Kept::Fully)
    }
}
