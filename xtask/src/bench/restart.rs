//! From SIGKILL to the first instruction of the next process.

use std::time::Duration;

use anyhow::Result;

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{Random, quantile, until};

const KILLS: usize = 100;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let lab = Lab::new(programs)?;
    let keys = "ready = \"none\"\nrestart = { healthy_after = \"200ms\" }";
    lab.config(&lab.service("victim", "wait", "", keys))?;
    lab.pipctl(&["start"])?;
    let took = kill(&lab, KILLS)?;
    Ok(vec![
        Row::at_most("restart after SIGKILL, p50", quantile(&took, 0.5), "ms", 4.0, "≤ 4"),
        Row::at_most("… p99", quantile(&took, 0.99), "ms", 12.0, "≤ 12"),
    ])
}

/// Kills the one that stamped last so often; how long the next one took, in milliseconds.
pub(super) fn kill(lab: &Lab<'_>, times: usize) -> Result<Vec<f64>> {
    let mut random = Random::new();
    let mut last = until("the first start", Duration::from_secs(5), || lab.stamps().last().copied())?;
    let mut took = Vec::new();
    for _ in 0..times {
        std::thread::sleep(Duration::from_millis(300) + Duration::from_micros(random.below(100_000)));
        let killed = lab.programs.kill(last.pid)?;
        last = until("a restart", Duration::from_secs(60), || {
            lab.stamps().last().copied().filter(|stamp| stamp.pid != last.pid)
        })?;
        took.push((last.nanoseconds - killed) as f64 / 1e6);
    }
    Ok(took)
}
