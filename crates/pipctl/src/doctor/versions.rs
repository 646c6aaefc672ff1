//! Client, daemon and shims: of one installation, and all there.

use std::path::Path;

use super::context::Daemon;
use super::{Check, Context, Finding, Level};
use crate::commands::version::{OWN, difference};

pub(super) struct Versions;

impl Check for Versions {
    fn name(&self) -> &'static str {
        "versions"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let mut found = Vec::new();
        match client::find_daemon() {
            Ok(daemon) => {
                let shim = daemon.with_file_name("pipd-shim");
                if !shim.is_file() {
                    let text = format!("{} is missing: no service can be started", shim.display());
                    found.push(Finding::new(self, Level::Problem, text).mend("install pipd again"));
                }
            }
            Err(error) => {
                found.push(Finding::new(self, Level::Problem, error.to_string()).mend("install pipd again"))
            }
        }
        let Daemon::Runs(both) = context.daemon() else {
            if found.is_empty() {
                found.push(Finding::new(self, Level::Ok, format!("pipctl {OWN}")));
            }
            return found;
        };
        let (daemon, snapshot) = &**both;
        if let Some(text) = difference(daemon) {
            let text = text.split("; ").next().unwrap_or(&text).to_owned();
            found.push(Finding::new(self, Level::Warning, text).verb(&["daemon", "restart"]));
        } else if daemon.exe.as_ref().is_some_and(|exe| is_replaced(exe.as_path())) {
            let text = "the program of the running pipd was replaced or removed since it was started";
            found.push(Finding::new(self, Level::Warning, text).verb(&["daemon", "restart"]));
        }
        let shims: Vec<i32> =
            snapshot.workspaces.iter().flat_map(|w| &w.services).filter_map(|s| s.shim_pid).collect();
        let old = shims.iter().filter(|&&pid| shim_is_old(pid)).count();
        if old > 0 {
            let text = format!(
                "{old} of {} runs have a shim of an earlier installation; it serves them to their end",
                shims.len()
            );
            found.push(Finding::new(self, Level::Note, text).mend("pipctl restart, when it suits you"));
        }
        if found.is_empty() {
            let text = format!("pipctl and pipd {OWN}, {} shims", shims.len());
            found.push(Finding::new(self, Level::Ok, text));
        }
        found
    }
}

/// What Linux says of a program whose file is gone.
fn is_replaced(exe: &Path) -> bool {
    exe.to_string_lossy().ends_with(" (deleted)") || !exe.exists()
}

fn shim_is_old(pid: i32) -> bool {
    os::process::program(pid).is_some_and(|exe| is_replaced(&exe))
}
