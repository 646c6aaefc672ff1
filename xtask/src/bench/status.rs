//! `pipctl status` against `/bin/true`, also while a service starts or hangs.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::Result;

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{median, milliseconds};

const PAIRS: usize = 300;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let lab = Lab::new(programs)?;
    let mut services = lab.service("one", "serve", "29883", "port = 29883");
    services += &lab.service("two", "serve", "29884", "port = 29884");
    services += &lab.service("hanging", "wait", "", "port = 29885");
    lab.config(&services)?;
    lab.pipctl(&["start", "one", "two"])?;
    let (quiet, alone, nothing) = compare(&lab)?;
    lab.pipctl(&["start", "hanging", "--no-wait"])?;
    let (starting, ..) = compare(&lab)?;
    Ok(vec![
        Row::at_most("pipctl status ÷ /bin/true", quiet, "", 2.0, "≤ 2"),
        Row::plain("… in milliseconds", format!("{alone:.2} ÷ {nothing:.2} ms")),
        Row::at_most("… while a service starts", starting, "", 2.0, "≤ 2"),
    ])
}

pub(super) fn compare(lab: &Lab<'_>) -> Result<(f64, f64, f64)> {
    let (mut status, mut nothing) = (Vec::new(), Vec::new());
    let pipctl = lab.programs.path("pipctl");
    for _ in 0..PAIRS {
        status.push(time(lab, &pipctl, &["status"])?);
        nothing.push(time(lab, Path::new("/bin/true"), &[])?);
    }
    let (status, nothing) = (median(&status), median(&nothing));
    Ok((status / nothing, status, nothing))
}

fn time(lab: &Lab<'_>, program: &Path, arguments: &[&str]) -> Result<f64> {
    let mut command = lab.command(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    command.status()?;
    Ok(milliseconds(begin.elapsed()))
}
