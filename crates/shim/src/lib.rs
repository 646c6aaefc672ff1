//! The shim: one per run of a service. It is the parent of the service's process, the writer of its log and
//! its undertaker; small, with one loop around `poll`, and one thread that waits for the disk so that the loop never does.
//!
//! It decides nothing, with one exception written down in `spec.json` (a main process that replaced itself).
//! It never dies with the daemon, and the service never dies with it: a shim that is killed is followed by
//! another one, which finds in the run's folder all it needs.
//!
//! ```text
//! begin ─▶ Shim::serve ─▶ main ends ─▶ replaced? ─▶ sweep ─▶ drain ─▶ reap ─▶ exit.json ─▶ Exited ─▶ exit
//!            │  orders, output, deadlines                       (ending)
//!            └─ daemon gone without goodbye ─▶ revival
//! ```

#![forbid(unsafe_code)]

mod begin;
mod clients;
mod disk;
mod ending;
mod error;
mod ladder;
mod main_process;
mod memory;
mod note;
mod output;
mod revival;
mod serve;
mod spawn;
mod successor;

use std::process::ExitCode;

/// The whole program. Its only argument, the last one, is the run's folder.
pub fn main() -> ExitCode {
    match begin::begin() {
        Ok(Some(shim)) => {
            shim.serve();
            ExitCode::SUCCESS
        }
        // Somebody else serves this run, or nothing is left to do.
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::from(111)
        }
    }
}

/// A line for the daemon's log.
fn say(message: &dyn std::fmt::Display) {
    disk::say(format!("pipd-shim[{}]: {message}\n", std::process::id()));
}
