//! What clients ask for: start, stop, restart, and the daemon's own end.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use lifecycle::{Event, Millis, Restored, RunId};
use run::record::DaemonGoal;
use tracing::info;
use wire::{
    CaptureParams, ErrorObject, Goal, Request, ServiceOutcome, ServiceSpec, StartParams, StopParams, Text,
    VerbAnswer, code,
};

use crate::answers::written;
use crate::daemon::Daemon;
use crate::input::{Input, Key, Reply};
use crate::jupyter;
use crate::service::Service;
use crate::workspace::Workspace;

impl Daemon {
    pub(crate) fn on_request(&mut self, request: Request, reply: Reply) {
        let begins = matches!(request, Request::Start(_) | Request::Restart(_));
        if let Some(refusal) = self.refusal().filter(|_| begins) {
            return drop(reply.send(Err(refusal)));
        }
        if let Some(kept) = self.kept_by_a_newer(&request) {
            return refuse(
                reply,
                code::STATE,
                format!("{kept}; nothing was done, what runs there keeps running"),
            );
        }
        if request.root().is_some_and(|root| self.is_being_forgotten(root)) {
            return refuse(reply, code::STATE, "it is being forgotten; type it again".into());
        }
        match request {
            Request::Forget(params) => self.forget(params, reply),
            Request::Start(params) if params.takeover => self.take_ports(params, reply),
            Request::Start(params) => self.start(params, reply),
            Request::Stop(ref params) if !params.force => {
                match self.to_weigh(&params.root, &params.services, &BTreeMap::new()) {
                    Some(suspects) => self.weigh(request, reply, suspects),
                    None => self.on_weighed(request, reply, Vec::new()),
                }
            }
            Request::Restart(ref params) if !params.force => {
                match self.to_weigh(&params.workspace.root, &params.services, &params.seen_runs) {
                    Some(suspects) => self.weigh(request, reply, suspects),
                    None => self.on_weighed(request, reply, Vec::new()),
                }
            }
            Request::Stop(_) | Request::Restart(_) => self.on_weighed(request, reply, Vec::new()),
            Request::Capture(params) => self.recapture(&params, reply),
            Request::Adopt(params) => self.adopt_by_request(params, reply),
            Request::DaemonStop => self.end(DaemonGoal::Down, reply),
            Request::DaemonHandover => self.end(DaemonGoal::Handover, reply),
            Request::Hello(_)
            | Request::Status(_)
            | Request::Subscribe(_)
            | Request::Details(_)
            | Request::Why(_) => {
                // Answered by the connection itself, without waking the loop.
                refuse(reply, code::INTERNAL, "this request does not reach the loop".into());
            }
        }
    }

    /// Why a request for a workspace is refused whose record only a newer pipd understands.
    fn kept_by_a_newer(&self, request: &Request) -> Option<&str> {
        if self.newer.is_empty() {
            return None;
        }
        self.newer.get(&self.id_at(request.root()?)).map(String::as_str)
    }

    fn end(&mut self, goal: DaemonGoal, reply: Reply) {
        info!(?goal, "asked to make way; services keep running");
        /// Nothing but that it is done.
        #[derive(serde::Serialize)]
        struct Done {}
        let _ = reply.send(written(&Done {}));
        self.ending = Some(goal);
    }

    /// The JupyterLabs among the services asked for whose end could lose work, with what is needed to ask them.
    /// One that was restarted since it was `seen` is not to end.
    fn to_weigh(
        &self,
        root: &Text,
        services: &[String],
        seen: &BTreeMap<String, u64>,
    ) -> Option<Vec<jupyter::Lab>> {
        let workspace = self.workspace_at(root)?;
        let labs: Vec<_> = workspace
            .services
            .iter()
            .filter(|(name, _)| services.is_empty() || services.iter().any(|asked| **asked == **name))
            .filter(|(name, service)| {
                seen.get(&**name).is_none_or(|&seen| service.core.last_run() <= RunId(seen))
            })
            .filter_map(|(name, _)| {
                self.lab(&Key { workspace: Arc::clone(&workspace.id), service: Arc::clone(name) })
            })
            .collect();
        if labs.is_empty() { None } else { Some(labs) }
    }

    fn weigh(&mut self, request: Request, reply: Reply, labs: Vec<jupyter::Lab>) {
        let inputs = self.inputs.clone();
        crate::tasks::spawn(async move {
            let lost = futures_util::future::join_all(labs.iter().map(jupyter::would_lose)).await;
            let losses = labs.into_iter().map(|lab| lab.key).zip(lost).filter(|(_, lost)| !lost.is_empty());
            let losses = losses.collect();
            let _ = inputs.send(Input::Weighed { request: Box::new(request), reply, losses });
        });
    }

