//! What is gathered only when somebody asks: processes and what they use, listening addresses, kernels.
//!
//! Nothing here happens on the loop or without a question, and a service that is slow to tell delays the answer about
//! itself only. Several who ask at the same time share one look.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifecycle::{Phase, RunId};
use tokio::sync::{Mutex, mpsc};
use wire::{
    DetailsAnswer, DetailsParams, JupyterView, Kind, ListeningView, MemoryKind, MemoryView, ServiceDetails,
    Text, TreeView,
};

use crate::clock::wall_ms;
use crate::daemon::{Daemon, Shared};
use crate::input::{Input, Key};
use crate::jupyter::{self, Lab, Processes};

/// What was gathered is good for so long; whoever asks more often gets the same again.
const FRESH: Duration = Duration::from_millis(900);
/// A share of processor time over less than this says nothing.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);
/// How often JupyterLabs are asked while somebody watches.
const WATCH_PERIOD: Duration = Duration::from_secs(5);

/// What is remembered between two questions.
#[derive(Default)]
pub(crate) struct Looks {
    looks: HashMap<Key, Rc<Mutex<Look>>>,
    /// Clients that watch, by what leads to them; gone when they are.
    watchers: Vec<mpsc::WeakSender<Vec<u8>>>,
    watching: bool,
}

/// The last look at one service.
#[derive(Default)]
struct Look {
    last: Option<(Instant, ServiceDetails)>,
}

/// One service to be looked at.
struct Subject {
    root: Text,
    run: RunId,
    scope: run::tree::Scope,
    /// To be asked for its kernels.
    lab: Option<Lab>,
}

/// Answers `service.details`.
pub(crate) async fn answer(daemon: &Shared, params: &DetailsParams) -> DetailsAnswer {
    let keys = daemon.borrow().keys_for(params);
    let services = futures_util::future::join_all(keys.iter().map(|key| look(daemon, key))).await;
    let memory = os::memory::machine().ok().map(|machine| MemoryView {
        total_bytes: machine.total,
        available_bytes: machine.available,
        stalled_percent: machine.stalled,
    });
    DetailsAnswer { at_ms: wall_ms(), memory, services: services.into_iter().flatten().collect() }
}

/// Has the JupyterLabs asked from time to time, until this client is gone.
pub(crate) fn watch(daemon: &Shared, client: mpsc::WeakSender<Vec<u8>>) {
    {
        let looks = &mut daemon.borrow_mut().looks;
        looks.watchers.push(client);
        if std::mem::replace(&mut looks.watching, true) {
            return;
        }
    }
    let daemon = Rc::clone(daemon);
    crate::tasks::spawn(async move {
        loop {
            let keys = {
                let mut daemon = daemon.borrow_mut();
                daemon
                    .looks
                    .watchers
                    .retain(|client| client.upgrade().is_some_and(|client| !client.is_closed()));
                if daemon.looks.watchers.is_empty() {
                    daemon.looks.watching = false;
                    return;
                }
                daemon.labs()
            };
            futures_util::future::join_all(keys.iter().map(|key| look(&daemon, key))).await;
            daemon.borrow_mut().look_after_memory();
            tokio::time::sleep(WATCH_PERIOD).await;
        }
    });
}

/// Looks at one service, or takes what was seen a moment ago. `None` when it has no process.
pub(crate) async fn look(daemon: &Shared, key: &Key) -> Option<ServiceDetails> {
    let look = Rc::clone(daemon.borrow_mut().looks.looks.entry(key.clone()).or_default());
    // Whoever comes second waits here, and finds what the first one found.
    let mut look = look.lock().await;
    let subject = daemon.borrow().subject(key)?;
    let before = look.last.as_ref().filter(|(_, seen)| seen.run == Some(subject.run.0));
    if let Some((at, seen)) = before
        && at.elapsed() < FRESH
    {
        return Some(seen.clone());
    }
    let mut seen = gather(key, &subject, before).await;
    {
        let mut daemon = daemon.borrow_mut();
        daemon.watch_kernels(key);
        let killed =
            daemon.service(key).and_then(|service| service.live.as_ref()).map(|live| &live.deaths.killed);
        if let (Some(view), Some(killed)) = (&mut seen.jupyter, killed) {
            view.killed.clone_from(killed);
        }
    }
    if let Some(view) = &seen.jupyter {
        let input = Input::Heard { key: key.clone(), run: subject.run, view: Box::new(view.clone()) };
        let _ = daemon.borrow().inputs.send(input);
    }
    look.last = Some((Instant::now(), seen.clone()));
    Some(seen)
}

async fn gather(key: &Key, subject: &Subject, before: Option<&(Instant, ServiceDetails)>) -> ServiceDetails {
    let scope = subject.scope.clone();
    let processes = crate::tasks::blocking(move || {
        let found = jupyter::processes::look(&scope);
        let at_ms = wall_ms();
        let listening = listening(&found);
        (found, listening, at_ms)
    });
    let heard = async {
        match &subject.lab {
            Some(lab) => Some(jupyter::ask(lab).await),
            None => None,
        }
    };
    let (heard, processes) = tokio::join!(heard, processes);
    let (found, addresses, at_ms) = processes.unwrap_or_default();
    ServiceDetails {
        root: Some(subject.root.clone()),
        name: key.service.to_string(),
        run: Some(subject.run.0),
        tree: Some(tree(&found, at_ms, before)),
        listening: Some(ListeningView { at_ms, addresses }),
        jupyter: heard.map(|heard| jupyter::view(heard, &found, wall_ms())),
    }
}

