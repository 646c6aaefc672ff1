//! The interface of this crate on real processes, sockets and files.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first surprise")]

#[cfg(target_os = "linux")]
mod clean;
mod common;
mod files;
mod lock;
mod ports;
mod process;
mod spawn;
mod wait;
