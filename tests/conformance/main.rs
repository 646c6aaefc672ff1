//! The faults of `tests/cases.toml`, caused on purpose: the built programs as black boxes, and what must come of it.
//!
//! `docs/reliability.md` is written from the results. Cases whose fault is part of a topic of their own are in that
//! topic's file beside this folder.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

mod child;
mod client;
mod config;
mod damage;
mod endurance;
mod history;
mod kills;
mod machine;
mod points;
mod stall;
mod state;
mod supervisor;
mod upgrade;
mod world;
