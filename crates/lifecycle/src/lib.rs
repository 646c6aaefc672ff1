//! The life of one service, decided without clock, file, socket or environment.
//!
//! [`Service::step`] takes what happened, the time and the policy, and returns what is to be done. It is the only
//! place that decides; it never waits, never fails and keeps no history. The shells around it (spawn, probe, port,
//! journal, socket) report and perform, and never decide.
//!
//! **Goal and phase.** [`Goal`] is what the user wants and changes only by a `Start`, `Stop` or `Restart`.
//! [`Phase`] is where the service is. Everybody who waits for an answer waits for the present goal: whoever
//! changes the goal supersedes the others.
//!
//! **One outstanding question.** A service has at most one run, from [`Action::Spawn`] until its
//! [`Event::Exited`] (or [`Event::Blocked`], when none came to life). Every report carries the run it speaks of;
//! a report of any other run changes nothing.
//!
//! **Time** is whatever rising number of milliseconds the caller has. After a step, [`Service::deadline`] names
//! the moment at which a step with [`Event::Deadline`] is due, later than the step's own `now`. Late is normal: a
//! report that comes together with a deadline is taken first.
//!
//! ```
//! use lifecycle::{Action, Event, Exit, Policy, RunId, Service};
//!
//! let (policy, run) = (Policy::default(), RunId(1));
//! let mut service = Service::new();
//! let asked = service.step(Event::Start { request: None }, 0, &policy);
//! assert_eq!(asked.last(), Some(&Action::Spawn { run }));
//! service.step(Event::Spawned { run }, 5, &policy);
//! service.step(Event::Ready { run }, 800, &policy);
//! // It fails: the first restart comes at once.
//! let next = service.step(Event::Exited { run, exit: Exit::FAILURE }, 9_000, &policy);
//! assert_eq!(next, [Action::Spawn { run: RunId(2) }]);
//! ```
//!
//! Must never: read a clock, touch the outside, panic, or allow two runs at once.

#![no_std]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::wildcard_enum_match_arm,
    clippy::match_wildcard_for_single_variants
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::panic, reason = "a test may fail"))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
mod budget;
mod event;
mod ids;
mod outside;
mod phase;
mod policy;
mod reports;
mod requests;
mod restore;
mod service;
mod step;
mod timers;
mod waiting;
#[cfg(test)]
mod walk;

pub use action::{Action, Answer};
pub use event::{Event, Exit};
pub use ids::{Millis, RequestId, RunId};
pub use phase::{Block, Goal, Life, Phase, StopReason};
pub use policy::{Policy, Restart};
pub use restore::Restored;
pub use service::Service;
