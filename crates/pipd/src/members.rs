//! The processes of a run: watched for their ends, and written down, so that a daemon that comes later knows which of
//! them has ended while none lived.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use os::process::ProcessIdentity;
use run::layout::RunDir;
use run::record::Answered;
use tokio::io::unix::AsyncFd;

use crate::probe::Target;
use crate::workers::holders;

/// Most processes of a run that are watched, each with a descriptor. The oldest have mostly the lowest numbers, and
/// what is not watched the slow periodic look still covers.
const MOST_WATCHED: usize = 128;

/// All of them, by number.
pub(crate) async fn of(target: &Target) -> BTreeSet<i32> {
    let query = target.query.clone();
    crate::tasks::blocking(move || crate::tree::pids(&query).into_iter().collect()).await.unwrap_or_default()
}

/// Waits until one of them has ended.
pub(crate) async fn wait_for_a_death(members: &BTreeSet<i32>) {
    let mut deaths = FuturesUnordered::new();
    for &pid in members.iter().take(MOST_WATCHED) {
        let Ok(Some(identity)) = ProcessIdentity::of(pid) else { return };
        match watch(&identity) {
            Ok(Some(watch)) => deaths.push(async move { watch.readable().await.map(|_| ()) }),
            Ok(None) => return,
            // Not watched; the slow periodic look still covers it.
            Err(_) => {}
        }
    }
    if deaths.next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// The end of a process as something to wait for; `None` when it is gone already.
pub(crate) fn watch(process: &ProcessIdentity) -> std::io::Result<Option<AsyncFd<OwnedFd>>> {
    use std::os::fd::AsFd;
    let Some(watch) = os::wait::ExitWatch::new(process)? else { return Ok(None) };
    let descriptor = watch.as_fd().try_clone_to_owned()?;
    #[expect(
        deprecated,
        reason = "its successor is unsafe; an owned descriptor keeps the promise it asks for"
    )]
    AsyncFd::new(descriptor).map(Some)
}

/// Writes down who of them can answer, now that it does, for a daemon that comes later. Only whoever has the listener
/// open: helpers come and go while nobody looks. A JupyterLab is never proven dead.
pub(crate) fn note(dir: &RunDir, target: &Target, answered_at: SystemTime) {
    if target.is_jupyter {
        return;
    }
    let (dir, target) = (dir.clone(), target.clone());
    let since = answered_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let at_ms = i64::try_from(since.as_millis()).unwrap_or_default();
    // Not waited for: the next death may be told before a slow disk has it.
    drop(crate::tasks::blocking(move || {
        let pids = holders(&target).unwrap_or_default().into_iter().collect();
        Answered { at_ms, pids }.note(&dir);
    }));
}

/// What a daemon before has written down: when it last answered, and who was there then. Those of whom nothing was
/// written count as if they had been.
pub(crate) async fn answered(dir: &RunDir, target: &Target) -> Option<(SystemTime, BTreeSet<i32>)> {
    let (dir, target_) = (dir.clone(), target.clone());
    let look = move || Some((Answered::read(&dir)?, holders(&target_)?));
    let (found, holders) = crate::tasks::blocking(look).await.ok()??;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(found.at_ms).ok()?);
    let others = of(target).await.into_iter().filter(|pid| !holders.contains(pid));
    Some((at, others.chain(found.pids).collect()))
}
