//! The project's own commands: `cargo xtask up`, `cargo xtask test`, `cargo xtask reliability`, `cargo xtask bench [name…]`.
//!
//! Builds, prepares and calls; it holds no knowledge of the product beyond the names of its programs.

#![forbid(unsafe_code)]

mod bench;
mod build;
mod deny;
mod fuzz;
mod package;
mod reliability;
mod soak;
mod test;
mod tools;
mod up;
mod venv;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  up [pipctl start arguments…]  build, prepare examples/workspace, start its servers
  test [cargo test arguments…]  all tests, the real servers included
  reliability [test name… | --from OUTPUT…]
                                run the tests that name a fault case, write docs/reliability.md
  package <what…>               wheel, Debian package, manual pages, completions (without a name: which there are)
  deny [--advisories]           licences, bans and sources of everything that is depended on
  soak [test name… | --from OUTPUT…]
                                the long cases: 1,000 kills, an hour of a restart a second, minutes of shortage;
                                recorded in tests/soaks.toml, shown by docs/reliability.md
  fuzz [target…] [--for 60s]    any bytes to the readers of wire, config, state and log, under libFuzzer
  bench [name…]                 measure; without a name everything (names: cargo xtask bench --list)
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_str() {
        "up" => up::run(&rest),
        "test" => test::run(&rest),
        "reliability" => reliability::run(&rest),
        "package" => package::run(&rest),
        "deny" => deny::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "soak" => soak::run(&rest),
        "bench" => bench::run(&rest),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
