//! From wire types to text. Pure: no clock, no file, no terminal. Styles are written as escapes; the stream
//! strips them where they do not belong.

mod add;
mod details;
mod doctor;
mod env;
mod holder;
mod list;
pub(crate) mod log;
pub(crate) mod progress;
pub(crate) mod selftest;
mod status;
pub(crate) mod style;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod verb;
mod why;

pub(crate) use add::{added, recipes};
pub(crate) use details::size;
pub(crate) use doctor::doctor;
pub(crate) use env::env;
pub(crate) use holder::holder as holder_line;
pub(crate) use holder::holder as named_holder;
pub(crate) use list::list;
pub(crate) use status::snapshot;
pub(crate) use table::plain;
pub(crate) use verb::{Verb, answer, notes};
pub(crate) use why::why;

use wire::ServiceView;

/// The command to type next: an arrow and the text. Hints that are several commands stay on one line.
fn arrow(indent: usize, command: &str) -> String {
    format!("{:indent$}{} {}", "", style::Styled("→", style::FAINT), plain(command))
}

/// How the last run ended, for people.
fn last_exit(service: &ServiceView) -> Option<String> {
    let exit = service.last_exit.as_ref()?;
    let mut text = plain(&exit.cause.to_string());
    if exit.uptime_ms > 0 {
        text.push_str(&format!(" after {}", crate::clock::span(exit.uptime_ms)));
    }
    Some(text)
}

/// A pid or a dash.
fn pid(pid: Option<i32>) -> String {
    pid.map_or_else(|| "-".into(), |pid| pid.to_string())
}
