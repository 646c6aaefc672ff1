//! `pipctl completions`: clap's scripts, and the names of services from the running daemon.

use clap::CommandFactory;
use clap_complete::generate;

use super::find;
use crate::cli::{self, Cli, Completions, Shell};
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
        let is_service =
            ["'*::services", "'::service", "':service"].iter().any(|begin| line.starts_with(begin));
        if is_service {
            text.push_str(&line.replace(":_default'", ":_pipctl_services'"));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

/// The names of the workspace's services, one a line. Silent about every mistake: a person is typing.
pub(crate) fn services(
    args: &cli::Workspace,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Exit {
    let names = || -> Result<String, Failure> {
        let root = find::root(args, surroundings)?.path;
        let snapshot = find::daemon(surroundings)?.status(Some(&root))?;
        let view = find::view_of(&snapshot, &root);
        Ok(view
            .into_iter()
            .flat_map(|view| &view.services)
            .map(|service| format!("{}\n", service.name))
            .collect())
    };
    if let Ok(names) = names() {
        let _ = terminal.print(&names);
    }
    Exit::Ok
}
