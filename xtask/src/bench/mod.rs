//! `cargo xtask bench`: numbers to compare with the targets, printed as a table. Nothing here is a test.

mod cold;
mod handover;
mod idle;
mod lab;
mod limits;
mod login;
mod logs;
mod machine;
mod measure;
mod ports;
mod restart;
mod scale;
mod session;
mod start;
mod status;

use std::process::ExitCode;

use anyhow::{Result, bail};

use lab::Programs;

/// One line of the table.
pub(crate) struct Row {
    measure: String,
    value: String,
    target: &'static str,
    reached: Option<bool>,
}

impl Row {
    /// A number that is to be at most `target`.
    fn at_most(measure: impl Into<String>, value: f64, unit: &str, target: f64, shown: &'static str) -> Self {
        Self {
            measure: measure.into(),
            value: format!("{value:.2} {unit}"),
            target: shown,
            reached: Some(value <= target),
        }
    }

    /// A number that is to be at least `target`.
    fn at_least(
        measure: impl Into<String>,
        value: f64,
        unit: &str,
        target: f64,
        shown: &'static str,
    ) -> Self {
        Self {
            measure: measure.into(),
            value: format!("{value:.0} {unit}"),
            target: shown,
            reached: Some(value >= target),
        }
    }

    /// A number for the reader.
    fn plain(measure: impl Into<String>, value: String) -> Self {
        Self { measure: measure.into(), value, target: "", reached: None }
    }
}

type Bench = fn(&Programs) -> Result<Vec<Row>>;

const BENCHES: [(&str, Bench); 12] = [
    ("idle", idle::run),
    ("restart", restart::run),
    ("status", status::run),
    ("cold", cold::run),
    ("login", login::run),
    ("scale", scale::run),
    ("limits", limits::run),
    ("logs", logs::run),
    ("start", start::run),
    ("session", session::run),
    ("ports", ports::run),
    ("handover", handover::run),
];

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    if arguments.iter().any(|argument| argument == "--list") {
        BENCHES.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    for argument in arguments {
        if !BENCHES.iter().any(|(name, _)| name == argument) {
            bail!("no benchmark {argument}; see cargo xtask bench --list");
        }
    }
    let programs = Programs::prepare()?;
    let mut rows = Vec::new();
    for (name, bench) in BENCHES {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            eprintln!("{name} …");
            match bench(&programs) {
                Ok(measured) => rows.extend(measured),
                Err(error) => rows.push(Row::plain(name, format!("failed: {error:#}"))),
            }
        }
    }
    println!("\n| measure | here | target | reached |\n|---|--:|--:|---|");
    for Row { measure, value, target, reached } in &rows {
        let reached = reached.map_or("", |reached| if reached { "yes" } else { "no" });
        println!("| {measure} | {value} | {target} | {reached} |");
    }
    Ok(ExitCode::SUCCESS)
}
