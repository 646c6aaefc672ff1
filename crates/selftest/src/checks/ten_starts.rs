//! Many at once.

use wire::ServiceOutcome;

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble};

/// See the module.
pub(crate) struct TenStarts;

impl Check for TenStarts {
    fn name(&self) -> &'static str {
        "ten-starts"
    }

    fn promise(&self) -> &'static str {
        "ten `pipctl start` at once give one daemon, one service"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        let mut calls = Vec::new();
        for _ in 0..10 {
            calls.push(world.spawn(world.command(&["start", "--json"]))?);
        }
        let mut pids = Vec::new();
        for call in calls {
            let said = world.finish(call)?.expect(0)?;
            let answer: wire::VerbAnswer = serde_json::from_slice(said.out.as_bytes()).map_err(|error| {
                Trouble::Broken(format!("start --json is no JSON: {error}\n{}", said.out))
            })?;
            for result in answer.services {
                let good = matches!(result.outcome, ServiceOutcome::Ready | ServiceOutcome::Already);
                ensure(good, || format!("one of ten starts came to {:?}", result.outcome))?;
                pids.extend(result.service.pid);
            }
        }
        pids.dedup();
        ensure(pids.len() == 1, || format!("ten starts gave the processes {pids:?}"))?;
        let runs = world.why("web")?.runs.len();
        ensure(runs == 1, || format!("ten starts gave {runs} runs"))?;
        Ok(Kept::Fully)
    }
}
