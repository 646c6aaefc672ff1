//! Why a workspace could not be read, as people are to see it.

use std::io;
use std::path::PathBuf;

use crate::diagnostic::ConfigError;

/// Every one names the path it is about and ends in the command to type.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder to begin with cannot be used.
    #[error("{}: {source}; type: pipctl list", path.display())]
    Start {
        /// The folder as it was given.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// No folder between here and the border has a sign of a workspace.
    #[error("no workspace in {} or above it, up to {border}; type: {command}", start.display())]
    NoWorkspace {
        /// Where the walk began.
        start: PathBuf,
        /// Folders that were looked at, nearest first.
        looked: Vec<PathBuf>,
        /// Why the walk went no further.
        border: String,
        /// The command that makes a workspace here.
        command: String,
    },
    /// The workspace is there and nothing in it can be started.
    #[error("nothing to run in {}: {}; type: {command}", root.display(), looked.join("; "))]
    NothingToRun {
        /// The workspace.
        root: PathBuf,
        /// What was looked for and why it does not count, one sentence each.
        looked: Vec<String>,
        /// The command that mends it.
        command: String,
    },
    /// A service needs Python, and the interpreter cannot run.
    #[error("{what}; type: {command}")]
    Python {
        /// Which interpreter, and what is wrong with it.
        what: String,
        /// The command that mends it.
        command: String,
    },
    /// A file that is there cannot be read.
    #[error("{}: {problem}; type: {command}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// The command that helps.
        command: String,
    },
    /// The configuration says something that cannot be done.
    #[error(transparent)]
    Config(#[from] Box<ConfigError>),
}

impl Error {
    /// The command to type next.
    pub fn command(&self) -> &str {
        match self {
            Self::Start { .. } => "pipctl list",
            Self::NoWorkspace { command, .. }
            | Self::NothingToRun { command, .. }
            | Self::Python { command, .. }
            | Self::File { command, .. } => command,
            Self::Config(_) => ConfigError::COMMAND,
        }
    }

    /// For a terminal: several lines, with the place in the file where there is one, ending in the command to
    /// type. With `color` it carries ANSI escapes.
    pub fn render(&self, color: bool) -> String {
        let (head, details) = match self {
            Self::Config(config) => return config.render(color),
            Self::Start { path, source } => (format!("{}: {source}", path.display()), Vec::new()),
            Self::NoWorkspace { start, looked, border, .. } => {
                let head = format!("no workspace in {} or above it", start.display());
                let mut details: Vec<String> =
                    looked.iter().map(|dir| format!("looked in {}", dir.display())).collect();
                details.push(format!("the search ends at {border}"));
                details.push("a workspace has pipd.toml, [tool.pipd] in pyproject.toml, .venv, venv, server.py or requirements.txt".to_owned());
                (head, details)
            }
            Self::NothingToRun { root, looked, .. } => {
                (format!("nothing to run in {}", root.display()), looked.clone())
            }
            Self::Python { what, .. } => (what.clone(), Vec::new()),
            Self::File { path, problem, .. } => (format!("{}: {problem}", path.display()), Vec::new()),
        };
        let mut text =
            if color { format!("\x1b[1;91merror\x1b[0m: {head}\n") } else { format!("error: {head}\n") };
        for detail in details {
            text.push_str(&format!("  - {detail}\n"));
        }
        text.push_str(&format!("type: {}\n", self.command()));
        text
    }
}
