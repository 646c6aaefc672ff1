//! Why a shim cannot begin.

use std::io;
use std::path::PathBuf;

use run::record::RecordError;

/// Nothing a person can act on here: the daemon finds a run without a shim and says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// Called by hand.
    #[error("the folder of a run is expected as the only argument; `pipctl start` starts services")]
    Usage,
    /// The specification is missing.
    #[error("{0}: there is no specification of a run")]
    NoSpec(PathBuf),
    /// A record cannot be read or written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What it said.
        source: io::Error,
    },
}

impl BeginError {
    pub(crate) fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::System { what: what.into(), source }
    }

    /// The error number, 0 where there is none.
    pub(crate) fn errno(&self) -> i32 {
        let source = match self {
            Self::System { source, .. } | Self::Record(RecordError::Io { source, .. }) => source,
            Self::Usage | Self::NoSpec(_) | Self::Record(_) => return 0,
        };
        source.raw_os_error().unwrap_or(0)
    }
}
