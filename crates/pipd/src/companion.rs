//! What runs beside a service in its phase: a readiness probe, a watch over its members, a look-out for relief.
//! At most one at a time; it ends with the phase it belongs to.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use lifecycle::{Block, Phase, RunId};
use run::layout::RunDir;
use tokio::task::AbortHandle;

use crate::daemon::Daemon;
use crate::edited::Sources;
use crate::input::{Input, Inputs, Key};
use crate::members::{self, of as members, wait_for_a_death};
use crate::port::{Look, watch_port};
use crate::probe::{Finding, Target, Verdict};
use crate::workers::Lost;

/// How often the sources of a failing service are looked at.
const LOOK_OUT: Duration = Duration::from_millis(250);

/// How long a run is not on its port before it is looked for elsewhere, and then how often.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(2);

/// Least time between two questions for which deaths are the reason.
const ASK_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// How long an unhealthy run may take to answer before it is asked anew.
const LONG_PATIENCE: Duration = Duration::from_secs(30);

/// The companion of a service.
#[derive(Default)]
pub(crate) struct Companion {
    job: Option<Job>,
    task: Option<AbortHandle>,
}

/// What a companion does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    /// Asks until the run answers for the first time.
    Await(RunId),
    /// Watches the processes that made it ready.
    Guard(RunId),
    /// Asks an unhealthy run whether it is back.
    Revisit(RunId, bool),
    /// Looks who is on the port.
    Port(Look, RunId),
    /// Looks whether the sources changed.
    Sources,
}

impl Companion {
    /// Forgets what it was doing, so that `attend` begins anew.
    pub(crate) fn dismiss(&mut self) {
        self.job = None;
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.dismiss();
    }
}

impl Daemon {
    /// Gives a service the companion its phase asks for.
    pub(crate) fn attend(&mut self, key: &Key) {
        let Some(service) = self.service(key) else { return };
        let probed = service.probed();
        let wanted = match *service.core.phase() {
            Phase::Starting { run, .. } if probed && service.is_live(run) => Some(Job::Await(run)),
            Phase::Ready { run, .. } if probed && service.is_live(run) => Some(Job::Guard(run)),
            Phase::Unhealthy { run, was_ready, .. } if probed && service.is_live(run) => {
                Some(Job::Revisit(run, was_ready))
            }
            Phase::Blocked { why: Block::Port, run, .. } => Some(Job::Port(Look::Relief, run)),
            Phase::External => Some(Job::Port(Look::End, service.core.last_run())),
            Phase::Quiet { .. } => Some(Job::Port(Look::Return, service.core.last_run())),
            Phase::Blocked { why: Block::Exec, .. } | Phase::Backoff { .. } | Phase::GaveUp => {
                Some(Job::Sources)
            }
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Stopping { .. }
            | Phase::Finished => None,
        };
        if service.companion.job == wanted {
            return;
        }
        let task = wanted.and_then(|job| self.begin_job(key, job));
        if matches!(wanted, Some(Job::Guard(_))) {
            self.order_liveness();
        }
        if let Some(service) = self.service_mut(key) {
            service.companion.dismiss();
            service.companion = Companion { job: wanted, task };
        }
    }

    /// The same when whom it looks after is found in another way now.
    pub(crate) fn attend_anew(&mut self, key: &Key) {
        if let Some(service) = self.service_mut(key) {
            service.companion.dismiss();
        }
        self.attend(key);
    }

    fn begin_job(&self, key: &Key, job: Job) -> Option<AbortHandle> {
        let (inputs, key_) = (self.inputs.clone(), key.clone());
        let service = self.service(key)?;
        let task = match job {
            Job::Await(run) => {
                let target = self.target(key)?;
                crate::tasks::spawn(await_ready(target, inputs, key_, run))
            }
            Job::Guard(run) => {
                let (target, sources) = (self.target(key)?, made_from(service));
                let found = matches!(service.core.phase(), Phase::Ready { life, .. } if life.before > 0);
                let dir = service.live.as_ref()?.dir.clone();
                crate::tasks::spawn(guard(target, sources, found, inputs, key_, run, dir))
            }
            Job::Revisit(run, was_ready) => {
                let (target, sources) = (self.target(key)?, made_from(service));
                crate::tasks::spawn(revisit(target, sources, was_ready, inputs, key_, run))
            }
            Job::Port(look, _) => {
                let (seeker, seen) = (self.seeker(key)?, service.obstacle.clone());
                crate::tasks::spawn(watch_port(seeker, look, seen, inputs, key_))
            }
            Job::Sources => {
                let (sources, since) = (sources(service), service.spawned_at);
                crate::tasks::spawn(await_change(sources, since, inputs, key_))
            }
        };
        Some(task.abort_handle())
    }
}

