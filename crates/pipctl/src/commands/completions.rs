//! `pipctl completions`: clap's scripts, and the names of services.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::generate;

use super::find;
use crate::cli::{self, Cli, CompleteServices, Completions, Shell};
use crate::exit::{Exit, Failure};
use crate::terminal::{Surroundings, Terminal};

const BASH: &str = include_str!("completions/services.bash");
const ZSH: &str = include_str!("completions/services.zsh");
const FISH: &str = include_str!("completions/services.fish");

pub(crate) fn run(args: &Completions, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let (shell, names) = match args.shell {
        Shell::Bash => (clap_complete::Shell::Bash, BASH),
        Shell::Zsh => (clap_complete::Shell::Zsh, ZSH),
        Shell::Fish => (clap_complete::Shell::Fish, FISH),
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "pipctl", &mut script);
    let script = String::from_utf8_lossy(&script);
    let text = match args.shell {
        Shell::Zsh => zsh(&script, names),
        Shell::Bash | Shell::Fish => format!("{script}{names}"),
    };
    terminal.print(&text)?;
    Ok(Exit::Ok)
}

/// Arguments that are services are completed by our function, which must stand before the script's own call at
/// its end: zsh runs the file as the first completion.
fn zsh(script: &str, names: &str) -> String {
    let (head, rest) = script.split_once('\n').unwrap_or(("", script));
    let mut text = format!("{head}\n{names}\n");
    for line in rest.lines() {
        let is_service = ["'*::services", "'::service", "':service", "'::folder"]
            .iter()
            .any(|begin| line.starts_with(begin));
        if is_service {
            text.push_str(&line.replace(":_default'", ":_pipctl_services'"));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// The names of the workspace's services that are not on the line yet, one a line: those pipd knows, before the first
/// start those that would be started. Silent about every mistake: a person is typing.
pub(crate) fn services(
    args: &CompleteServices,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Exit {
    if args.words.get(1).is_some_and(|word| word == "forget") {
        let all = find::daemon(surroundings).and_then(|mut client| Ok(client.status(None)?));
        let roots = all.into_iter().flat_map(|all| all.workspaces).filter_map(|view| view.root);
        let roots: String = roots.map(|root| format!("{}\n", root.to_string_lossy())).collect();
        let _ = terminal.print(&roots);
        return Exit::Ok;
    }
    let here = cli::Workspace { workspace: workspace_of(&args.words, surroundings) };
    let known = known(&here, surroundings).unwrap_or_default();
    let names = if known.is_empty() {
        let configured = find::spec(&here, surroundings).map(|(_, spec)| spec.services).unwrap_or_default();
        configured.into_iter().map(|service| service.name).collect()
    } else {
        known
    };
    let lines = names.iter().filter(|name| !args.words.contains(name)).map(|name| format!("{name}\n"));
    let _ = terminal.print(&lines.collect::<String>());
    Exit::Ok
}

fn known(here: &cli::Workspace, surroundings: &Surroundings) -> Result<Vec<String>, Failure> {
    let root = find::kept_root(here, surroundings)?.path;
    let snapshot = find::daemon(surroundings)?.status(Some(&root))?;
    let services = find::view_of(&snapshot, &root).into_iter().flat_map(|view| &view.services);
    Ok(services.map(|service| service.name.clone()).collect())
}

/// The folder a line names with `-w`, as the shell would expand it.
fn workspace_of(words: &[String], surroundings: &Surroundings) -> Option<PathBuf> {
    let mut words = words.iter();
    let mut named = None;
    while let Some(word) = words.next() {
        match word.strip_prefix("--workspace=") {
            Some(path) => named = Some(path),
            None if word == "-w" || word == "--workspace" => named = words.next().map(String::as_str),
            None => {}
        }
    }
    let named = named.filter(|named| !named.is_empty())?;
    match (named.strip_prefix("~/"), &surroundings.home) {
        (Some(below), Some(home)) => Some(home.join(below)),
        _ => Some(PathBuf::from(named)),
    }
}
