//! What can go wrong with a service manager. Every message ends in the command to type.

use std::io;
use std::path::{Path, PathBuf};

/// Why a service manager could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// The file system refused.
    #[error("{path}: {source}; look at it: ls -ld {path}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file is in the way that pipd did not write.
    #[error("{path}: not written by pipd, and left alone; look at it, or move it away: mv {path} {path}.old")]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A path cannot be written into the manager's file.
    #[error(
        "{path}: {manager} cannot be told of a path like this; install pipd in a folder with a plain name"
    )]
    Unspeakable {
        /// The path.
        path: PathBuf,
        /// The manager.
        manager: &'static str,
    },
    /// The manager's program cannot be run, or said no.
    #[error("{words}: {said}; try it: {words}")]
    Refused {
        /// What was typed.
        words: String,
        /// What came back.
        said: String,
    },
    /// Written, but the manager reads another file.
    #[error("{written} is written, but systemd reads {read}; look: systemctl --user cat pipd.service")]
    Elsewhere {
        /// Where pipd wrote.
        written: PathBuf,
        /// Where the manager reads, or that it reads none.
        read: String,
    },
}

impl ManagerError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::File { path: path.to_owned(), source }
    }
}
