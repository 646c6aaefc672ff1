//! What can be said to the verbs that make, mend and forget workspaces.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Workspace;

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
