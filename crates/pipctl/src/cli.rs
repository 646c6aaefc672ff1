//! What can be typed. Parsing only: no verb lives here.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use wire::PortChoice;

use clap::{Args, Parser, Subcommand, ValueEnum};

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

/// `pipctl start`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Start {
    /// Services to start [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// The port to use from now on: auto (the next free one), configured, or a number
    #[arg(long, value_name = "PORT", value_parser = port_choice)]
    pub(crate) port: Option<PortChoice>,
    /// End what holds the port: a service of another workspace, or, by its number, a process
    #[arg(long, value_name = "PID", num_args = 0..=1, require_equals = true, default_missing_value = "0",
        conflicts_with = "no_wait")]
    pub(crate) takeover: Option<i32>,
    /// With --takeover, also when work in kernels or terminals is lost
    #[arg(short, long, requires = "takeover")]
    pub(crate) force: bool,
    /// Then open them in the browser
    #[arg(long, conflicts_with = "no_wait")]
    pub(crate) open: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl stop`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Stop {
    /// Services to stop [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// Also when work in kernels or terminals is lost
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Wait until no kernel or terminal is at work, at most this long; Ctrl-C leaves all as it is
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = duration,
        conflicts_with_all = ["force", "no_wait"])]
    pub(crate) when_idle: Option<Option<Duration>>,
    /// End also what was detached from a JupyterLab terminal (tmux, nohup)
    #[arg(long)]
    pub(crate) all_processes: bool,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl restart`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Restart {
    /// Services to restart [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// The port to use from now on: auto (the next free one), configured, or a number
    #[arg(long, value_name = "PORT", value_parser = port_choice)]
    pub(crate) port: Option<PortChoice>,
    /// Take over this shell's environment
    #[arg(long)]
    pub(crate) env: bool,
    /// Also when work in kernels or terminals is lost
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Wait until no kernel or terminal is at work, at most this long; Ctrl-C leaves all as it is
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = duration,
        conflicts_with_all = ["force", "no_wait"])]
    pub(crate) when_idle: Option<Option<Duration>>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl adopt`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Adopt {
    /// Services that run by hand
    #[arg(value_name = "SERVICE", required = true)]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl status`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Status {
    /// Services to show [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// All workspaces
    #[arg(short, long, conflicts_with = "workspace")]
    pub(crate) all: bool,
    /// Also processes, memory, processor time, listening addresses and kernels
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Go on showing it, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl logs`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Logs {
    /// Services whose output to show [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Go on with what is printed from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last lines [default: all; 10 with --follow]
    #[arg(short = 'n', long = "lines", value_name = "N")]
    pub(crate) lines: Option<usize>,
    /// Only what is newer: 10m, 2h, 2026-01-31T12:00, 12:00
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Since>,
    /// Also the access lines of pipd's own requests
    #[arg(long)]
    pub(crate) probes: bool,
    /// Show when each line was printed
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    /// Only this stream
    #[arg(long, value_enum)]
    pub(crate) stream: Option<Stream>,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// Which lines of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stream {
    /// Standard output
    Stdout,
    /// Standard error
    Stderr,
    /// What pipd noted: starts, ends, lost lines
    Pipd,
}

/// A moment: so long ago, or a point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// This long before now.
    Ago(Duration),
    /// Milliseconds since the Unix epoch.
    At(i64),
}

/// `pipctl url`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Url {
    /// The service [default: all that have an address]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl open`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Open {
    /// The service [default: the first that has an address]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl why`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Why {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl new`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct New {
    /// Folder to make
    #[arg(value_name = "NAME", value_hint = clap::ValueHint::DirPath)]
    pub(crate) name: PathBuf,
    /// Repository whose tracked files are taken, without its history [default: a small one of ours]
    #[arg(long, value_name = "PATH|URL")]
    pub(crate) from: Option<String>,
}

/// `pipctl add`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Add {
    /// The companion [default: show which there are]
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Show which there are
    #[arg(short, long)]
    pub(crate) list: bool,
    /// Show what would be added, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl env`
#[derive(Clone, Debug, Default, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Env {
    /// What to do instead of showing it
    #[command(subcommand)]
    pub(crate) command: Option<EnvCommand>,
    /// The service [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,
    /// Also what is the same
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Show values of variables that hold secrets
    #[arg(long)]
    pub(crate) show_secrets: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// The verbs of `pipctl env`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// Keep this shell's environment for the next start
    Refresh(EnvRefresh),
}

/// `pipctl env refresh`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct EnvRefresh {
    /// The services [default: all]
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl setup`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Setup {
    /// Make the environment anew, also when it can run
    #[arg(long)]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl doctor`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Doctor {
    /// Mend what can be mended, asking before each change
    #[arg(long, conflicts_with = "json")]
    pub(crate) fix: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl list`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct List {
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `pipctl forget`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Forget {
    /// The workspace: its folder, where that was, its name or identifier [default: the current folder]
    #[arg(value_name = "WORKSPACE", conflicts_with = "workspace")]
    pub(crate) folder: Option<PathBuf>,
    /// Stop what runs of it first
    #[arg(long)]
    pub(crate) stop: bool,
    /// With --stop, also when work in kernels or terminals is lost
    #[arg(short, long, requires = "stop")]
    pub(crate) force: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Print what was forgotten as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
}

/// `pipctl daemon`
#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// What to do with it
    #[command(subcommand)]
    pub(crate) command: DaemonCommand,
}

/// The verbs of `pipctl daemon`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Start pipd if it does not run
    Start,
    /// End pipd; services keep running
    Stop,
    /// Put a new pipd in the place of the running one; services keep running
    Restart,
    /// Show pipd itself; starts nothing
    Status {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Become pipd, in the foreground
    Run,
}

/// `pipctl autostart`
#[derive(Debug, Args)]
pub(crate) struct Autostart {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: AutostartCommand,
}

/// The verbs of `pipctl autostart`.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AutostartCommand {
    /// Start pipd at login, and with it the services that were up
    Enable {
        /// Only this workspace, beside those chosen before [default: every workspace]
        #[arg(short, long, value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
        workspace: Option<Option<PathBuf>>,
    },
    /// Take that back; what runs goes on
    Disable {
        /// Not this workspace; the others as before
        #[arg(short, long, value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
        workspace: Option<Option<PathBuf>>,
        /// Stop all services and pipd, too
        #[arg(long, conflicts_with = "workspace")]
        stop: bool,
    },
    /// Show what comes back, and what survives logout and reboot
    Status {
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// `pipctl version`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Version {
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `pipctl selftest`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Selftest {
    /// Checks to make [default: all]
    #[arg(value_name = "CHECK", conflicts_with = "list")]
    pub(crate) checks: Vec<String>,
    /// Only name the checks
    #[arg(long)]
    pub(crate) list: bool,
    /// Keep the folders of the checks, for a report
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `pipctl selftest-stub`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SelftestStub {
    /// What it is to do
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

/// `pipctl completions`
#[derive(Clone, Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// `pipctl complete-services`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CompleteServices {
    /// The line so far, word by word
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// The shells there are completions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// bash 4.4 or newer
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
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
