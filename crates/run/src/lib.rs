//! One run of a service, on disk and among the processes: its folder and records, its log, its tree.
//! Shared by `pipd` and the shim; decides nothing.

#![forbid(unsafe_code)]

pub mod asked;
pub mod environment;
pub mod folder;
pub mod layout;
pub mod log;
pub mod protocol;
pub mod record;
pub mod tree;
pub mod workspace;
