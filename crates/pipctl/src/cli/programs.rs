//! What can be said to the verbs about pipd itself and what is around it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
