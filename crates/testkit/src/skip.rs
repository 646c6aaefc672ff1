//! A test that cannot run says so.

use std::io::Write as _;

/// Prints `SKIPPED: <test>: <reason>` past the test runner's capture.
///
/// # Panics
/// Where `CI=true`: there everything a test needs is to be present.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{name} may not be skipped here: {reason}");
    // Not `eprintln!`, which the test runner swallows.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {reason}");
}
