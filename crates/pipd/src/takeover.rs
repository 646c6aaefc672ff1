//! `start --takeover`: whoever holds a port that is wanted is ended first, if it is a run of pipd's or if a person has
//! named its process. Another workspace's service ends the way its own `stop` would end it. Everybody else is left alone.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use os::process::ProcessIdentity;
use tokio::sync::oneshot;
use tracing::{info, warn};
use wire::{ErrorObject, Request, ServiceOutcome, StartParams, StopParams, Text, VerbAnswer, code};

use crate::daemon::Daemon;
use crate::input::{Input, Inputs, Key, Reply};
use crate::port::{Looked, Ours, Seeker};
use crate::service::Obstacle;

/// How long a process has between TERM and KILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long its sockets may outlive it.
const SETTLE: Duration = Duration::from_secs(2);
/// How often it is looked whether it is gone.
const LOOK: Duration = Duration::from_millis(10);

/// What is to be done before the start.
#[derive(Default)]
struct Plan {
    /// Services of pipd's, by workspace.
    stops: Vec<StopParams>,
    processes: Vec<ProcessIdentity>,
}

impl Daemon {
    /// Who holds the ports is looked up first.
    pub(crate) fn take_ports(&mut self, params: StartParams, reply: Reply) {
        let keys = match self.take_workspace(&params) {
            Ok((keys, _)) => keys,
            Err(error) => return drop(reply.send(Err(error))),
        };
        for key in &keys {
            // What runs keeps its port.
            if let Some(service) = self.service_mut(key).filter(|service| service.core.run().is_none()) {
                service.choose_port(params.port);
            }
            self.assign_port(key);
        }
        let resting = |key: &&Key| self.service(key).is_some_and(|service| service.core.run().is_none());
        let seekers: Vec<(Key, Seeker)> =
            keys.iter().filter(resting).filter_map(|key| Some((key.clone(), self.seeker(key)?))).collect();
        let inputs = self.inputs.clone();
        crate::tasks::spawn(async move {
            let found = look(&seekers).await;
            let _ = inputs.send(Input::Takeover { params: Box::new(params), reply, seekers, found });
        });
    }

    pub(crate) fn on_takeover(
        &mut self,
        params: StartParams,
        reply: Reply,
        seekers: Vec<(Key, Seeker)>,
        found: Vec<(Key, Obstacle)>,
    ) {
        let mut plan = Plan::default();
        for (_, obstacle) in &found {
            self.plan_takeover(obstacle, &params, &mut plan);
        }
        let inputs = self.inputs.clone();
        crate::tasks::spawn(async move {
            if let Err(error) = carry_out(plan, &inputs).await {
                let _ = reply.send(Err(error));
                return;
            }
            settle(&seekers).await;
            for (key, obstacle) in seekers.iter().map(|(key, _)| (key, found.iter().find(|(k, _)| k == key)))
            {
                let still = look_at(&seekers, key).await;
                let looked = match (still, obstacle) {
                    (Some(obstacle), _) => Looked::Held(Box::new(obstacle)),
                    (None, Some(_)) => Looked::Free,
                    (None, None) => continue,
                };
                let _ = inputs.send(Input::Looked { key: key.clone(), looked, heard: None });
            }
            let params = StartParams { takeover: false, takeover_pids: Vec::new(), ..params };
            let _ = inputs.send(Input::Request { request: Box::new(Request::Start(params)), reply });
        });
    }

    fn plan_takeover(&self, obstacle: &Obstacle, params: &StartParams, plan: &mut Plan) {
        for holder in &obstacle.holders {
            let ours = holder.service.as_deref().and_then(|marker| self.owner_of(marker, holder));
            let by_name = holder.pid.is_some_and(|pid| params.takeover_pids.contains(&pid));
            match ours {
                Some(Ours::Service { name, root }) => {
                    let services = vec![name];
                    if !plan.stops.iter().any(|stop| stop.root == root && stop.services == services) {
                        plan.stops.push(stop(root, services, params.force));
                    }
                }
                // Nobody looks after it any more, and it is ours.
                Some(Ours::Orphan { .. }) => plan.processes.extend(identity(holder.pid)),
                None if by_name => plan.processes.extend(identity(holder.pid)),
                None => {}
            }
        }
    }
}

fn stop(root: Text, services: Vec<String>, force: bool) -> StopParams {
    StopParams {
        root,
        services,
        no_wait: false,
        timeout_ms: None,
        force,
        when_idle: false,
        all_processes: false,
    }
}

fn identity(pid: Option<i32>) -> Option<ProcessIdentity> {
    ProcessIdentity::of(pid?).ok().flatten()
}

async fn look(seekers: &[(Key, Seeker)]) -> Vec<(Key, Obstacle)> {
    let mut found = Vec::new();
    for (key, _) in seekers {
        found.extend(look_at(seekers, key).await.map(|obstacle| (key.clone(), obstacle)));
    }
    found
}

async fn look_at(seekers: &[(Key, Seeker)], key: &Key) -> Option<Obstacle> {
    let (_, seeker) = seekers.iter().find(|(known, _)| known == key)?.clone();
    crate::tasks::blocking(move || seeker.look().ok().flatten()).await.ok().flatten()
}

async fn carry_out(plan: Plan, inputs: &Inputs) -> Result<(), ErrorObject> {
    for stop in plan.stops {
        let (name, root) = (stop.services.join(" "), stop.root.to_string_lossy());
        info!(name, root, "stopped for a start that takes its port over");
        let (sender, receiver) = oneshot::channel();
        let _ = inputs.send(Input::Request { request: Box::new(Request::Stop(stop)), reply: sender });
        let answer =
            receiver.await.map_err(|_| ErrorObject::new(code::GOING_AWAY, "pipd is going away"))??;
        let answer: VerbAnswer =
            answer.read().map_err(|error| ErrorObject::new(code::INTERNAL, error.to_string()))?;
        if let Some(busy) = answer.services.iter().find(|result| result.outcome == ServiceOutcome::Busy) {
            return Err(ErrorObject::new(
                code::RUNNING,
                format!(
                    "`{name}` of {root} is at work, and this would be lost: {}; to lose it: add --force",
                    busy.would_lose.join("; ")
                ),
            ));
        }
    }
    for process in plan.processes {
        end(process).await?;
    }
    Ok(())
}

/// TERM, and KILL to what does not take it.
async fn end(process: ProcessIdentity) -> Result<(), ErrorObject> {
    let pid = process.pid;
    for (signal, patience) in [(Signal::SIGTERM, GRACE), (Signal::SIGKILL, SETTLE)] {
        info!(pid, ?signal, "ended for a start that takes its port over");
        if let Err(error) = process.signal(signal) {
            let text = format!("pid {pid} cannot be ended: {error}; type: sudo kill {pid}");
            return Err(ErrorObject::new(code::INTERNAL, text));
        }
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if !process.liveness().is_ok_and(|liveness| liveness.is_alive()) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    warn!(pid, "it would not die");
    Err(ErrorObject::new(code::INTERNAL, format!("pid {pid} does not die; look: ps -p {pid}")))
}

/// Waits a little until nobody is on the ports, and no longer: what is left blocks the start, with its name.
async fn settle(seekers: &[(Key, Seeker)]) {
    let until = Instant::now() + SETTLE;
    let taken = |(_, seeker): &(Key, Seeker)| seeker.standing().is_ok_and(|standing| !standing.is_free());
    while Instant::now() < until && seekers.iter().any(taken) {
        tokio::time::sleep(LOOK).await;
    }
}
