//! Why a check did not come to a good end.

use std::io;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A promise was not kept.
    #[error("{0}")]
    Broken(String),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted; everything that was started for the checks has been ended")]
    Interrupted,
    /// The machine refused what a check needs.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Trouble {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// Adds what programs said last.
    pub(crate) fn with(self, words: String) -> Self {
        match self {
            Self::Broken(message) if !words.is_empty() => Self::Broken(format!("{message}\n{words}")),
            other => other,
        }
    }
}

/// Fails the check with this message unless the condition holds.
pub(crate) fn ensure(condition: bool, message: impl FnOnce() -> String) -> Result<(), Trouble> {
    if condition { Ok(()) } else { Err(Trouble::Broken(message())) }
}
