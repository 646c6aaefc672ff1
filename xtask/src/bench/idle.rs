//! What it costs while nothing happens: memory and wake-ups of the daemon and two shims, probes on.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Row;
use super::lab::{Lab, Programs};

const SETTLE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(30);

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let lab = Lab::new(programs)?;
    let services: String = [("one", "29881"), ("two", "29882")]
        .iter()
        .map(|(name, port)| lab.service(name, "serve", port, &format!("port = {port}")))
        .collect();
    lab.config(&services)?;
    lab.pipctl(&["start"])?;
    std::thread::sleep(SETTLE);
    let daemon = programs.processes("pipd");
    let shims = programs.processes("pipd-shim");
    let all: Vec<i32> = daemon.iter().chain(&shims).copied().collect();
    let before = switches(&all)?;
    std::thread::sleep(WATCH);
    // Threads that ended meanwhile took their count with them.
    let switched = switches(&all)?.saturating_sub(before);
    let memory = pss(&all)?;
    Ok(vec![
        Row::at_most("idle, 2 services: PSS of pipd and shims", memory / 1024.0, "MiB", 2.2, "≤ 2.2"),
        Row::plain("… of it pipd", format!("{:.2} MiB", pss(&daemon)? / 1024.0)),
        Row::plain(
            "… of it one shim",
            format!("{:.2} MiB", pss(&shims)? / 1024.0 / shims.len().max(1) as f64),
        ),
        Row::at_most("idle: context switches in 30 s, probes on", switched as f64, "", 15.0, "≤ 15"),
    ])
}

/// Proportional set size, in KiB.
fn pss(pids: &[i32]) -> Result<f64> {
    let mut sum = 0.0;
    for pid in pids {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        sum += field(&text, "Pss:").context("no Pss in smaps_rollup")? as f64;
    }
    Ok(sum)
}

/// Voluntary and involuntary, of all threads.
fn switches(pids: &[i32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
            let text = std::fs::read_to_string(task.path().join("status"))?;
            sum += field(&text, "voluntary_ctxt_switches:").context("no voluntary_ctxt_switches")?;
            sum += field(&text, "nonvoluntary_ctxt_switches:").context("no nonvoluntary_ctxt_switches")?;
        }
    }
    Ok(sum)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
