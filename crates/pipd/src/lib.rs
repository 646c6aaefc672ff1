//! The daemon: one per user and host. It decides by asking `lifecycle`, and carries out.
//!
//! One thread, one loop: everything that happens is an [`input::Input`], handled by one synchronous
//! function of [`daemon::Daemon`]. What can block runs on a few helper threads and comes back as an input.
//! It is no service's parent and reads no log; it holds no fact that it could not read back from the run
//! directories and the workspace records.

#![forbid(unsafe_code)]

mod adopt;
mod answers;
mod clock;
mod companion;
mod daemon;
mod dependents;
mod details;
mod disk;
mod edited;
mod environment;
mod forget;
mod hearing;
mod http;
mod input;
mod journal;
mod jupyter;
mod liveness;
mod managed;
mod members;
mod memory;
mod mend;
#[cfg(test)]
mod ordering;
mod own_log;
mod places;
mod port;
mod privacy;
mod probe;
mod published;
mod reaper;
mod recover;
mod requests;
mod rest;
mod runs;
mod service;
mod services;
mod session;
mod shim_link;
mod shortage;
mod snapshot;
mod socket;
mod spawn;
mod startup;
mod strays;
mod take_in;
mod takeover;
mod tasks;
mod timeline;
mod tree;
mod truth;
mod unrecorded;
mod whereabouts;
mod workers;
mod workspace;

pub use startup::main;
