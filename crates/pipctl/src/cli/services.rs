//! What can be said to the verbs that act on services or show them.

use std::time::Duration;

use clap::{Args, ValueEnum};
use wire::PortChoice;

use super::{Waiting, Workspace, duration, port_choice, since};

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