    /// A stop or restart of which is known what it would lose: nothing, or it is answered with that.
    pub(crate) fn on_weighed(&mut self, request: Request, reply: Reply, losses: Vec<(Key, Vec<String>)>) {
        match request {
            Request::Stop(params) => self.stop(&params, reply, &losses),
            Request::Restart(params) => self.restart(params, reply, &losses),
            Request::Hello(_)
            | Request::Start(_)
            | Request::Capture(_)
            | Request::Adopt(_)
            | Request::Forget(_)
            | Request::Status(_)
            | Request::Subscribe(_)
            | Request::Details(_)
            | Request::Why(_)
            | Request::DaemonStop
            | Request::DaemonHandover => {
                refuse(reply, code::INTERNAL, "this request is not weighed".into());
            }
        }
    }

    fn start(&mut self, params: StartParams, reply: Reply) {
        let (keys, changed) = match self.take_workspace(&params) {
            Ok(found) => found,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let running = |daemon: &Self, key: &Key| {
            daemon.service(key).is_some_and(|s| s.goal == Goal::Up && s.core.run().is_some())
        };
        let nothing_to_do = !changed && keys.iter().all(|key| running(self, key));
        // A running service keeps the environment it has: a second `start` captures nothing anew.
        let new: Vec<Key> = keys.iter().filter(|key| !running(self, key)).cloned().collect();
        self.capture(&new, &params.workspace.env);
        for key in &new {
            if let Some(service) = self.service_mut(key) {
                service.apply_next();
                service.choose_port(params.port);
            }
        }
        for key in &keys {
            self.assign_port(key);
            if let Some(service) = self.service_mut(key) {
                service.goal = Goal::Up;
            }
        }
        self.begin(&keys, reply, params.no_wait, params.timeout_ms, !nothing_to_do, &[], |_, request| {
            Event::Start { request }
        });
    }

    fn restart(&mut self, params: StartParams, reply: Reply, losses: &[(Key, Vec<String>)]) {
        let (keys, _) = match self.take_workspace(&params) {
            Ok(found) => found,
            Err(error) => return drop(reply.send(Err(error))),
        };
        if params.when_idle && !losses.is_empty() {
            return self.leave_all(&keys, reply, losses);
        }
        let mut seen = HashMap::new();
        let mut begun = keys.clone();
        begun.retain(|key| !losses.iter().any(|(lost, _)| lost == key));
        let environment = |key: &Key| self.service(key).and_then(|service| service.environment.clone());
        let before: Vec<Option<String>> = begun.iter().map(environment).collect();
        let new: Vec<Key> = begun
            .iter()
            .zip(&before)
            .filter(|(_, before)| params.refresh_env || before.is_none())
            .map(|(key, _)| key.clone())
            .collect();
        self.capture(&new, &params.workspace.env);
        for (key, before) in begun.iter().zip(before) {
            if let Some(service) = self.service_mut(key) {
                // Asked for again: a newer run that is made the way it is wanted now is what was asked for.
                if let Some(&run) = params.seen_runs.get(&*key.service)
                    && service.next_spec.is_none()
                    && service.environment == before
                {
                    seen.insert(key.clone(), RunId(run));
                }
                service.apply_next();
                service.choose_port(params.port);
                service.goal = Goal::Up;
            }
            self.assign_port(key);
        }
        let event = |key: &Key, request| Event::Restart { request, seen: seen.get(key).copied() };
        self.begin(&keys, reply, params.no_wait, params.timeout_ms, true, losses, event);
    }

    fn stop(&mut self, params: &StopParams, reply: Reply, losses: &[(Key, Vec<String>)]) {
        let id = self.id_at(&params.root);
        let keys = match self.choose(&id, &params.root, &params.services) {
            Ok(keys) => keys,
            Err(error) => return drop(reply.send(Err(error))),
        };
        if params.when_idle && !losses.is_empty() {
            return self.leave_all(&keys, reply, losses);
        }
        let mut changed = false;
        for key in keys.iter().filter(|key| !losses.iter().any(|(lost, _)| lost == *key)) {
            if let Some(service) = self.service_mut(key) {
                changed |= service.goal != Goal::Down;
                service.goal = Goal::Down;
                service.spare_nobody |= params.all_processes;
            }
        }
        self.begin(&keys, reply, params.no_wait, params.timeout_ms, changed, losses, |_, request| {
            Event::Stop { request }
        });
    }

    /// Another environment for the next start; what runs keeps the one it has.
    fn recapture(&mut self, params: &CaptureParams, reply: Reply) {
        let id = self.id_at(&params.root);
        let keys = match self.choose(&id, &params.root, &params.services) {
            Ok(keys) => keys,
            Err(error) => return drop(reply.send(Err(error))),
        };
        if keys.is_empty() {
            return drop(reply.send(written(&VerbAnswer { services: Vec::new() })));
        }
        self.capture(&keys, &params.env);
        let number = self.next_record(&id);
        let group = self.answers.open(Arc::clone(&id), reply, &keys, None, number);
        for index in 0..keys.len() {
            self.settle(group, index, ServiceOutcome::Accepted, Vec::new());
        }
        self.after_record(&id, Vec::new());
    }

    /// Answers that work would be lost, and does nothing at all.
    fn leave_all(&mut self, keys: &[Key], reply: Reply, losses: &[(Key, Vec<String>)]) {
        let Some(id) = keys.first().map(|key| Arc::clone(&key.workspace)) else { return };
        let group = self.answers.open(id, reply, keys, None, None);
        for (index, key) in keys.iter().enumerate() {
            let lost = losses.iter().find(|(lost, _)| lost == key).map(|(_, lost)| lost.clone());
            self.settle(group, index, ServiceOutcome::Busy, lost.unwrap_or_default());
        }
    }

    /// Opens the group that is answered, and lets the events happen, after the record if it changed.
    #[expect(
        clippy::too_many_arguments,
        reason = "one place for what start, stop and restart have in common"
    )]
    pub(crate) fn begin(
        &mut self,
        keys: &[Key],
        reply: Reply,
        no_wait: bool,
        timeout_ms: Option<u64>,
        record: bool,
        losses: &[(Key, Vec<String>)],
        event: impl Fn(&Key, Option<lifecycle::RequestId>) -> Event,
    ) {
        let Some(id) = keys.first().map(|key| Arc::clone(&key.workspace)) else {
            let _ = reply.send(written(&VerbAnswer { services: Vec::new() }));
            return;
        };
        // What comes after a change that is not recorded yet must neither overtake it nor be answered before it is safe.
        let record = record || self.workspaces.get(&id).is_some_and(|w| w.journal.is_behind());
        let overdue_at = timeout_ms.map(|timeout| self.clock.now().saturating_add(timeout));
        let number = if record { self.next_record(&id) } else { None };
        let group = self.answers.open(Arc::clone(&id), reply, keys, overdue_at, number);
        let mut events = Vec::new();
        for (index, key) in keys.iter().enumerate() {
            if let Some((_, lost)) = losses.iter().find(|(lost, _)| lost == key) {
                self.settle(group, index, ServiceOutcome::Busy, lost.clone());
            } else if no_wait {
                self.settle(group, index, ServiceOutcome::Accepted, Vec::new());
                events.push((key.clone(), event(key, None)));
            } else {
                let request = self.answers.request(group, index);
                events.push((key.clone(), event(key, Some(request))));
            }
        }
        if record {
            self.after_record(&id, events);
        } else {
            for (key, event) in events {
                self.step(&key, event);
            }
        }
    }

    /// The services named, in the order of the configuration; all when none is.
    fn choose(&self, id: &str, root: &Text, names: &[String]) -> Result<Vec<Key>, ErrorObject> {
        let Some(workspace) = self.workspaces.get(id) else {
            return Err(ErrorObject::new(
                code::UNKNOWN_NAME,
                format!("nothing was ever started in {}; type: pipctl start", root.to_string_lossy()),
            ));
        };
        for name in names {
            if workspace.service(name).is_none() {
                let known: Vec<&str> = workspace.services.iter().map(|(name, _)| &**name).collect();
                return Err(ErrorObject::new(
                    code::UNKNOWN_NAME,
                    format!(
                        "no service `{name}` in {}; there is: {}; type: pipctl status",
                        root.to_string_lossy(),
                        known.join(", ")
                    ),
                ));
            }
        }
        Ok(workspace
            .services
            .iter()
            .filter(|(name, _)| names.is_empty() || names.iter().any(|asked| **asked == **name))
            .map(|(name, _)| Key { workspace: Arc::clone(&workspace.id), service: Arc::clone(name) })
            .collect())
    }

    /// Takes the workspace over as the client found it. Returns the services asked for, and whether anything
    /// that is recorded is different now.
    pub(crate) fn take_workspace(&mut self, params: &StartParams) -> Result<(Vec<Key>, bool), ErrorObject> {
        let spec = &params.workspace;
        let root = spec.root.as_path();
        if !root.is_absolute() {
            return Err(ErrorObject::new(
                code::INVALID_PARAMS,
                format!("the workspace's path must be absolute: {}", spec.root.to_string_lossy()),
            ));
        }
        for name in spec.services.iter().map(|service| &service.name) {
            if !well_named(name) {
                return Err(ErrorObject::new(
                    code::INVALID_PARAMS,
                    format!("`{name}` is no name for a service: [a-z0-9][a-z0-9_-]*, 64 at most"),
                ));
            }
        }
        // Named services that exist neither in the configuration nor here are an error before anything changes.
        let id = self.id_at(&spec.root);
        for name in &params.services {
            if !spec.services.iter().any(|service| service.name == *name) {
                let known: Vec<&str> = spec.services.iter().map(|service| service.name.as_str()).collect();
                return Err(ErrorObject::new(
                    code::UNKNOWN_NAME,
                    format!(
                        "no service `{name}` in {}; there is: {}; type: pipctl start {}",
                        spec.root.to_string_lossy(),
                        known.join(", "),
                        known.first().unwrap_or(&"")
                    ),
                ));
            }
        }
        let token = match self.workspaces.get(&id) {
            Some(workspace) => workspace.token.clone(),
            None => crate::environment::new_token().map_err(|error| {
                ErrorObject::new(code::INTERNAL, format!("no random numbers for a token: {error}"))
            })?,
        };
        let now = self.clock.now();
        let folder = self.folder_named(&spec.root);
        let workspace = self
            .workspaces
            .entry(Arc::clone(&id))
            .or_insert_with(|| Workspace::new(Arc::clone(&id), spec.root.clone(), token));
        workspace.folder = workspace.folder.or(folder);
        workspace.root.clone_from(&spec.root);
        workspace.warnings.clone_from(&spec.warnings);
        let mut changed = merge(workspace, &spec.services, &mut self.numbers_used, now);
        if workspace.depends != spec.depends {
            workspace.depends.clone_from(&spec.depends);
            changed = true;
        }
        let keys = self.choose(&id, &spec.root, &params.services)?;
        // A service that was taken out of the configuration is not started, only shown while it lives.
        let configured: HashSet<&str> = spec.services.iter().map(|service| &*service.name).collect();
        let keys = keys.into_iter().filter(|key| configured.contains(&*key.service)).collect();
        Ok((keys, changed))
    }

    /// These services of one workspace get this environment.
    pub(crate) fn capture(&mut self, keys: &[Key], environment: &BTreeMap<String, Text>) {
        let Some(id) = keys.first().map(|key| &key.workspace).filter(|_| !environment.is_empty()) else {
            return;
        };
        let Some(workspace) = self.workspaces.get_mut(id) else { return };
        let name = workspace.keep_environment(environment);
        for key in keys {
            if let Some(service) = workspace.service_mut(&key.service) {
                service.environment = Some(name.clone());
            }
        }
    }
}