fn made_from(service: &crate::service::Service) -> Sources {
    let started_ms = service.live.as_ref().and_then(|live| u64::try_from(live.started_ms?).ok());
    Sources {
        files: sources(service),
        folder: Some(service.spec.cwd.as_path().to_owned()),
        begun_at: started_ms.map(|at| SystemTime::UNIX_EPOCH + Duration::from_millis(at)),
        good_at: None,
    }
}

fn sources(service: &crate::service::Service) -> Vec<PathBuf> {
    let files = service.spec.watch.iter().chain(&service.spec.env_files);
    files.map(|path| path.as_path().to_owned()).collect()
}

/// Asks often at first: a start is what a person waits for.
async fn await_ready(target: Target, inputs: Inputs, key: Key, run: RunId) {
    let mut pause = Duration::from_millis(5);
    let mut told = None;
    let mut looked = Instant::now();
    let mut lost = Lost::default();
    loop {
        match target.ask().await {
            Finding::Answered => {
                let _ = inputs.send(Input::Probed { key, run, verdict: Verdict::Answered });
                return;
            }
            Finding::Foreign(who) if told.as_ref() != Some(&who) => {
                told = Some(who.clone());
                let _ = inputs.send(Input::Probed { key: key.clone(), run, verdict: Verdict::Foreign(who) });
            }
            // Nobody on its port: perhaps it is on another one.
            Finding::Refused if looked.elapsed() >= LOOK_ELSEWHERE => {
                looked = Instant::now();
                let members = members(&target).await;
                tell_facts(&target, &members, &inputs, &key, run).await;
                if let Some(verdict) = lost.look(&target, run).await {
                    let _ = inputs.send(Input::Probed { key, run, verdict });
                    return;
                }
            }
            Finding::Foreign(_) | Finding::Refused | Finding::Silent | Finding::Unasked => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 11 / 10).min(Duration::from_millis(100));
    }
}

/// Notes the members of a ready run and waits. The death of one is a reason to ask: at once, and a second later. So is
/// it that nobody was there to see one die: a run that this daemon `found` is asked first.
async fn guard(
    target: Target,
    sources: Sources,
    found: bool,
    inputs: Inputs,
    key: Key,
    run: RunId,
    dir: RunDir,
) {
    let mut not_before = tokio::time::Instant::now();
    // What was edited before it last answered is not what broke it.
    let mut answered_at = SystemTime::now();
    let mut look = found;
    let mut before = if found { members::answered(&dir, &target).await } else { None };
    loop {
        let mut known = members(&target).await;
        tell_facts(&target, &known, &inputs, &key, run).await;
        let mut died_at = SystemTime::now();
        if std::mem::take(&mut look) {
            // Somebody of those may be gone whom no daemon saw die, and at any moment since.
            if let Some((at, members)) = before.take() {
                (answered_at, died_at, known) = (at, at, members);
            }
        } else {
            members::note(&dir, &target, answered_at);
            wait_for_a_death(&known).await;
            died_at = SystemTime::now();
        }
        let edits = Sources { good_at: Some(answered_at), ..sources.clone() };
        // A server whose helpers come and go is not asked about each of them.
        tokio::time::sleep_until(not_before).await;
        not_before = tokio::time::Instant::now() + ASK_AT_MOST_EVERY;
        let mut verdict = examine(&target, &known, &edits, run, died_at).await;
        if verdict != Verdict::Answered {
            tokio::time::sleep(Duration::from_secs(1)).await;
            verdict = examine(&target, &known, &edits, run, died_at).await;
        }
        if verdict != Verdict::Answered {
            let _ = inputs.send(Input::Probed { key, run, verdict });
            return;
        }
        answered_at = SystemTime::now();
    }
}

