//! The daemon dies without goodbye.

use std::time::{Duration, Instant};

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, processes, ticks};

/// See the module.
pub(crate) struct DaemonKilled;

/// What is promised is 2 s; a busy machine is granted more.
const BACK_WITHIN: Duration = Duration::from_secs(5);

impl Check for DaemonKilled {
    fn name(&self) -> &'static str {
        "daemon-killed"
    }

    fn promise(&self) -> &'static str {
        "kill -9 of pipd: back by itself, same processes, no line lost"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        world.start()?;
        let before = world.running("web")?;
        for _ in 0..2 {
            let killed = world.daemon()?;
            processes::kill(killed)?;
            let since = Instant::now();
            world
                .until("a daemon without anybody asking", || world.daemon().is_ok_and(|pid| pid != killed))?;
            let took = since.elapsed();
            ensure(took < BACK_WITHIN, || format!("the daemon was back only after {took:.1?}"))?;
            before.same(&world.until_ready("web")?)?;
        }
        ticks::go_on_without_a_gap(world, &before.view)?;
        Ok(Kept::Fully)
    }
}
