//! The public interface, and everything the two systems do alike.

pub mod disk;
pub mod fifo;
pub mod host;
pub mod limits;
pub mod lock;
pub mod mapping;
pub mod memory;
pub mod notify;
pub mod paths;
pub mod ports;
pub mod process;
pub(crate) mod raw;
pub mod signals;
pub mod spawn;
pub mod terminal;
pub mod wait;
