//! What can be typed. Parsing only: no verb lives here.

mod programs;
mod services;
mod workspaces;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use wire::PortChoice;

use clap::{Args, Parser, Subcommand};

pub(crate) use programs::*;
pub(crate) use services::*;
pub(crate) use workspaces::*;

/// Keeps the servers of a Python workspace running: JupyterLab, FastHTML, whatever pipd.toml names.
#[derive(Debug, Parser)]
#[command(
    name = "pipctl",
    version,
    disable_help_subcommand = true,
    propagate_version = false,
    max_term_width = 100,
    after_help = "\
Without pipd.toml, JupyterLab is served when it is installed, and server.py, main.py or
app.py when it serves.
Exit codes: 0 ok, 1 failed, 2 usage, 3 blocked, 4 timeout, 5 pipd unreachable, 6 busy,
7 interrupted."
)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start services and wait until they are ready
    Start(Start),
    /// Stop services
    Stop(Stop),
    /// Stop services and start them again
    Restart(Restart),
    /// Look after a server that was started by hand, without restarting it
    Adopt(Adopt),
    /// Show what runs; starts nothing
    Status(Status),
    /// Show what services printed; works without pipd
    Logs(Logs),
    /// Print the address of a service, with what is needed to log in
    Url(Url),
    /// Open a service in the browser
    Open(Open),
    /// Show a service's runs, how they ended and what happens next
    Why(Why),
    /// Show all workspaces
    List(List),
    /// Drop what is kept of a workspace: logs, ports, token; not the folder
    Forget(Forget),
    /// Make a workspace of its own, from a template
    New(New),
    /// Add a companion (ollama, tensorboard, …) to pipd.toml
    Add(Add),
    /// Show a service's captured environment against this shell's
    Env(Env),
    /// Make the environment and install what requirements.txt or pyproject.toml wants
    Setup(Setup),
    /// Find out what keeps services from running, with the command that mends it
    Doctor(Doctor),
    /// Start, stop or look at pipd itself; services keep running
    Daemon(Daemon),
    /// Have pipd and the services that are up come back at login
    Autostart(Autostart),
    /// Show the versions of pipctl and of the running pipd
    Version(Version),
    /// Check on this machine what pipd promises; touches nothing of yours
    Selftest(Selftest),
    /// Print completions for a shell
    Completions(Completions),
    /// Names for completions
    #[command(hide = true)]
    CompleteServices(CompleteServices),
    /// The stub service of `selftest`
    #[command(hide = true)]
    SelftestStub(SelftestStub),
}

/// Which workspace.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Workspace {
    /// Folder of the workspace, or one inside it [default: the current folder]
    #[arg(short, long = "workspace", value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
    pub(crate) workspace: Option<PathBuf>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Waiting {
    /// Return at once
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,
    /// Longest time to wait: 30s, 2m; a plain number is seconds
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

impl Waiting {
    /// For the wire.
    pub(crate) fn timeout_ms(&self) -> Option<u64> {
        self.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Reads the arguments.
///
/// # Errors
/// Also for `--help` and `--version`, as clap has it.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match quick(&arguments) {
        Some(cli) => Ok(cli),
        None => Cli::try_parse_from(arguments),
    }
}

/// What editors and prompts call many times a minute, without the cost of building every verb's grammar.
/// Must mean exactly what the grammar says; a test compares the two.
fn quick(arguments: &[OsString]) -> Option<Cli> {
    let mut words = arguments.iter().skip(1).map(|word| word.to_str().unwrap_or_default());
    if words.next() != Some("status") {
        return None;
    }
    let mut status = Status::default();
    for word in words {
        match word {
            "--json" if !status.json => status.json = true,
            "--all" | "-a" if !status.all => status.all = true,
            _ => return None,
        }
    }
    Some(Cli { command: Command::Status(status) })
}

fn duration(text: &str) -> Result<Duration, String> {
    const HELP: &str = "expected a time such as 30s, 2m or 1h30m";
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    let signed: jiff::SignedDuration = text.parse().map_err(|_| HELP.to_owned())?;
    Duration::try_from(signed).map_err(|_| HELP.to_owned())
}

fn port_choice(text: &str) -> Result<PortChoice, String> {
    match (text, text.parse::<u16>()) {
        ("auto", _) => Ok(PortChoice::Auto),
        ("configured", _) => Ok(PortChoice::Configured),
        (_, Ok(port)) if port > 0 => Ok(PortChoice::Number(port)),
        _ => Err("expected auto, configured, or a port from 1 to 65535".to_owned()),
    }
}

fn since(text: &str) -> Result<Since, String> {
    // A moment first: `12:00:00` could also be read as a length of time.
    match crate::clock::moment(text) {
        Ok(at_ms) => Ok(Since::At(at_ms)),
        Err(expected) => {
            duration(text.strip_suffix("ago").unwrap_or(text).trim()).map(Since::Ago).map_err(|_| expected)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn the_quick_way_means_what_the_grammar_says() {
        for line in
            ["pipctl status", "pipctl status --json", "pipctl status -a --json", "pipctl status --all"]
        {
            let quick = quick(&words(line)).unwrap();
            let full = Cli::try_parse_from(words(line)).unwrap();
            assert_eq!(format!("{quick:?}"), format!("{full:?}"), "{line}");
        }
        for line in [
            "pipctl",
            "pipctl status --json --json",
            "pipctl status x",
            "pipctl start",
            "pipctl status -l",
            "pipctl status web",
        ] {
            assert!(quick(&words(line)).is_none(), "{line}");
        }
    }

    #[test]
    fn the_grammar_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert!(duration("-3s").is_err());
        assert_eq!(since("10m"), Ok(Since::Ago(Duration::from_secs(600))));
        assert_eq!(since("10m ago"), Ok(Since::Ago(Duration::from_secs(600))));
        assert!(matches!(since("12:00:00"), Ok(Since::At(_))));
        assert!(matches!(since("2026-01-31"), Ok(Since::At(_))));
    }
}
