//! The processes that answer on behalf of a run: who they are, and whether one ended before it ever did.
//!
//! A reloader whose worker cannot import the source lives on and listens nowhere: a start would wait for its whole
//! deadline, for nothing.

use std::collections::BTreeSet;

use lifecycle::RunId;
use os::process::Liveness;

use crate::probe::{Target, Verdict};

/// Members of the run that have a listener on its port open; nothing where that cannot be found out.
pub(crate) fn holders(target: &Target) -> Option<BTreeSet<i32>> {
    let listeners = os::ports::listeners(target.port).ok()?;
    if listeners.is_empty() {
        return Some(BTreeSet::new());
    }
    let found = os::ports::holders(&listeners, Some(&crate::tree::pids(&target.query))).ok()?;
    Some(found.into_iter().map(|(pid, _)| pid).collect())
}

/// What a starting run has lost that nobody replaces.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    before: BTreeSet<i32>,
}

impl Lost {
    /// A look at a run that listens nowhere. Lost is a process that ended before the last look, for which no other came,
    /// while what the run printed last is how a program failed: a helper that has done its work prints nothing of the kind.
    pub(crate) async fn look(&mut self, target: &Target, run: RunId) -> Option<Verdict> {
        let query = target.query.clone();
        let ended = crate::tasks::blocking(move || ended(&crate::tree::pids(&query))).await.ok()?;
        let known = ended.intersection(&self.before).next().copied();
        self.before = ended;
        let (pid, log_dir, port) = (known?, target.log_dir.clone(), target.port);
        let words =
            crate::tasks::blocking(move || run::log::last_traceback(&log_dir, run.0)).await.ok()??;
        let why = format!(
            "nothing listens on port {port}: the process that was to (pid {pid}) has ended, and no other came in its \
             place; a reloader starts the next one when a source is saved"
        );
        Some(Verdict::Broken(why, words))
    }
}

/// Children of these that have ended and that nobody has reaped yet. A reloader does that when it starts the next one.
fn ended(members: &[i32]) -> BTreeSet<i32> {
    let children = members.iter().filter_map(|&pid| os::process::children(pid).ok().flatten()).flatten();
    let is_zombie = |pid: &i32| {
        os::process::info(*pid).is_ok_and(|info| info.is_some_and(|info| info.state == Liveness::Zombie))
    };
    children.filter(is_zombie).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_has_ended_and_was_not_reaped_is_seen() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        testkit::until("its end", testkit::SHORT, || {
            os::process::info(pid).unwrap().is_some_and(|info| info.state == Liveness::Zombie)
        });
        let seen = ended(&[me]).contains(&pid) || os::process::children(me).unwrap().is_none();
        child.wait().unwrap();
        assert!(seen);
        assert!(!ended(&[me]).contains(&pid));
    }
}