/// Has one question open to an unhealthy run: whenever it comes back, it answers that one. Many short ones would fill
/// its backlog, and be answered by the user's code one after the other. A death meanwhile is looked into at once. One
/// that never was ready is not proven dead by its silence.
async fn revisit(target: Target, sources: Sources, was_ready: bool, inputs: Inputs, key: Key, run: RunId) {
    let patient = Target { patience: LONG_PATIENCE, ..target.clone() };
    let mut known = members(&target).await;
    let mut pause = Duration::from_millis(250);
    loop {
        let verdict = tokio::select! {
            finding = patient.ask() => match finding {
                Finding::Answered => Verdict::Answered,
                Finding::Refused | Finding::Foreign(_) => {
                    examine(&target, &known, &sources, run, SystemTime::now()).await
                }
                Finding::Silent | Finding::Unasked => Verdict::Silent(String::new()),
            },
            () = wait_for_a_death(&known) => {
                let died_at = SystemTime::now();
                // Whoever replaces it is given the time to come.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let verdict = examine(&target, &known, &sources, run, died_at).await;
                known = members(&target).await;
                verdict
            }
        };
        let tells = match &verdict {
            Verdict::Answered | Verdict::Broken(..) => true,
            Verdict::Dead(_) => was_ready,
            Verdict::Silent(_) | Verdict::Foreign(_) => false,
        };
        if tells {
            let _ = inputs.send(Input::Probed { key: key.clone(), run, verdict });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
}

/// What it really does, now that it does something.
pub(crate) async fn tell_facts(
    target: &Target,
    members: &BTreeSet<i32>,
    inputs: &Inputs,
    key: &Key,
    run: RunId,
) {
    let (target, members) = (target.clone(), members.iter().copied().collect::<Vec<_>>());
    let Ok(facts) = crate::tasks::blocking(move || crate::truth::of(&target, &members)).await else {
        return;
    };
    let _ = inputs.send(Input::Facts { key: key.clone(), run, facts });
}

/// One look at a run of which something died. Dead is only what is proven: nobody listens, or a member is gone,
/// none came in its place, and nothing answers. A worker that ended about when its sources were edited is no proof: its
/// reloader has the next one as soon as they are mended.
pub(crate) async fn examine(
    target: &Target,
    known: &BTreeSet<i32>,
    sources: &Sources,
    run: RunId,
    died_at: SystemTime,
) -> Verdict {
    let port = target.port;
    let mut finding = target.ask().await;
    while finding == Finding::Unasked {
        // Of a machine that is out of descriptors or memory nothing follows for the service.
        tokio::time::sleep(Duration::from_secs(1)).await;
        finding = target.ask().await;
    }
    match finding {
        Finding::Unasked => Verdict::Silent(format!("port {port} could not be asked")),
        Finding::Answered => Verdict::Answered,
        Finding::Refused => Verdict::Dead(format!("nothing listens on port {port} any more")),
        Finding::Foreign(who) => Verdict::Dead(format!("port {port} is answered by {who} now")),
        Finding::Silent => {
            let now = members(target).await;
            if now.is_empty() {
                return Verdict::Silent(format!("port {port} does not answer"));
            }
            let (gone, came) =
                (known.difference(&now).next().is_some(), now.difference(known).next().is_some());
            // A JupyterLab's members are kernels, which come and go; what else is at work in it nobody knows.
            if !gone || came || target.is_jupyter {
                return Verdict::Silent(format!(
                    "port {port} does not answer; {}",
                    if gone { "its processes come and go" } else { "all processes are alive" }
                ));
            }
            let (sources, log_dir) = (sources.clone(), target.log_dir.clone());
            let broken = crate::tasks::blocking(move || {
                let edited = sources.were_edited_about(died_at);
                edited.then(|| run::log::last_words(&log_dir, run.0))
            });
            match broken.await {
                Ok(Some(words)) => Verdict::Broken(
                    format!(
                        "port {port} does not answer since its sources were edited; it comes back when they are mended"
                    ),
                    words,
                ),
                Ok(None) | Err(_) => {
                    Verdict::Dead(format!("port {port} does not answer and one of its processes is gone"))
                }
            }
        }
    }
}

/// What is newer than now tells of a clock that was set back, not of an edit.
fn changed_since(files: &[PathBuf], since: SystemTime) -> bool {
    let now = SystemTime::now();
    files.iter().any(|file| {
        std::fs::metadata(file)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified > since && modified <= now)
    })
}

/// Waits until a source is newer than the last attempt, or appears, vanishes or changes.
async fn await_change(sources: Vec<PathBuf>, since: SystemTime, inputs: Inputs, key: Key) {
    if sources.is_empty() {
        return;
    }
    let stamp = |sources: &[PathBuf]| -> Vec<_> {
        let stat = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        sources.iter().map(stat).collect()
    };
    let before = stamp(&sources);
    let mut changed = changed_since(&sources, since);
    while !changed {
        tokio::time::sleep(LOOK_OUT).await;
        changed = stamp(&sources) != before;
    }
    let _ = inputs.send(Input::SourceChanged { key });
}
