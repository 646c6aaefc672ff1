//! `adopt`: a server that somebody started by hand becomes a run of ours, in place. It gets a run directory and a shim
//! that watches it, as a run does whose own shim has died; the process itself notices nothing.

use std::sync::Arc;

use lifecycle::{Block, Event, Phase, RunId};
use os::process::Liveness;
use tracing::info;
use wire::{Goal, StartParams};

use crate::daemon::Daemon;
use crate::input::{Input, Key, Reply};
use crate::port::{External, Looked};
use crate::service::Obstacle;
use crate::spawn::{self, SpawnFailure};

impl Daemon {
    /// Somebody asks for it: who is on the ports is looked up first.
    pub(crate) fn adopt_by_request(&mut self, params: StartParams, reply: Reply) {
        let keys = match self.take_workspace(&params) {
            Ok((keys, _)) => keys,
            Err(error) => return drop(reply.send(Err(error))),
        };
        for key in &keys {
            self.assign_port(key);
        }
        let resting = |key: &&Key| self.service(key).is_some_and(|service| service.core.run().is_none());
        let seekers: Vec<_> =
            keys.iter().filter(resting).filter_map(|key| Some((key.clone(), self.seeker(key)?))).collect();
        let inputs = self.inputs.clone();
        crate::tasks::spawn(async move {
            for (key, seeker) in seekers {
                let Ok(Ok(found)) = crate::tasks::blocking(move || seeker.look()).await else {
                    continue;
                };
                let looked = found.map_or(Looked::Free, |obstacle| Looked::Held(Box::new(obstacle)));
                let _ = inputs.send(Input::Looked { key, looked, heard: None });
            }
            let _ = inputs.send(Input::Adopt { keys, params: Box::new(params), reply });
        });
    }

    /// What can be known is known.
    pub(crate) fn on_adopt(&mut self, keys: &[Key], params: &StartParams, reply: Reply) {
        for key in keys {
            if !self.service(key).is_some_and(|service| *service.core.phase() == Phase::External) {
                continue;
            }
            // What follows it, should it fail, is a run like every other.
            self.capture(std::slice::from_ref(key), &params.workspace.env);
            if let Some(service) = self.service_mut(key) {
                service.apply_next();
                service.goal = Goal::Up;
            }
        }
        self.begin(keys, reply, params.no_wait, params.timeout_ms, true, &[], |_, request| Event::Adopt {
            request,
        });
    }

    /// The core has nothing to adopt after all: what is recorded follows it.
    pub(crate) fn forget_adoption(&mut self, key: &Key) {
        let Some(service) = self.service_mut(key) else { return };
        let goal = match service.core.goal() {
            lifecycle::Goal::Up => Goal::Up,
            lifecycle::Goal::Down => Goal::Down,
        };
        if std::mem::replace(&mut service.goal, goal) != goal {
            let workspace = Arc::clone(&key.workspace);
            self.after_record(&workspace, Vec::new());
        }
    }

    /// The core wants what runs by hand for this run.
    pub(crate) fn take_in(&mut self, key: &Key, run: RunId) {
        let external = self.service(key).and_then(|service| service.adopting.clone());
        let plan = self.plan(key, run);
        let (inputs, key) = (self.inputs.clone(), key.clone());
        crate::tasks::blocking(move || {
            let result = match (plan, external) {
                (Ok(plan), Some(external)) => take_over(plan, &external).map(Box::new),
                (Err(failure), _) => Err(failure),
                (Ok(_), None) => Err(gone()),
            };
            let _ = inputs.send(Input::Spawned { key, run, result });
        });
    }
}

fn take_over(plan: spawn::Plan, external: &External) -> Result<spawn::Spawned, SpawnFailure> {
    if !matches!(external.main.liveness(), Ok(Liveness::Running | Liveness::Stopped)) {
        return Err(gone());
    }
    info!(key = %plan.key, pid = external.main.pid, "a server started by hand is taken in");
    spawn::make_adopted(plan, external)
}

fn gone() -> SpawnFailure {
    SpawnFailure {
        block: Block::Port,
        obstacle: Box::new(Obstacle {
            detail: "what ran by hand has just ended".into(),
            ..Obstacle::default()
        }),
    }
}
