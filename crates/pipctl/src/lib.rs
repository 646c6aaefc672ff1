//! The command line of pipd: one file per verb in `commands/`, text made by the pure functions of `render`.
//!
//! A verb finds the workspace, asks the daemon through the `client` crate and writes what came of it. It opens
//! no browser unasked, installs nothing, changes no file of the workspace, and keeps nothing between calls.

#![forbid(unsafe_code)]

mod cli;
mod clock;
mod commands;
mod doctor;
mod exit;
mod holders;
mod http;
mod interrupt;
mod live;
mod output;
mod process;
mod render;
mod secrets;
mod setup;
mod survival;
mod template;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use output::Output;

pub use exit::{Exit, Failure};
pub use terminal::{Surroundings, Terminal};

/// The program `pipctl`.
pub fn main() -> ExitCode {
    // SIGPIPE at its default: `pipctl logs | head` ends quietly, like any other tool.
    let _ = os::signals::clean_slate();
    let mut out = Output::new(std::io::stdout());
    let mut err = Output::new(std::io::stderr());
    let mut input = std::io::stdin().lock();
    let mut terminal = Terminal { out: &mut out, err: &mut err, input: &mut input };
    match Surroundings::of_this_process() {
        Ok(surroundings) => run(std::env::args_os(), &surroundings, &mut terminal).into(),
        Err(failure) => report(&failure, &mut terminal).into(),
    }
}

/// The verbs and options there are, for those who make manual pages from them.
pub fn grammar() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}

/// One call of `pipctl`, the program's name first among the arguments.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Exit {
    let parsed = match cli::parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error, terminal),
    };
    match commands::run(parsed.command, surroundings, terminal) {
        Ok(exit) => exit,
        Err(failure) => report(&failure, terminal),
    }
}

/// What clap says: help and version on standard output, mistakes on standard error.
fn usage(error: &clap::Error, terminal: &mut Terminal<'_>) -> Exit {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        terminal.tell(&text);
        return Exit::Usage;
    }
    match terminal.print(&text) {
        Ok(()) => Exit::Ok,
        Err(failure) => report(&failure, terminal),
    }
}

fn report(failure: &Failure, terminal: &mut Terminal<'_>) -> Exit {
    if !failure.message.is_empty() {
        let message = failure.message.trim_end();
        // Messages of the configuration come rendered, with their own heading.
        let rendered = message.starts_with("error") || message.starts_with('\u{1b}');
        let head = render::style::Styled("error:", render::style::BAD);
        if rendered {
            terminal.tell(&format!("{message}\n"));
        } else {
            terminal.tell(&format!("{head} {message}\n"));
        }
    }
    failure.exit
}
