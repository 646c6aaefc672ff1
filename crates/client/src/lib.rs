//! A small blocking client for `pipd`, for the command line and for whoever embeds it.
//!
//! [`Client::connect`] starts nothing; [`Client::connect_or_start`] has a daemon started when there is none.
//! Every call is one request and its answer; a waiting `start` hands the snapshots of an earlier
//! [`Client::subscribe`] to a callback. No async runtime, no thread, no global state.
//!
//! ```no_run
//! let locations = client::Locations::discover()?;
//! let mut pipd = client::Client::connect(&locations)?;
//! for workspace in pipd.status(None)?.workspaces {
//!     println!("{} has {} services", workspace.id, workspace.services.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod again;
mod ancestry;
mod calls;
mod changes;
mod connect;
mod error;
mod lines;
mod locations;
mod start;

pub use again::until_answered;
pub use calls::{Client, Progress};
pub use changes::Changes;
pub use error::{CallError, ConnectError, LocateError, StartError};
pub use locations::Locations;
pub use start::{StartDaemon, find_daemon};

/// Longest time a daemon may take for `hello`, `status` and every other answer that waits for nothing.
pub const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
