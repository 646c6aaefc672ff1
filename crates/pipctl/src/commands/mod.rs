//! One file per verb, and what several of them need.

mod add;
mod adopt;
mod asking;
mod autostart;
mod completions;
mod daemon;
mod doctor;
pub(crate) mod env;
pub(crate) mod find;
mod forget;
mod idle;
mod list;
mod logs;
mod new;
mod open;
mod restart;
mod selftest;
mod setup;
mod start;
mod status;
mod stop;
mod url;
pub(crate) mod uses;
pub(crate) mod version;
mod watch;
mod why;

use crate::cli::Command;
use crate::exit::{Exit, Failure};
use crate::terminal::{Surroundings, Terminal};

/// Carries out a verb.
pub(crate) fn run(
    command: Command,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    match command {
        Command::Start(args) => start::run(&args, surroundings, terminal),
        Command::Stop(args) => stop::run(&args, surroundings, terminal),
        Command::Restart(args) => restart::run(&args, surroundings, terminal),
        Command::Adopt(args) => adopt::run(&args, surroundings, terminal),
        Command::Status(args) => status::run(&args, surroundings, terminal),
        Command::Logs(args) => logs::run(&args, surroundings, terminal),
        Command::Url(args) => url::run(&args, surroundings, terminal),
        Command::Open(args) => open::run(&args, surroundings, terminal),
        Command::Why(args) => why::run(&args, surroundings, terminal),
        Command::List(args) => list::run(&args, surroundings, terminal),
        Command::Forget(args) => forget::run(&args, surroundings, terminal),
        Command::New(args) => new::run(&args, surroundings, terminal),
        Command::Add(args) => add::run(&args, surroundings, terminal),
        Command::Env(args) => env::run(&args, surroundings, terminal),
        Command::Setup(args) => setup::run(&args, surroundings, terminal),
        Command::Doctor(args) => doctor::run(&args, surroundings, terminal),
        Command::Daemon(args) => daemon::run(&args.command, surroundings, terminal),
        Command::Autostart(args) => autostart::run(&args.command, surroundings, terminal),
        Command::Version(args) => version::run(&args, surroundings, terminal),
        Command::Selftest(args) => selftest::run(&args, surroundings, terminal),
        Command::SelftestStub(args) => selftest::stub(&args),
        Command::Completions(args) => completions::run(&args, terminal),
        Command::CompleteServices(args) => Ok(completions::services(&args, surroundings, terminal)),
    }
}
