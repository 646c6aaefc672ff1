//! `pipctl selftest`: what pipd promises, checked here and now with stub services.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use selftest::{Outcome, Row, Selftest, Trouble};
use serde::Serialize;

use super::version::OWN;
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::terminal::{Surroundings, Terminal};

#[derive(Serialize)]
struct Report {
    version: &'static str,
    system: String,
    kept: usize,
    broken: usize,
    checks: Vec<Line>,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
}

#[derive(Serialize)]
struct Line {
    check: &'static str,
    promise: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    ms: u64,
}

pub(crate) fn run(
    args: &cli::Selftest,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let all: Vec<_> = selftest::all().collect();
    if let Some(unknown) = args.checks.iter().find(|name| all.iter().all(|(known, _)| known != name)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("no check `{unknown}`; those there are: pipctl selftest --list"),
        ));
    }
    if args.list {
        if args.json {
            let names: Vec<_> = all.iter().map(|(check, _)| check).collect();
            terminal.print_json(&names)?;
        } else {
            terminal.print(&render::selftest::names(&all))?;
        }
        return Ok(Exit::Ok);
    }
    let begun = Instant::now();
    let interrupted = Arc::new(AtomicBool::new(false));
    if surroundings.catch_interrupts {
        catch_interrupts(&interrupted);
    }
    let selftest = Selftest {
        program: selftest::own_program().map_err(failure)?,
        only: &args.checks,
        keep: args.keep,
        interrupted: &interrupted,
    };
    if !args.json {
        terminal.print(&render::selftest::heading(OWN, &system(), &all))?;
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut unwritten = None;
    let folder = selftest
        .run(|row| {
            let written = if args.json { Ok(()) } else { terminal.print(&render::selftest::row(&row, &all)) };
            rows.push(row);
            // Nobody reads any more: no reason to go on.
            written.map_err(|failure| unwritten = Some(failure)).is_ok()
        })
        .map_err(failure)?;
    if let Some(failure) = unwritten {
        return Err(failure);
    }
    let broken = rows.iter().filter(|row| matches!(row.outcome, Outcome::Broken(_))).count();
    let folder = folder.map(|folder| folder.to_string_lossy().into_owned());
    if args.json {
        let kept = rows.len() - broken;
        let checks = rows.into_iter().map(line).collect();
        terminal.print_json(&Report { version: OWN, system: system(), kept, broken, checks, folder })?;
    } else {
        terminal.print(&render::selftest::summary(&rows, begun.elapsed(), folder.as_deref()))?;
    }
    Ok(if broken == 0 { Exit::Ok } else { Exit::Failed })
}

/// The hidden verb: a service that behaves as it is told.
pub(crate) fn stub(args: &cli::SelftestStub) -> ! {
    std::process::exit(i32::from(selftest::stub::main(&args.arguments)))
}

fn failure(trouble: Trouble) -> Failure {
    let exit = if matches!(trouble, Trouble::Interrupted) { Exit::Interrupted } else { Exit::Failed };
    Failure::new(exit, trouble.to_string())
}

/// From now on a Ctrl-C, a hang-up or a polite kill only sets the flag: what was started is ended first. Without
/// the thread they end the process as they always do.
fn catch_interrupts(interrupted: &Arc<AtomicBool>) {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    if signals.thread_block().is_err() {
        return;
    }
    let flag = Arc::clone(interrupted);
    let wait = move || {
        if signals.wait().is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    };
    if std::thread::Builder::new().name("interrupt".into()).spawn(wait).is_err() {
        let _ = signals.thread_unblock();
    }
}

fn system() -> String {
    nix::sys::utsname::uname().map_or_else(
        |_| std::env::consts::OS.to_owned(),
        |name| {
            [name.sysname(), name.release(), name.machine()]
                .map(|part| part.to_string_lossy().into_owned())
                .join(" ")
        },
    )
}

fn line(row: Row) -> Line {
    let (outcome, detail) = match row.outcome {
        Outcome::Kept => ("kept", None),
        Outcome::Except(what) => ("except", Some(what)),
        Outcome::Broken(what) => ("broken", Some(what)),
    };
    let ms = millis(row.took);
    Line { check: row.check, promise: row.promise, outcome, detail, ms }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
