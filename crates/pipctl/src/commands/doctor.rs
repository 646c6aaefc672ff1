//! `pipctl doctor`: everything that explains why something is not up, with the command that mends it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Serialize;

use super::find;
use crate::cli;
use crate::doctor::{BUDGET, Context, Finding, Fix, Level, examine};
use crate::exit::{Exit, Failure};
use crate::render;
use crate::terminal::{Surroundings, Terminal};

/// `--json`.
#[derive(Serialize)]
struct Report<'a> {
    /// Nothing keeps a service from running.
    ok: bool,
    workspace: Option<&'a PathBuf>,
    took_ms: u64,
    findings: &'a [Finding],
}

pub(crate) fn run(
    args: &cli::Doctor,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let mut findings = look(args, surroundings, terminal)?;
    if args.fix && mend(&findings, &args.workspace, surroundings, terminal)? {
        terminal.print("\n")?;
        findings = look(args, surroundings, terminal)?;
    }
    Ok(if is_well(&findings) { Exit::Ok } else { Exit::Blocked })
}

fn look(
    args: &cli::Doctor,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Vec<Finding>, Failure> {
    let begun = Instant::now();
    // Outside of any workspace this machine is still worth a look.
    let root = match &args.workspace {
        named @ cli::Workspace { workspace: Some(_) } => Some(find::root(named, surroundings)?),
        here => find::root(here, surroundings).ok(),
    };
    let path = root.as_ref().map(|root| root.path.clone());
    let findings = examine(Context::new(surroundings.clone(), root, begun + BUDGET));
    let took = begun.elapsed();
    if args.json {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let report =
            Report { ok: is_well(&findings), workspace: path.as_ref(), took_ms, findings: &findings };
        terminal.print_json(&report)?;
    } else {
        terminal.print(&render::doctor(&findings, took))?;
    }
    Ok(findings)
}

fn is_well(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level < Level::Problem)
}

/// Makes the changes a person says yes to; whether any was made.
fn mend(
    findings: &[Finding],
    workspace: &cli::Workspace,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<bool, Failure> {
    let mut fixes: Vec<(&Finding, &Fix)> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.level > Level::Note) {
        // One change may mend several things.
        if let Some(fix) = finding.fix.as_ref().filter(|fix| fixes.iter().all(|(_, known)| known != fix)) {
            fixes.push((finding, fix));
        }
    }
    if fixes.is_empty() {
        terminal.tell("nothing here can be mended without you\n");
        return Ok(false);
    }
    let mut changed = false;
    for (finding, fix) in fixes {
        let command = finding.command.as_deref().unwrap_or_default();
        terminal.tell(&format!("\n{}: {}\n", finding.check, finding.text));
        if !terminal.confirm(&format!("type `{command}` for you?")) {
            continue;
        }
        changed = true;
        match fix {
            Fix::Verb(words) => {
                let mut words = words.clone();
                if words.first().is_some_and(|verb| verb == "setup")
                    && let Some(root) = find::root(workspace, surroundings).ok()
                {
                    words.extend(["--workspace".to_owned(), root.path.to_string_lossy().into_owned()]);
                }
                let words = std::iter::once("pipctl".to_owned()).chain(words).map(Into::into);
                crate::run(words, surroundings, terminal);
            }
            Fix::Program(words) => {
                let Some((program, arguments)) = words.split_first() else { continue };
                let ended = Command::new(program).args(arguments).stdin(Stdio::null()).status();
                match ended {
                    Ok(status) if status.success() => {}
                    Ok(status) => terminal.tell(&format!("{command}: {status}\n")),
                    Err(error) => terminal.tell(&format!("{command}: {error}\n")),
                }
            }
        }
    }
    Ok(changed)
}
