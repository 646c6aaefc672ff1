//! What the daemon says unasked.

use std::time::{Duration, Instant};

use wire::{Frame, Notification, Snapshot};

use crate::lines::Received;
use crate::{CallError, Client};

/// The snapshot of a `status.changed`; `None` for what a newer daemon may say.
pub(crate) fn snapshot_of(notification: Notification) -> Result<Option<Snapshot>, CallError> {
    if notification.method != "status.changed" {
        return Ok(None); // of a newer daemon
    }
    let snapshot = notification.params.read();
    snapshot.map(Some).map_err(|error| CallError::Garbage(format!("status.changed: {error}")))
}

/// The changes after a [`Client::subscribe`]. Ends with the connection.
#[derive(Debug)]
pub struct Changes<'a> {
    client: &'a mut Client,
}

impl<'a> Changes<'a> {
    pub(crate) fn of(client: &'a mut Client) -> Self {
        Self { client }
    }

    /// The next change, waited for at most so long; `None` when there was none.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<Snapshot>, CallError> {
        self.next_until(Instant::now().checked_add(limit))
    }

    fn next_until(&mut self, deadline: Option<Instant>) -> Result<Option<Snapshot>, CallError> {
        if let Some(snapshot) = self.client.kept.pop_front() {
            return Ok(Some(snapshot));
        }
        loop {
            match self.client.lines.receive(deadline)? {
                Received::Nothing => return Ok(None),
                Received::Line(line) => {
                    if let Frame::Notification(notification) = self.client.read(&line)?
                        && let Some(snapshot) = snapshot_of(notification)?
                    {
                        return Ok(Some(snapshot));
                    }
                }
            }
        }
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<Snapshot, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_until(None) {
            Ok(snapshot) => snapshot.map(Ok),
            Err(CallError::Gone) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
