//! `pipctl open`: the browser, from this process and in the foreground, because only here is a person.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use super::{find, url};
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::terminal::{Surroundings, Terminal};

pub(crate) fn run(
    args: &cli::Open,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let root = find::root(&args.workspace, surroundings)?.path;
    let snapshot = find::daemon(surroundings)?.status(Some(&root))?;
    let service = match &args.service {
        Some(name) => find::service_of(&snapshot, &root, name)?,
        None => {
            let view = find::view_of(&snapshot, &root).ok_or_else(|| find::never_started(&root))?;
            view.services.iter().find(|service| url::answers(service)).ok_or_else(|| {
                Failure::new(Exit::Failed, "no service with an address is running; start it: pipctl start")
            })?
        }
    };
    match &service.url {
        Some(url) if url::answers(service) => {
            let shown = service.address.as_deref().unwrap_or(url);
            browse(url, shown, false, surroundings, terminal)
        }
        _ => Err(url::no_url(service)),
    }
}

/// Opens an address in the browser. `shown` is the same without what logs in: that is printed when the
/// browser has the rest, and the whole address when it has not.
pub(super) fn browse(
    url: &str,
    shown: &str,
    quiet: bool,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let mut reasons = Vec::new();
    for (program, arguments) in openers(surroundings, url) {
        let mut command = Command::new(&program);
        command.args(&arguments).stdin(Stdio::null()).stdout(Stdio::null());
        let name = program.to_string_lossy().into_owned();
        match command.status() {
            Ok(status) if status.success() => {
                if !quiet {
                    terminal.print(&format!("opened {shown}\n"))?;
                }
                return Ok(Exit::Ok);
            }
            Ok(status) => reasons.push(format!("{name}: {status}")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                reasons.push(format!("{name}: not found"));
            }
            Err(error) => reasons.push(format!("{name}: {error}")),
        }
    }
    let why = reasons.join("; ");
    Err(Failure::new(
        Exit::Failed,
        format!("no browser could be opened ({why}); open it yourself, or set BROWSER:\n{url}"),
    ))
}

/// `$BROWSER` (a list separated by colons, `%s` stands for the address), then the system's opener.
fn openers(surroundings: &Surroundings, url: &str) -> Vec<(OsString, Vec<OsString>)> {
    let mut openers = Vec::new();
    let browser = surroundings.var("BROWSER").map(|browser| browser.to_string_lossy().into_owned());
    for entry in browser.iter().flat_map(|list| list.split(':')).filter(|entry| !entry.is_empty()) {
        let mut words = entry.split_whitespace().map(|word| word.replace("%s", url));
        let Some(program) = words.next() else { continue };
        let mut arguments: Vec<OsString> = words.map(OsString::from).collect();
        if !entry.contains("%s") {
            arguments.push(url.into());
        }
        openers.push((program.into(), arguments));
    }
    let system = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    openers.push((system.into(), vec![url.into()]));
    openers
}
