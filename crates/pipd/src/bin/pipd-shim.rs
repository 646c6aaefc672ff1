//! The parent of one run.
use std::process::ExitCode;

fn main() -> ExitCode {
    shim::main()
}
