//! A thousand services: until all run, and what `status` takes then. As this user, and as an ordinary one.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{median, milliseconds, until};

const SERVICES: usize = 1_000;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let (running, status) = measure(Lab::new(programs)?, SERVICES)?;
    let mut rows = vec![
        Row::at_most("1,000 services running", running, "s", 3.0, "≤ 3"),
        Row::at_most("… status there", status, "ms", 10.0, "≤ 10"),
    ];
    if std::fs::read_dir("/root").is_ok() {
        for count in [250, 500, SERVICES, 2 * SERVICES] {
            let name = format!("{count} services as an ordinary user");
            match Lab::of_ordinary_user(programs).and_then(|lab| measure(lab, count)) {
                Ok((running, status)) => {
                    rows.push(Row::plain(name, format!("{running:.2} s, status {status:.1} ms")));
                }
                Err(error) => {
                    rows.push(Row::plain(name, format!("not all: {}", error.to_string().replace('\n', " "))));
                    break;
                }
            }
        }
    }
    Ok(rows)
}

fn measure(lab: Lab, count: usize) -> Result<(f64, f64)> {
    let programs = lab.programs;
    let services: String =
        (0..count).map(|number| lab.service(&format!("s{number}"), "wait", "", "ready = \"none\"")).collect();
    lab.config(&services)?;
    let begin = Instant::now();
    let mut start = lab
        .command(&programs.path("pipctl"))
        .arg("start")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let running = until("all services", Duration::from_secs(90), || {
        (lab.stamps().len() >= count).then(|| begin.elapsed().as_secs_f64())
    });
    let running = match running {
        Ok(running) => running,
        Err(error) => {
            let reached = lab.stamps().len();
            let _ = start.kill();
            let _ = start.wait();
            return Err(error.context(format!("{reached} of {count} ran")));
        }
    };
    start.wait()?;
    let mut took = Vec::new();
    for _ in 0..20 {
        let mut command = lab.command(&programs.path("pipctl"));
        command.arg("status").stdout(Stdio::null());
        let begin = Instant::now();
        command.status()?;
        took.push(milliseconds(begin.elapsed()));
    }
    Ok((running, median(&took)))
}
