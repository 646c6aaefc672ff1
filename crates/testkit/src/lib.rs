//! What the tests stand on: a sandbox with a daemon of its own, stub services, the real servers' environments.
//!
//! For tests only. A sandbox has its own home, state and ports, ends exactly what was started in it, and fails
//! the test when something was left or when the daemon logged an error.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a harness fails its test by panicking")]

mod diagnose;
mod failpoints;
mod http;
mod pipctl;
mod ports;
mod processes;
mod python;
mod sandbox;
mod skip;
mod slots;
mod stub;
mod systemd_box;
mod tools;
mod wait;
mod workspace;

pub use failpoints::Failpoints;
pub use http::{Answer, get};
pub use pipctl::{Finished, exit, finish as run};
pub use ports::Port;
pub use processes::{alive, descendants, kill, resume, suspend};
pub use python::{Jupyter, Stack, repository, tool};
pub use sandbox::Sandbox;
pub use skip::skipped;
pub use slots::{Slot, real_server_slot};
pub use stub::stub;
pub use systemd_box::SystemdBox;
pub use tools::shared_tool;
pub use wait::{LONG, SHORT, until, until_some};
pub use workspace::Workspace;

/// A sandbox around the programs of the package under test.
#[macro_export]
macro_rules! sandbox {
    () => {
        $crate::Sandbox::new(std::path::Path::new(env!("CARGO_BIN_EXE_pipctl")))
    };
}

/// A machine with a real systemd and the programs of the package under test; ends the test, loudly, where there can
/// be none.
#[macro_export]
macro_rules! systemd_box {
    () => {
        match $crate::SystemdBox::boot(std::path::Path::new(env!("CARGO_BIN_EXE_pipctl"))) {
            Ok(machine) => machine,
            Err(reason) => $crate::skip!("{reason}"),
        }
    };
}

/// Ends the test, loudly, because something it needs is not on this machine. Fails where `CI=true`.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        $crate::skipped(&format!($($reason)*));
        return;
    }};
}
