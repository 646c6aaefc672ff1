//! The folder of our own records: ours, writable, readable.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, geteuid};
use run::workspace::WorkspaceRecord;

use super::{Check, Context, Finding, Level};

pub(super) struct State;

impl Check for State {
    fn name(&self) -> &'static str {
        "state"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let locations = match context.surroundings().locations() {
            Ok(locations) => locations,
            Err(failure) => {
                let mend = "export PIPD_STATE_DIR=\"$HOME/.local/state/pipd\"";
                return vec![Finding::new(self, Level::Problem, failure.message).mend(mend)];
            }
        };
        let mut found = Vec::new();
        for host in locations.hosts() {
            found.extend(self.folder(host.path()));
            found.extend(aside(self, host.path()));
            let workspaces = fs::read_dir(host.workspaces()).into_iter().flatten().flatten();
            for entry in workspaces {
                let Some(id) = entry.file_name().into_string().ok() else { continue };
                let path = host.workspace(&id).record();
                if let Err(error) = run::record::read::<WorkspaceRecord>(&path) {
                    let mend = "pipctl daemon restart, then pipctl start in that workspace";
                    found.push(Finding::new(self, Level::Problem, error.to_string()).mend(mend));
                }
                found.extend(aside(self, host.workspace(&id).path()));
                let services = fs::read_dir(host.workspace(&id).services()).into_iter().flatten().flatten();
                for name in services.filter_map(|entry| entry.file_name().into_string().ok()) {
                    let service = host.workspace(&id).service(&name);
                    for run in service.run_numbers().unwrap_or_default() {
                        found.extend(aside(self, service.run(run).path()));
                    }
                }
            }
        }
        for warning in context.snapshot().iter().flat_map(|snapshot| &snapshot.warnings) {
            found.push(Finding::new(self, Level::Warning, warning.clone()).mend("pipctl daemon restart"));
        }
        if found.is_empty() {
            let folder = locations.hosts().first().map(|host| host.path().display().to_string());
            found.push(Finding::new(self, Level::Ok, folder.unwrap_or_default()));
        }
        found
    }
}

impl State {
    fn folder(&self, folder: &Path) -> Option<Finding> {
        let facts = folder.metadata().ok()?;
        let shown = folder.display();
        let problem = |text: String| Finding::new(self, Level::Problem, text);
        if facts.uid() != geteuid().as_raw() {
            let owner = os::process::user_name(facts.uid());
            let mend = format!("sudo chown -R $(id -u) {shown}");
            return Some(problem(format!("{shown} belongs to {owner}")).mend(mend));
        }
        if access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_err() {
            let text = format!("{shown} cannot be written to: nothing is remembered");
            return Some(problem(text).program(&["chmod", "700", &shown.to_string()]));
        }
        if facts.mode() & 0o077 != 0 {
            let text = format!("{shown} is open to others, and it holds tokens and environments");
            return Some(problem(text).program(&["chmod", "700", &shown.to_string()]));
        }
        None
    }
}

/// Records that a daemon could not read and put aside.
fn aside(check: &State, folder: &Path) -> Vec<Finding> {
    let said = |path: &PathBuf| {
        let text = format!("{} was unreadable and is set aside; what lived was taken over", path.display());
        Finding::new(check, Level::Note, text).mend(format!("rm {}", path.display()))
    };
    run::record::put_aside(folder).iter().map(said).collect()
}
