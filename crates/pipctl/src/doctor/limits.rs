//! Limits of the system that servers run into: open files, watched files.

use super::{Check, Context, Finding, Level};

/// JupyterLab keeps some twenty descriptors for each kernel.
const FEW_FILES: u64 = 1_024;
/// A reloader of a middling project watches some thousands.
const FEW_WATCHES: u64 = 8_192;
/// Share of what there is that counts as used up, in percent.
const NEARLY: u64 = 90;

pub(super) struct Limits;

impl Check for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn look(&self, _: &Context) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut well = Vec::new();
        if let Ok((soft, hard)) = os::limits::nofile() {
            if soft < FEW_FILES {
                let text =
                    format!("{soft} open files for each process; JupyterLab with many kernels needs more");
                let most = hard.min(65_536);
                let mend = format!("ulimit -n {most}; then: pipctl restart --env");
                found.push(Finding::new(self, Level::Warning, text).mend(mend));
            } else {
                well.push(format!("{soft} open files"));
            }
        }
        if let Some(watching) = os::limits::watching() {
            let few = watching.watches < FEW_WATCHES;
            let used = |used: Option<u64>, of: u64| used.is_some_and(|used| used * 100 >= of * NEARLY);
            if used(watching.instances_used, watching.instances) {
                let text = format!(
                    "{} of {} file watchers are in use: reloaders will fail to start",
                    watching.instances_used.unwrap_or_default(),
                    watching.instances
                );
                let mend = format!("sudo sysctl fs.inotify.max_user_instances={}", watching.instances * 4);
                found.push(Finding::new(self, Level::Warning, text).mend(mend));
            } else if few {
                let text = format!("{} files can be watched; reloaders will miss changes", watching.watches);
                let mend = "sudo sysctl fs.inotify.max_user_watches=524288";
                found.push(Finding::new(self, Level::Warning, text).mend(mend));
            } else {
                well.push(format!("{} watched files", watching.watches));
            }
        }
        if found.is_empty() && !well.is_empty() {
            found.push(Finding::new(self, Level::Ok, well.join(", ")));
        }
        found
    }
}
