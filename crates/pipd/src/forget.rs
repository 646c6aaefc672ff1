//! Drops what is kept of a workspace. Only of one of which nothing runs, and never the folder itself.

use std::io;
use std::sync::Arc;

use lifecycle::Event;
use run::layout::HostDir;
use tracing::{info, warn};
use wire::{ErrorObject, ForgetAnswer, ForgetParams, ServiceOutcome, code};

use crate::clock::wall_ms;
use crate::daemon::Daemon;
use crate::input::{Input, Key, Reply};
use crate::port::shell_word;

impl Daemon {
    pub(crate) fn forget(&mut self, params: ForgetParams, reply: Reply) {
        let root = params.root.to_string_lossy();
        let Some(workspace) = self.workspace_at(&params.root) else {
            let said = format!("nothing is kept of {root}; what there is: pipctl list");
            return drop(reply.send(Err(ErrorObject::new(code::UNKNOWN_NAME, said))));
        };
        let runs = workspace.services.iter().filter(|(_, service)| service.core.run().is_some());
        let running: Vec<&str> = runs.map(|(name, _)| &**name).collect();
        if !running.is_empty() {
            let said = format!(
                "{} of {root} runs, so nothing was forgotten; to stop it first: pipctl forget --stop {}",
                running.join(", "),
                shell_word(&root)
            );
            return drop(reply.send(Err(ErrorObject::new(code::RUNNING, said))));
        }
        let id = Arc::clone(&workspace.id);
        let names: Vec<_> = workspace.services.iter().map(|(name, _)| Arc::clone(name)).collect();
        for service in names {
            let key = Key { workspace: Arc::clone(&id), service };
            // Nothing of it is begun again while its records go.
            self.step(&key, Event::Stop { request: None });
            self.settle_service(&key, ServiceOutcome::Superseded);
        }
        let Some(workspace) = self.workspaces.get_mut(&id) else { return };
        // A record that is being written would come back.
        if workspace.journal.is_behind() {
            workspace.journal.before_forgetting.push((params, reply));
            return;
        }
        workspace.forgetting = true;
        let (inputs, hosts) = (self.inputs.clone(), self.hosts.clone());
        crate::tasks::blocking(move || {
            let result = hosts.iter().try_for_each(|host| remove(host, &id));
            let _ = inputs.send(Input::Forgotten { workspace: id, result, reply });
        });
    }

    pub(crate) fn on_forgotten(&mut self, id: &Arc<str>, result: io::Result<()>, reply: Reply) {
        let answer = match result {
            Ok(()) => {
                let root = self.workspaces.remove(id).map(|workspace| workspace.root);
                self.numbers_used.retain(|key, _| key.workspace != *id);
                info!(workspace = %id, "forgotten");
                crate::answers::written(&ForgetAnswer { id: id.to_string(), root })
            }
            Err(error) => {
                warn!(workspace = %id, %error, "could not be forgotten");
                if let Some(workspace) = self.workspaces.get_mut(id) {
                    workspace.forgetting = false;
                }
                let said = format!("what is kept of {id} could not be removed: {error}; type it again");
                Err(ErrorObject::new(code::STATE, said))
            }
        };
        self.touch();
        let _ = reply.send(answer);
    }

    /// Why nothing is done for a workspace whose records are going.
    pub(crate) fn is_being_forgotten(&self, root: &wire::Text) -> bool {
        self.workspace_at(root).is_some_and(|workspace| workspace.forgetting)
    }
}

/// Takes the folder out of sight in one step, then removes it: what a death leaves half removed is nobody's workspace.
fn remove(host: &HostDir, id: &str) -> io::Result<()> {
    let folder = host.workspace(id);
    let aside = host.forgotten().join(format!("{id}.{}", wall_ms()));
    os::failpoint!("forget.rename")?;
    match std::fs::symlink_metadata(folder.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    os::paths::private_dir(&host.forgotten())?;
    std::fs::rename(folder.path(), &aside)?;
    let _ = os::failpoint!("forget.renamed");
    sweep(host);
    Ok(())
}

/// Removes what was forgotten. What refuses is tried again by the next daemon.
pub(crate) fn sweep(host: &HostDir) {
    match std::fs::remove_dir_all(host.forgotten()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(path = %host.forgotten().display(), %error, "what was forgotten is still there");
        }
        _ => {}
    }
}