/// Merges the configuration's services in, in its order; returns whether a record of them would differ.
/// `numbers_used` has the last run of each service that is not there: a number is never used twice.
fn merge(
    workspace: &mut Workspace,
    specs: &[ServiceSpec],
    numbers_used: &mut HashMap<Key, RunId>,
    now: Millis,
) -> bool {
    let key = |name: &str| Key { workspace: Arc::clone(&workspace.id), service: name.into() };
    let before: Vec<(Arc<str>, ServiceSpec)> =
        workspace.services.iter().map(|(name, service)| (Arc::clone(name), service.spec.clone())).collect();
    let old = std::mem::take(&mut workspace.services).into_iter().enumerate();
    let mut old: HashMap<Arc<str>, (usize, Service)> =
        old.map(|(place, (name, service))| (name, (place, service))).collect();
    for spec in specs {
        let (name, mut service) = match old.remove_entry(&*spec.name) {
            Some((name, (_, service))) => (name, service),
            None => {
                let last = numbers_used.remove(&key(&spec.name)).unwrap_or_default();
                let core = lifecycle::Service::restore(lifecycle::Goal::Down, last, Restored::Nothing, now);
                (spec.name.as_str().into(), Service::new(spec.clone(), core))
            }
        };
        service.configure(spec.clone());
        workspace.services.push((name, service));
    }
    // What the configuration no longer names is kept while it is wanted or lives, or somebody waits for it.
    let mut old: Vec<_> = old.into_iter().collect();
    old.sort_unstable_by_key(|(_, (place, _))| *place);
    let old = old.into_iter().map(|(name, (_, service))| (name, service));
    let (kept, gone): (Vec<_>, Vec<_>) = old.partition(|(name, service)| {
        service.goal == Goal::Up
            || service.core.run().is_some()
            || service.core.waiting() > 0
            || workspace.journal.awaits(name)
    });
    numbers_used.extend(gone.into_iter().map(|(name, service)| (key(&name), service.core.last_run())));
    workspace.services.extend(kept);
    before.len() != workspace.services.len()
        || before
            .iter()
            .zip(&workspace.services)
            .any(|((name, spec), (now, service))| name != now || *spec != service.spec)
}

fn well_named(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64
        && name.chars().next().is_some_and(letter)
        && name.chars().all(|c| letter(c) || c == '_' || c == '-')
}

fn refuse(reply: Reply, code: i64, message: String) {
    let _ = reply.send(Err(ErrorObject::new(code, message)));
}
