//! How many services one user can have: more are wanted than the daemon may have descriptors for, and it is counted
//! how many run when the others say that they are blocked.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{median, milliseconds, until};

/// Hard limits on open files.
const LIMITS: [usize; 3] = [512, 1_024, 4_096];
/// As many services are wanted as there would be if each took so few descriptors.
const DESCRIPTORS: usize = 3;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    LIMITS.iter().map(|&limit| measure(programs, limit)).collect()
}

fn measure(programs: &Programs, limit: usize) -> Result<Row> {
    let lab = Lab::of_ordinary_user(programs)?;
    let count = limit / DESCRIPTORS;
    let services: String =
        (0..count).map(|number| lab.service(&format!("s{number}"), "wait", "", "ready = \"none\"")).collect();
    lab.config(&services)?;
    let pipctl = programs.path("pipctl");
    let limited = format!("ulimit -n {limit} && exec \"$0\" daemon start");
    let status = lab
        .command(Path::new("sh"))
        .args(["-c", &limited])
        .arg(&pipctl)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("no daemon with {limit} open files");
    }
    let mut start = lab
        .command(&pipctl)
        .args(["start", "--timeout", "90s"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let settled = until("each to run or to be blocked", Duration::from_secs(90), || {
        let (running, blocked, _) = look(&lab, &pipctl).ok()?;
        (running + blocked == count).then_some(())
    });
    start.wait()?;
    settled?;
    let mut took = Vec::new();
    for _ in 0..20 {
        took.push(look(&lab, &pipctl)?.2);
    }
    let (running, ..) = look(&lab, &pipctl)?;
    let value = format!("{running} run, {} blocked, status {:.1} ms", count - running, median(&took));
    Ok(Row::plain(format!("hard limit of {limit} open files, {count} services wanted"), value))
}

/// How many run, how many are blocked, and how long the answer took.
fn look(lab: &Lab, pipctl: &Path) -> Result<(usize, usize, f64)> {
    let begin = Instant::now();
    let output = lab.command(pipctl).args(["status", "--json"]).output()?;
    let took = milliseconds(begin.elapsed());
    let text: String = String::from_utf8_lossy(&output.stdout).split_whitespace().collect();
    let of = |phase: &str| text.matches(&format!("\"phase\":\"{phase}\"")).count();
    Ok((of("ready"), of("blocked"), took))
}
