//! The log of a service: what its runs printed, in CRI lines, in numbered files of bounded size.
//!
//! ```text
//! 2026-11-22T18:07:59.123456789Z stdout F Application startup complete
//! 2026-11-22T18:07:59.123456789Z pipd F run 7 started, pid 123
//! ```
//!
//! One process writes, the shim that holds the run's lock: [`Writer`]. Anybody reads: [`read`], [`Follower`],
//! [`last_words`]. The writer survives SIGKILL at any instruction: what it has read and not yet logged lies in
//! the [spool](spool), and its successor writes every line exactly once. It never blocks the service over a
//! disk that is full; what is lost then is counted and said. While a disk stands still a [`Spill`] takes the output.

mod entry;
mod fault;
mod files;
mod follow;
mod format;
mod join;
mod nonce;
mod probes;
mod read;
mod spill;
mod spool;
mod stamp;
mod tail;
mod window;
mod words;
mod writer;

#[cfg(test)]
mod tests;

pub use entry::{Entry, Stream};
pub use follow::{Follower, Position};
pub use probes::Probe;
pub use probes::{AGENT, VERSION};
pub use read::{Query, read};
pub use spill::Spill;
pub use spool::SPOOL_BYTES;
pub use stamp::Stamp;
pub use words::{last_traceback, last_words};
pub use writer::{Fifo, Options, Source, Writer, error_text};
