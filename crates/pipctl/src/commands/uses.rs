//! What services use and pipd does not run: asked for those who look, and never by the daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use wire::Snapshot;

use crate::http::{Address, Asked};

/// What this machine is given: it refuses at once where nobody listens.
const HERE: Duration = Duration::from_millis(200);
/// What others are given, when a person asked for more.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// Whether an address answers, by the address.
pub(crate) type Uses = BTreeMap<String, Use>;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Use {
    /// Somebody answers; `null`: not asked.
    pub(crate) answers: Option<bool>,
    /// Why nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

/// Whether all that is used now was asked.
pub(super) fn cover(uses: &Uses, snapshot: &Snapshot) -> bool {
    let mut depends = snapshot.workspaces.iter().flat_map(|workspace| &workspace.depends);
    depends.all(|depend| uses.contains_key(&depend.url))
}

/// Asks all at once. Another machine only when `thorough`: that may take a second.
pub(super) fn of(snapshot: &Snapshot, thorough: bool) -> Uses {
    let mut asked = BTreeMap::new();
    for depend in snapshot.workspaces.iter().flat_map(|workspace| &workspace.depends) {
        asked.entry(depend.url.clone()).or_insert_with(|| {
            let address = Address::parse(&depend.url)?;
            let limit = if thorough { ELSEWHERE } else { HERE };
            (thorough || address.is_local()).then(|| std::thread::spawn(move || address.get(limit)))
        });
    }
    let answered = asked.into_iter().map(|(url, asking)| {
        let answer = match asking.and_then(|asking| asking.join().ok()) {
            None => Use { answers: None, detail: None },
            Some(Asked::Silent(why)) => Use { answers: Some(false), detail: Some(why) },
            Some(Asked::Answered { .. } | Asked::Accepts) => Use { answers: Some(true), detail: None },
        };
        (url, answer)
    });
    answered.collect()
}
