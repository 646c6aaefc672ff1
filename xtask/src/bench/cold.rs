//! From `pipctl start` with no daemon and no service manager to the first instruction of two services.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{quantile, until};

const ROUNDS: usize = 30;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let lab = Lab::new(programs)?;
    let keys = "ready = \"none\"";
    lab.config(&(lab.service("one", "wait", "", keys) + &lab.service("two", "wait", "", keys)))?;
    let mut took = Vec::new();
    let begin = lab.workspace().join("begin");
    for _ in 0..ROUNDS {
        lab.forget_stamps();
        let _ = std::fs::remove_file(&begin);
        let mut command = lab.command(&programs.path("service"));
        let output = command.arg("exec").arg(&begin).arg(programs.path("pipctl")).args(["start"]).output()?;
        ensure!(output.status.success(), "pipctl start: {}", String::from_utf8_lossy(&output.stderr));
        let stamps = until("two services", Duration::from_secs(10), || {
            let stamps = lab.stamps();
            (stamps.len() >= 2).then_some(stamps)
        })?;
        let text = std::fs::read_to_string(&begin)?;
        let began: i64 = text.trim().split(' ').nth(1).context("no stamp")?.parse()?;
        let last = stamps.iter().map(|stamp| stamp.nanoseconds).max().unwrap_or(began);
        took.push((last - began) as f64 / 1e6);
        lab.end()?;
    }
    Ok(vec![
        Row::at_most("2 services from cold, running after", quantile(&took, 0.5), "ms", 12.0, "≤ 12"),
        Row::plain("… p95", format!("{:.2} ms", quantile(&took, 0.95))),
    ])
}
