//! The daemon.
use std::process::ExitCode;

fn main() -> ExitCode {
    pipd::main()
}