fn tree(found: &Processes, at_ms: i64, before: Option<&(Instant, ServiceDetails)>) -> TreeView {
    let before = before
        .and_then(|(at, seen)| Some((at.elapsed(), seen.tree.as_ref()?.cpu_ms)))
        .filter(|(over, _)| *over >= SHORTEST_INTERVAL);
    let over_ms = before.map(|(over, _)| u64::try_from(over.as_millis()).unwrap_or(u64::MAX));
    TreeView {
        at_ms,
        processes: u32::try_from(found.all.len()).unwrap_or(u32::MAX),
        memory_bytes: found.usage.memory,
        memory_kind: if found.usage.proportional { MemoryKind::Pss } else { MemoryKind::Rss },
        cpu_ms: found.usage.cpu_ms,
        cpu_percent: before.zip(over_ms).map(|((_, used), over)| {
            // What ended meanwhile may have taken its time with it.
            let used = found.usage.cpu_ms.saturating_sub(used);
            u32::try_from(used.saturating_mul(100) / over.max(1)).unwrap_or(u32::MAX)
        }),
        cpu_over_ms: over_ms,
    }
}

/// Addresses of the sockets on which these processes listen. Each kernel has half a dozen for its own use: left out.
fn listening(found: &Processes) -> Vec<String> {
    let pids: Vec<i32> = found
        .all
        .iter()
        .map(|process| process.pid)
        .filter(|pid| !found.below_kernels.contains(pid))
        .collect();
    let listeners = os::ports::all_listeners().unwrap_or_default();
    let held = os::ports::holders(&listeners, Some(&pids)).unwrap_or_default();
    let mut addresses: Vec<_> =
        held.iter().filter_map(|(_, index)| listeners.get(*index)).map(|listener| listener.addr).collect();
    addresses.sort_unstable_by_key(|address| (address.port(), address.ip()));
    addresses.dedup();
    addresses.iter().map(ToString::to_string).collect()
}

impl Daemon {
    fn keys_for(&self, params: &DetailsParams) -> Vec<Key> {
        let id = params.root.as_ref().map(|root| self.id_at(root));
        let mut workspaces: Vec<_> =
            self.workspaces.values().filter(|one| id.as_ref().is_none_or(|id| *id == one.id)).collect();
        workspaces.sort_by(|one, other| one.root.cmp(&other.root));
        let keys = workspaces.into_iter().flat_map(|workspace| {
            workspace
                .services
                .iter()
                .map(|(name, _)| Key { workspace: Arc::clone(&workspace.id), service: Arc::clone(name) })
        });
        keys.filter(|key| {
            params.services.is_empty() || params.services.iter().any(|name| **name == *key.service)
        })
        .collect()
    }

    /// The JupyterLabs that could be asked.
    pub(crate) fn labs(&self) -> Vec<Key> {
        let services = self.workspaces.values().flat_map(|workspace| {
            workspace.services.iter().map(move |(name, service)| (&workspace.id, name, service))
        });
        services
            .filter(|(_, _, service)| service.spec.kind == Kind::Jupyter)
            .map(|(id, name, _)| Key { workspace: Arc::clone(id), service: Arc::clone(name) })
            .filter(|key| self.lab(key).is_some())
            .collect()
    }

    fn subject(&self, key: &Key) -> Option<Subject> {
        let service = self.service(key)?;
        Some(Subject {
            root: self.workspaces.get(&key.workspace)?.root.clone(),
            run: service.live.as_ref().filter(|live| live.main.is_some())?.run,
            scope: service.scope()?,
            lab: self.lab(key),
        })
    }

    /// How to ask a JupyterLab; `None` for everything else and before it was ready.
    pub(crate) fn lab(&self, key: &Key) -> Option<Lab> {
        let service = self.service(key).filter(|service| service.spec.kind == Kind::Jupyter)?;
        if !matches!(service.core.phase(), Phase::Ready { .. } | Phase::Unhealthy { was_ready: true, .. }) {
            return None;
        }
        let live = service.live.as_ref();
        Some(Lab {
            key: key.clone(),
            main: live.and_then(|live| live.main.as_ref()).map(|main| main.pid),
            port: live.and_then(|live| live.port).or(service.port)?,
            token: service.login_token(&self.workspaces.get(&key.workspace)?.token).to_owned(),
            scope: service.scope()?,
        })
    }

    /// A JupyterLab was asked.
    pub(crate) fn on_heard(&mut self, key: &Key, run: RunId, view: JupyterView) {
        let Some(live) = self.service_mut(key).and_then(|service| service.live.as_mut()) else { return };
        if live.run != run {
            return;
        }
        let view = JupyterView { killed: live.deaths.killed.clone(), ..view };
        let changed = live.jupyter.as_ref().is_none_or(|before| is_news(before, &view));
        live.jupyter = Some(view);
        if changed {
            self.touch();
        } else {
            self.refresh();
        }
    }
}

/// Whether those who watch are to be told: ages and sizes change all the time.
fn is_news(before: &JupyterView, now: &JupyterView) -> bool {
    let kernels = |view: &JupyterView| -> Vec<_> {
        view.kernels
            .iter()
            .map(|kernel| (kernel.id.clone(), kernel.state.clone(), kernel.notebook.clone(), kernel.pid))
            .collect()
    };
    before.silent != now.silent || before.terminals != now.terminals || kernels(before) != kernels(now)
}
