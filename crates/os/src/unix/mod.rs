//! The public interface, and everything the two systems do alike.

pub mod fifo;
pub mod host;
pub mod lock;
pub mod paths;
pub mod process;
pub(crate) mod raw;
pub mod signals;
pub mod spawn;
pub mod wait;
