//! Requests that wait: who asked, for which services, and until when.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use lifecycle::{Answer, Millis, RequestId};
use tracing::debug;
use wire::{ServiceOutcome, ServiceResult, VerbAnswer};

use crate::daemon::Daemon;
use crate::input::{Key, Reply};

/// One verb of one client.
struct Group {
    workspace: Arc<str>,
    reply: Reply,
    /// Services in the order in which they are answered, with the answer once there is one.
    results: Vec<(Key, Option<ServiceResult>)>,
    /// How many have none yet.
    missing: usize,
    overdue_at: Option<Millis>,
    /// The answer must not be given before the record with this number would survive a power failure.
    needs_sync: Option<u64>,
}

/// All requests that wait.
#[derive(Default)]
pub(crate) struct Answers {
    groups: BTreeMap<u64, Group>,
    requests: HashMap<RequestId, (u64, usize)>,
    last_group: u64,
    last_request: u64,
}

impl Answers {
    /// Opens a group; nothing waits in it yet.
    pub(crate) fn open(
        &mut self,
        workspace: Arc<str>,
        reply: Reply,
        keys: &[Key],
        overdue_at: Option<Millis>,
        needs_sync: Option<u64>,
    ) -> u64 {
        self.last_group += 1;
        let results = keys.iter().map(|key| (key.clone(), None)).collect();
        let group = Group { workspace, reply, results, missing: keys.len(), overdue_at, needs_sync };
        self.groups.insert(self.last_group, group);
        self.last_group
    }

    /// A number for one service of a group, for the core.
    pub(crate) fn request(&mut self, group: u64, index: usize) -> RequestId {
        self.last_request += 1;
        let request = RequestId(self.last_request);
        self.requests.insert(request, (group, index));
        request
    }

    /// Whether anybody waits for a service of this workspace.
    pub(crate) fn is_waited_for(&self, workspace: &str) -> bool {
        self.groups.values().any(|group| &*group.workspace == workspace)
    }

    /// When the next group is overdue.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.groups.values().filter_map(|group| group.overdue_at).min()
    }
}

impl Daemon {
    /// The core answers a request.
    pub(crate) fn answer(&mut self, key: &Key, request: RequestId, answer: Answer) {
        let outcome = match answer {
            Answer::Ready => ServiceOutcome::Ready,
            Answer::Already | Answer::AlreadyStopped => ServiceOutcome::Already,
            Answer::Stopped => ServiceOutcome::Stopped,
            Answer::Failed => ServiceOutcome::Failed,
            Answer::Blocked => ServiceOutcome::Blocked,
            Answer::Timeout => ServiceOutcome::Timeout,
            Answer::Superseded => ServiceOutcome::Superseded,
            Answer::External => ServiceOutcome::External,
            Answer::Absent => ServiceOutcome::Absent,
        };
        let Some((group, index)) = self.answers.requests.remove(&request) else {
            debug!(%key, ?request, "answer to a request that is no longer waited for");
            return;
        };
        if outcome == ServiceOutcome::Absent {
            self.forget_adoption(key);
        }
        self.settle(group, index, outcome, Vec::new());
    }

    /// Everybody who waits for this service is answered; what the core says of it later is not waited for any more.
    pub(crate) fn settle_service(&mut self, key: &Key, outcome: ServiceOutcome) {
        let waiting: Vec<(RequestId, u64, usize)> = self
            .answers
            .requests
            .iter()
            .filter(|(_, (group, index))| {
                let result = self.answers.groups.get(group).and_then(|group| group.results.get(*index));
                result.is_some_and(|(of, result)| of == key && result.is_none())
            })
            .map(|(request, (group, index))| (*request, *group, *index))
            .collect();
        for (request, group, index) in waiting {
            self.answers.requests.remove(&request);
            self.settle(group, index, outcome, Vec::new());
        }
    }

    /// One service of a group is answered; the last one sends the answer off.
    pub(crate) fn settle(
        &mut self,
        group: u64,
        index: usize,
        outcome: ServiceOutcome,
        would_lose: Vec<String>,
    ) {
        let Some((key, None)) = self.answers.groups.get(&group).and_then(|group| group.results.get(index))
        else {
            return;
        };
        let key = key.clone();
        let Some(result) = self.result(&key, outcome, would_lose) else { return };
        if let Some(group) = self.answers.groups.get_mut(&group)
            && let Some(slot) = group.results.get_mut(index)
        {
            slot.1 = Some(result);
            group.missing -= 1;
        }
        self.send_complete(group);
    }

    fn result(&self, key: &Key, outcome: ServiceOutcome, would_lose: Vec<String>) -> Option<ServiceResult> {
        let service = self.service_view(key)?;
        let last_words = match outcome {
            ServiceOutcome::Failed | ServiceOutcome::Timeout => {
                self.service(key).map(|service| service.last_words.clone()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        Some(ServiceResult { outcome, service, last_words, would_lose })
    }

    /// Sends the answer of a group in which nothing is missing, if its record is safe.
    pub(crate) fn send_complete(&mut self, number: u64) {
        let Some(group) = self.answers.groups.get(&number) else { return };
        if group.missing > 0 {
            return;
        }
        let synced = self.workspaces.get(&group.workspace).map(|workspace| workspace.journal.synced());
        if let (Some(needed), Some(synced)) = (group.needs_sync, synced)
            && synced < needed
        {
            return;
        }
        let Some(group) = self.answers.groups.remove(&number) else { return };
        let answer =
            VerbAnswer { services: group.results.into_iter().filter_map(|(_, result)| result).collect() };
        // The client may be gone; the world has changed all the same.
        let _ = group.reply.send(written(&answer));
    }

    /// The groups of this workspace may have waited for its record.
    pub(crate) fn send_synced(&mut self, workspace: &str) {
        let ready: Vec<u64> = self
            .answers
            .groups
            .iter()
            .filter(|(_, group)| &*group.workspace == workspace)
            .map(|(number, _)| *number)
            .collect();
        for number in ready {
            self.send_complete(number);
        }
    }

    /// Whoever waited long enough is told so; what he asked for goes on.
    pub(crate) fn answer_overdue(&mut self, now: Millis) {
        let overdue: Vec<u64> = self
            .answers
            .groups
            .iter()
            .filter(|(_, group)| group.overdue_at.is_some_and(|at| at <= now))
            .map(|(number, _)| *number)
            .collect();
        for number in overdue {
            let Some(group) = self.answers.groups.get_mut(&number) else { continue };
            group.overdue_at = None;
            // A record that will not become safe in time is no reason to stay silent.
            group.needs_sync = None;
            let missing: Vec<usize> = (0..group.results.len())
                .filter(|&index| group.results.get(index).is_some_and(|(_, result)| result.is_none()))
                .collect();
            self.answers.requests.retain(|_, (group, _)| *group != number);
            for index in missing {
                self.settle(number, index, ServiceOutcome::Timeout, Vec::new());
            }
            self.send_complete(number);
        }
    }
}

/// An answer as it will stand in its line.
pub(crate) fn written<T: serde::Serialize>(answer: &T) -> Result<wire::Raw, wire::ErrorObject> {
    wire::Raw::of(answer).map_err(|error| wire::ErrorObject::new(wire::code::INTERNAL, error.to_string()))
}
