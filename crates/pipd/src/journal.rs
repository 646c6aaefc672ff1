//! Keeps `workspace.json` in step: the record is written before anything is done, and synced before the
//! answer is given. Requests that arrive while a record is being written wait for the next one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lifecycle::Event;
use run::record::{self, Durability};
use tracing::warn;

use crate::daemon::Daemon;
use crate::input::{Input, Key};

/// Where a workspace's record is on its way to the disk.
#[derive(Default)]
pub(crate) struct JournalState {
    /// Events to let happen once the record that knows of them is written.
    waiting: Vec<(Key, Event)>,
    /// Number of the last record asked for, begun, written and synced.
    asked: u64,
    begun: u64,
    synced: u64,
    /// Since when one is being written.
    writing: Option<Instant>,
    /// What the core may see once `begun` is written.
    in_flight: Vec<(Key, Event)>,
    /// To be done once nothing is being written.
    pub(crate) before_forgetting: Vec<(wire::ForgetParams, crate::input::Reply)>,
}

impl JournalState {
    /// Number of the last record that survives a power failure.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }

    /// Whether something asked for is not safe yet: whoever asks now comes after it.
    pub(crate) fn is_behind(&self) -> bool {
        self.synced != self.asked
    }

    /// Whether an event of this service waits for a record.
    pub(crate) fn awaits(&self, service: &str) -> bool {
        self.waiting.iter().chain(&self.in_flight).any(|(key, _)| *key.service == *service)
    }
}

impl Daemon {
    /// The number that the next record of this workspace will have.
    pub(crate) fn next_record(&self, workspace: &Arc<str>) -> Option<u64> {
        Some(self.workspaces.get(workspace)?.journal.asked + 1)
    }

    /// Lets `events` happen once a record with the present goals and specifications is written.
    pub(crate) fn after_record(&mut self, workspace: &Arc<str>, events: Vec<(Key, Event)>) {
        if let Some(workspace) = self.workspaces.get_mut(workspace) {
            workspace.journal.asked += 1;
            workspace.journal.waiting.extend(events);
        }
        self.write_record(workspace);
        if crate::disk::is_still() {
            self.go_on_without_records();
        }
    }

    /// The disk does not answer: what waits for a record happens and is answered without it. The record is written when
    /// the disk goes on.
    pub(crate) fn go_on_without_records(&mut self) {
        let held_up = |journal: &JournalState| {
            journal.is_behind() && journal.writing.is_some_and(|since| since.elapsed() >= crate::disk::STILL)
        };
        let waiting = self.workspaces.values().filter(|workspace| held_up(&workspace.journal));
        let ids: Vec<Arc<str>> = waiting.map(|workspace| Arc::clone(&workspace.id)).collect();
        for id in ids {
            let Some(workspace) = self.workspaces.get_mut(&id) else { continue };
            let journal = &mut workspace.journal;
            journal.synced = journal.asked;
            let mut events = std::mem::take(&mut journal.in_flight);
            events.append(&mut journal.waiting);
            for (key, event) in events {
                self.step(&key, event);
            }
            self.send_synced(&id);
        }
    }

    fn write_record(&mut self, id: &Arc<str>) {
        let Some(host) = self.hosts.first().cloned() else { return };
        let Some(workspace) = self.workspaces.get_mut(id) else { return };
        if workspace.journal.writing.is_some() || workspace.journal.begun == workspace.journal.asked {
            return;
        }
        let content = workspace.record();
        workspace.journal.writing = Some(Instant::now());
        workspace.journal.begun = workspace.journal.asked;
        workspace.journal.in_flight = std::mem::take(&mut workspace.journal.waiting);
        let (inputs, id) = (self.inputs.clone(), Arc::clone(id));
        let folder = host.workspace(&id);
        self.on_disk(move || {
            let path = folder.record();
            let written = os::paths::private_dir(folder.path())
                .map_err(|error| error.to_string())
                .and_then(|()| record::write(&path, &content, Durability::Rename).map_err(|e| e.to_string()));
            let failed = written.is_err();
            // The loop outlives its helpers but for the moment of its end, when nobody waits any more.
            let _ = inputs.send(Input::Recorded { workspace: Arc::clone(&id), result: written });
            if !failed {
                sync(&path);
            }
            let _ = inputs.send(Input::Synced { workspace: id });
        });
    }

    pub(crate) fn on_recorded(&mut self, id: &Arc<str>, result: Result<(), String>) {
        if let Err(error) = result {
            warn!(workspace = %id, error, "the record could not be written");
            let text = format!(
                "goals are not persistent: {error}; free the disk, then type the command again to have it recorded"
            );
            if let Some(workspace) = self.workspaces.get_mut(id)
                && !workspace.warnings.contains(&text)
            {
                workspace.warnings.retain(|known| !known.starts_with("goals are not persistent"));
                workspace.warnings.push(text);
            }
        } else if let Some(workspace) = self.workspaces.get_mut(id) {
            workspace.warnings.retain(|known| !known.starts_with("goals are not persistent"));
        }
        let events = self
            .workspaces
            .get_mut(id)
            .map(|workspace| std::mem::take(&mut workspace.journal.in_flight))
            .unwrap_or_default();
        for (key, event) in events {
            self.step(&key, event);
        }
    }

    pub(crate) fn on_synced(&mut self, id: &Arc<str>) {
        if let Some(workspace) = self.workspaces.get_mut(id) {
            workspace.journal.writing = None;
            workspace.journal.synced = workspace.journal.synced.max(workspace.journal.begun);
        }
        self.write_record(id);
        self.send_synced(id);
        let asked = self.workspaces.get_mut(id).map(|one| std::mem::take(&mut one.journal.before_forgetting));
        for (params, reply) in asked.into_iter().flatten() {
            self.forget(params, reply);
        }
    }
}

/// Asks the disk for the file and its folder. A disk that refuses has said so at the write already or will
/// at the next; the promise not kept is only that of a power failure.
fn sync(path: &PathBuf) {
    let file = os::failpoint!("journal.sync")
        .and_then(|()| std::fs::File::open(path))
        .and_then(|file| file.sync_all());
    let _ = os::failpoint!("journal.synced");
    let folder = path
        .parent()
        .map_or(Ok(()), |folder| std::fs::File::open(folder).and_then(|folder| folder.sync_all()));
    if let Err(error) = file.and(folder) {
        warn!(path = %path.display(), %error, "the record could not be synced");
    }
}
