//! What the operating system must do for pipd, behind one interface for Linux and macOS.
//!
//! Processes are named by identity, never by a bare pid; ports by the sockets that listen on them; locks by the
//! open file that holds them. This crate asks and acts; it never decides, and it keeps no state between calls
//! beyond what the kernel keeps (and a few cached constants of this boot).
//!
//! It is the only crate of the project with `unsafe` code. `unix/` is shared and holds the public interface;
//! `linux/` and `macos/` hold the same private interface once per system.

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("pipd runs on Linux and macOS only");

#[cfg(target_os = "linux")]
#[path = "linux/mod.rs"]
mod sys;
#[cfg(target_os = "macos")]
#[path = "macos/mod.rs"]
mod sys;

pub mod failpoint;
mod unix;

pub use unix::{
    disk, fifo, host, limits, lock, mapping, memory, notify, paths, ports, process, signals, spawn, terminal,
    wait,
};
