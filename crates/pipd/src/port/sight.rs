//! What the loop makes of a look at a port, and when it looks again: while somebody holds a port that is wanted, while
//! a server started by hand does the work, and, for what does not run, when somebody reads the status.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lifecycle::{Block, Event, Phase};
use os::process::ProcessIdentity;
use tokio::sync::oneshot;
use wire::Text;

use super::seeker::{RunOfOurs, Seeker, Standing};
use crate::daemon::{Daemon, Shared};
use crate::environment::Filling;
use crate::input::{Input, Inputs, Key};
use crate::service::{Obstacle, Service};
use crate::strays::{self, Stray};

/// Least time between two looks on behalf of those who read the status.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);
/// How often it is looked for those who watch the status.
const WATCHED_EVERY: Duration = Duration::from_secs(2);
/// How long a reader waits for a look; what comes later is there for the next one.
const PATIENCE: Duration = Duration::from_millis(150);

/// What a look found.
#[derive(Debug)]
pub(crate) enum Looked {
    /// Nobody.
    Free,
    /// Somebody.
    Held(Box<Obstacle>),
}

/// How a port is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Somebody is in the way.
    Relief,
    /// A server started by hand does the work.
    End,
    /// It has ended and may come back.
    Return,
}

impl Look {
    /// How often it is looked although no process that is known has ended: for a socket that is closed by a process
    /// that lives on, and for those who come.
    fn pace(self, all_watched: bool) -> Duration {
        match (self, all_watched) {
            (Self::End, true) => Duration::from_secs(2),
            (Self::Relief, true) => Duration::from_secs(1),
            (Self::Relief | Self::End | Self::Return, _) => Duration::from_millis(250),
        }
    }
}

/// Looks at a port as long as somebody wants to know, and tells of every change since `obstacle` was seen.
pub(crate) async fn watch_port(
    seeker: Seeker,
    look: Look,
    obstacle: Option<Obstacle>,
    inputs: Inputs,
    key: Key,
) {
    let (mut before, mut holders) =
        obstacle.map(|obstacle| (obstacle.standing, obstacle.watch)).unwrap_or_default();
    loop {
        let mut ends: FuturesUnordered<_> = holders.iter().filter_map(end_of).collect();
        let all_watched = !holders.is_empty() && ends.len() == holders.len();
        tokio::select! {
            Some(()) = ends.next() => {}
            () = tokio::time::sleep(look.pace(all_watched)) => {}
        }
        drop(ends);
        let Ok(now) = seeker.standing() else { continue };
        if now.same_as(&before) {
            // What has ended need not be watched; what it held somebody else holds, too.
            holders.retain(|holder| holder.liveness().is_ok_and(|liveness| liveness.is_alive()));
            continue;
        }
        let looked = if now.is_free() {
            holders.clear();
            Looked::Free
        } else {
            let (seeker, standing) = (seeker.clone(), now.clone());
            let described = crate::tasks::blocking(move || seeker.describe(standing)).await;
            let Ok(obstacle) = described else { continue };
            holders.clone_from(&obstacle.watch);
            Looked::Held(Box::new(obstacle))
        };
        before = now;
        let _ = inputs.send(Input::Looked { key: key.clone(), looked, heard: None });
    }
}

/// The end of a process; `None` when it cannot be watched.
fn end_of(process: &ProcessIdentity) -> Option<impl Future<Output = ()> + use<>> {
    let watch = crate::members::watch(process).ok()??;
    Some(async move { drop(watch.readable().await) })
}

impl Daemon {
    /// What is needed to look at the port of a service.
    pub(crate) fn seeker(&self, key: &Key) -> Option<Seeker> {
        let workspace = self.workspaces.get(&key.workspace)?;
        let service = self.service(key)?;
        let port = service.port?;
        let filling = Filling { port: Some(port), root: &workspace.root };
        let runs = self.workspaces.values().flat_map(|workspace| &workspace.services);
        let runs = runs.filter_map(|(_, service)| {
            let live = service.live.as_ref()?;
            Some(RunOfOurs { pid: live.main.as_ref()?.pid, marker: live.marker.clone() })
        });
        Some(Seeker {
            port,
            kind: service.spec.kind,
            root: workspace.root.as_path().to_owned(),
            cwd: service.spec.cwd.clone(),
            argv: service.spec.argv.iter().map(|word| filling.fill(word)).collect(),
            url_path: service.spec.url_path.clone(),
            own: format!("{}.{}.", key.workspace, key.service),
            runs: runs.collect(),
        })
    }

    /// Somebody looked at the port of a service. What runs is not concerned: its listener is its own.
    pub(crate) fn on_looked(&mut self, key: &Key, looked: Looked) {
        let Some(service) = self.service_mut(key) else { return };
        let phase = *service.core.phase();
        match looked {
            Looked::Free => {
                service.port_left = None;
                match phase {
                    Phase::Blocked { why: Block::Port, .. } => self.step(key, Event::Unblocked),
                    Phase::External | Phase::Quiet { .. } => {
                        service.obstacle = None;
                        self.step(key, Event::External { present: false });
                    }
                    _ => self.touch(),
                }
            }
            Looked::Held(mut obstacle) => {
                self.name_holders(key, &mut obstacle);
                self.on_held(key, phase, *obstacle);
            }
        }
    }

