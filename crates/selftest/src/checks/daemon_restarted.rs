//! The daemon is put aside for a new one, or for good.

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, processes, ticks};

/// See the module.
pub(crate) struct DaemonRestarted;

impl Check for DaemonRestarted {
    fn name(&self) -> &'static str {
        "daemon-restarted"
    }

    fn promise(&self) -> &'static str {
        "pipd restarted or stopped: same processes, no line lost"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        world.start()?;
        let before = world.running("web")?;
        let first = world.daemon()?;
        world.pipctl(&["daemon", "restart"])?.expect(0)?;
        let second = world.daemon()?;
        ensure(second != first, || format!("`daemon restart` left process {first} in place"))?;
        before.same(&world.until_ready("web")?)?;

        world.pipctl(&["daemon", "stop"])?.expect(0)?;
        world.until("the daemon to end", || !processes::alive(second))?;
        ticks::go_on_without_a_gap(world, &before.view)?;
        ensure(world.daemon().is_err(), || "a daemon came back after `daemon stop`".to_owned())?;

        world.start()?;
        before.same(&world.until_ready("web")?)?;
        ticks::go_on_without_a_gap(world, &before.view)?;
        Ok(Kept::Fully)
    }
}
