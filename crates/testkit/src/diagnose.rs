//! What a person wants to see of a test that failed.

use std::fmt::Write as _;
use std::path::Path;

use crate::Sandbox;
use crate::processes;

const LINES: usize = 25;

/// The daemon's log, the services' logs and the processes of a sandbox.
pub(crate) fn report(sandbox: &Sandbox) -> String {
    let mut report = format!("=== sandbox {}\n", sandbox.folder().display());
    for process in processes::naming(sandbox.folder()) {
        let _ = writeln!(report, "process {} {}", process.pid, os::process::command_line(process.pid));
    }
    if let Some(host) = sandbox.try_host() {
        show(&mut report, &host.join("pipd.log"));
        show_logs(&mut report, &host.join("workspaces"));
    }
    report
}

fn show_logs(report: &mut String, folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            show_logs(report, &path);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            show(report, &path);
        }
    }
}

fn show(report: &mut String, path: &Path) {
    let text =
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let _ = writeln!(report, "--- {}", path.display());
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        let _ = writeln!(report, "{}", line.get(..300).unwrap_or(line));
    }
}