    fn on_held(&mut self, key: &Key, phase: Phase, obstacle: Obstacle) {
        let Some(service) = self.service_mut(key) else { return };
        match phase {
            // What is on its way meets it by itself, and what runs has its own listener.
            Phase::Spawning { .. }
            | Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Unhealthy { .. }
            | Phase::Stopping { .. } => return,
            Phase::Down
            | Phase::Blocked { .. }
            | Phase::Backoff { .. }
            | Phase::Quiet { .. }
            | Phase::Finished
            | Phase::GaveUp
            | Phase::External => {}
        }
        let by_hand = obstacle.external.is_some();
        // Known before the step: what watches over the new phase begins with it.
        service.port_left = None;
        let before = service.obstacle.replace(obstacle);
        if by_hand {
            self.step(key, Event::External { present: true });
        } else if phase == Phase::External {
            self.step(key, Event::External { present: false });
        }
        let Some(service) = self.service_mut(key) else { return };
        match service.core.phase() {
            Phase::External | Phase::Quiet { .. } | Phase::Blocked { why: Block::Port, .. } => {}
            // Blocked by something else; the port is not what matters.
            Phase::Blocked { .. } => service.obstacle = before,
            _ => service.port_left = service.obstacle.take(),
        }
        self.touch();
    }

    /// What does not run and is looked at only when somebody asks; and every JupyterLab, for another one beside it.
    fn looks_for(&mut self, root: Option<&Text>) -> Looks {
        let now = Instant::now();
        if self.looked_at.is_some_and(|last| now.duration_since(last) < LOOK_AT_MOST_EVERY) {
            return Looks::default();
        }
        let mut looks = Looks::default();
        for key in self.keys() {
            let of_interest = self
                .workspaces
                .get(&key.workspace)
                .is_some_and(|workspace| root.is_none_or(|root| *root == workspace.root));
            let Some(service) = self.service(&key).filter(|_| of_interest) else { continue };
            if service.spec.kind == wire::Kind::Jupyter
                && let Some(search) = self.stray_search(&key)
            {
                looks.jupyters.push(search);
            }
            if is_idle(service)
                && let Some(seeker) = self.seeker(&key)
            {
                let seen = service.port_left.as_ref().map(|seen| seen.standing.clone());
                looks.ports.push((key, seeker, seen.unwrap_or_default()));
            }
        }
        if !looks.is_empty() {
            self.looked_at = Some(now);
        }
        looks
    }
}

/// Whether nothing of ours is on its port or on its way there.
fn is_idle(service: &Service) -> bool {
    matches!(service.core.phase(), Phase::Down | Phase::Finished | Phase::GaveUp)
}

/// What a reader of the status has looked at.
#[derive(Default)]
struct Looks {
    ports: Vec<(Key, Seeker, Standing)>,
    jupyters: Vec<strays::Search>,
}

/// What came of it, as far as it is news.
#[derive(Default)]
struct News {
    ports: Vec<(Key, Looked)>,
    strays: Vec<(Key, Vec<Stray>)>,
}

impl Looks {
    fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.jupyters.is_empty()
    }

    /// Blocks; one question to the system for all ports, and more only where something has changed.
    fn look(self) -> News {
        let mut news = News::default();
        let strays = self.jupyters.into_iter().filter_map(|search| search.look());
        news.strays.extend(strays);
        if self.ports.is_empty() {
            return news;
        }
        let Ok(listeners) = os::ports::all_listeners() else { return news };
        for (key, seeker, before) in self.ports {
            let taken = listeners.iter().any(|listener| listener.addr.port() == seeker.port);
            if !taken && before.is_free() {
                continue;
            }
            let Ok(now) = seeker.standing() else { continue };
            if now.same_as(&before) {
                continue;
            }
            let looked =
                if now.is_free() { Looked::Free } else { Looked::Held(Box::new(seeker.describe(now))) };
            news.ports.push((key, looked));
        }
        news
    }
}

/// Looks on behalf of somebody who reads the status, so that it tells of what has come since: a server started by hand
/// in the place of one that does not run, another JupyterLab of the same folder.
pub(crate) async fn refresh(daemon: &Shared, root: Option<&Text>) {
    let looks = daemon.borrow_mut().looks_for(root);
    if looks.is_empty() {
        return;
    }
    let inputs = daemon.borrow().inputs.clone();
    let look = async move {
        let Ok(news) = crate::tasks::blocking(move || looks.look()).await else { return };
        let mut heard = Vec::new();
        for (key, looked) in news.ports {
            let (sender, receiver) = oneshot::channel();
            let _ = inputs.send(Input::Looked { key, looked, heard: Some(sender) });
            heard.push(receiver);
        }
        for (key, strays) in news.strays {
            let (sender, receiver) = oneshot::channel();
            let _ = inputs.send(Input::Strays { key, strays, heard: sender });
            heard.push(receiver);
        }
        for receiver in heard {
            let _ = receiver.await;
        }
    };
    // What takes longer comes in by itself.
    let task = crate::tasks::spawn(look);
    let _ = tokio::time::timeout(PATIENCE, task).await;
}

/// The same again and again, for those who watch.
pub(crate) async fn keep_fresh(daemon: Shared, root: Option<Text>) {
    loop {
        tokio::time::sleep(WATCHED_EVERY).await;
        crate::places::settle(&daemon, root.as_ref()).await;
        refresh(&daemon, root.as_ref()).await;
    }
}
