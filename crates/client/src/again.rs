//! Verbs through the death of daemons: asked again of the next one until one answers.
//!
//! What is asked must be idempotent. `start` and `stop` are; `restart` is once it names the runs it found
//! ([`Client::last_runs`], [`StartParams::seen_runs`](wire::StartParams::seen_runs)).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::{CallError, Client};

/// How often a verb is sent; more daemons do not die by chance.
const ATTEMPTS: u32 = 5;

/// What the daemon that went away is given to be gone, more each time.
const ANOTHER: Duration = Duration::from_millis(50);

/// Calls `attempt`, which connects and asks, again as long as daemons go away without an answer. It is told whether
/// it is the first time; later it should have a daemon started, for nobody else may.
///
/// # Errors
/// Its own errors; [`CallError::Gone`] only when several daemons in a row went away.
pub fn until_answered<T, E: From<CallError>>(
    mut attempt: impl FnMut(bool) -> Result<Result<T, CallError>, E>,
) -> Result<T, E> {
    for number in 1.. {
        match attempt(number == 1)? {
            // One that is on its way out may still take connections for a moment.
            Err(CallError::Gone) if number < ATTEMPTS => std::thread::sleep(ANOTHER * number),
            result => return Ok(result?),
        }
    }
    Err(CallError::Gone.into())
}

impl Client {
    /// The last run of each of a workspace's services, 0 where there was none: for
    /// [`StartParams::seen_runs`](wire::StartParams::seen_runs).
    ///
    /// # Errors
    /// As [`Client::status`].
    pub fn last_runs(&mut self, root: &Path) -> Result<BTreeMap<String, u64>, CallError> {
        let workspaces = self.status(Some(root))?.workspaces;
        let services = workspaces.into_iter().flat_map(|workspace| workspace.services);
        Ok(services.map(|service| (service.name, service.run.unwrap_or(0))).collect())
    }
}
