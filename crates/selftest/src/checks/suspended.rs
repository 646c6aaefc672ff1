//! A service is stopped by a signal, as a debugger does, and goes on later.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, processes, ticks};

/// See the module.
pub(crate) struct Suspended;

/// How long it is suspended.
const PAUSE: Duration = Duration::from_millis(500);

impl Check for Suspended {
    fn name(&self) -> &'static str {
        "suspended"
    }

    fn promise(&self) -> &'static str {
        "a suspended service is not taken for one that ended"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        world.start()?;
        let before = world.running("web")?;
        processes::signal(before.pid, Signal::SIGSTOP)?;
        let since = Instant::now();
        world.until("half a second", || since.elapsed() > PAUSE)?;
        let now = world.view("web")?;
        // Before anything else: it must not stay suspended.
        processes::signal(before.pid, Signal::SIGCONT)?;
        before.same(&now)?;
        ticks::go_on_without_a_gap(world, &before.view)?;
        before.same(&world.until_ready("web")?)?;
        let runs = world.why("web")?.runs.len();
        ensure(runs == 1, || format!("it was suspended once and had {runs} runs"))?;
        Ok(Kept::Fully)
    }
}
