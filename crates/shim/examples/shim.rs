//! The shim as a program, for its tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    shim::main()
}
