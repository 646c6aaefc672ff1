//! `why`: the runs of a service, how each ended, and what happens next.

use std::sync::Arc;

use lifecycle::{Block, Phase, RunId};
use run::layout::{RunDir, ServiceDir};
use run::record::{self, Exited, Started};
use wire::{ErrorObject, ExitCause, RunView, WhyAnswer, WhyParams, code};

use crate::daemon::{Daemon, Shared};
use crate::input::Key;
use crate::service::{Service, exit_view};

/// Runs shown.
const SHOWN: usize = 10;

/// Answers `why`. The files are read on a helper thread.
pub(crate) async fn why(daemon: &Shared, params: &WhyParams) -> Result<WhyAnswer, ErrorObject> {
    let (view, next, folders) = {
        let daemon = daemon.borrow();
        daemon.prepare(params)?
    };
    let runs = crate::tasks::blocking(move || read_runs(&folders))
        .await
        .map_err(|error| ErrorObject::new(code::INTERNAL, error.to_string()))?;
    Ok(WhyAnswer { service: view, runs, next })
}

impl Daemon {
    fn prepare(
        &self,
        params: &WhyParams,
    ) -> Result<(wire::ServiceView, String, Vec<ServiceDir>), ErrorObject> {
        let unknown = || {
            ErrorObject::new(
                code::UNKNOWN_NAME,
                format!(
                    "no service `{}` in {} was ever started; type: pipctl status",
                    params.service,
                    params.root.to_string_lossy()
                ),
            )
        };
        let id = &self.workspace_at(&params.root).ok_or_else(unknown)?.id;
        let key = Key { workspace: Arc::clone(id), service: params.service.as_str().into() };
        let service = self.service(&key).ok_or_else(unknown)?;
        let view = self.service_view(&key).ok_or_else(unknown)?;
        let folders =
            self.hosts.iter().map(|host| host.workspace(&key.workspace).service(&key.service)).collect();
        Ok((view, self.next(service), folders))
    }

    /// What happens next and why, one sentence.
    fn next(&self, service: &Service) -> String {
        let name = &service.spec.name;
        match service.core.phase() {
            Phase::Down => format!("nothing, until you type: pipctl start {name}"),
            Phase::Blocked { why, .. } => match why {
                Block::Port => "it starts by itself when the port is free".into(),
                Block::Exec => format!("it is tried again when a source changes, or by: pipctl start {name}"),
                Block::Machine => "it is tried again by itself as soon as the machine allows".into(),
                Block::After => format!("it starts when {} is ready", service.spec.after.join(" and ")),
                Block::Refused => format!("mend what is named above, then type: pipctl start {name}"),
            },
            Phase::Spawning { .. } | Phase::Starting { .. } => "it is on its way".into(),
            Phase::Ready { .. } => match service.spec.restart.policy {
                wire::RestartPolicy::Never => "it runs; should it end, it is not started again".into(),
                wire::RestartPolicy::OnFailure => {
                    "it runs; should it fail, it is started again at once".into()
                }
                wire::RestartPolicy::Always => "it runs; should it end, it is started again at once".into(),
            },
            Phase::Unhealthy { .. } => {
                format!(
                    "it is asked again every few seconds and left alone; if it hangs: pipctl restart {name}"
                )
            }
            Phase::Stopping { .. } => match service.core.goal() {
                lifecycle::Goal::Up => "it is started again when it is gone".into(),
                lifecycle::Goal::Down => "nothing, when it is gone".into(),
            },
            Phase::Backoff { .. } => {
                let wait = service.core.deadline().map_or(0, |at| at.saturating_sub(self.clock.now()));
                format!(
                    "it is tried again in {}.{} s, or at once when a source changes or you type: pipctl start {name}",
                    wait / 1_000,
                    wait % 1_000 / 100
                )
            }
            Phase::Finished => format!("it ended by itself; to run it again: pipctl start {name}"),
            Phase::GaveUp => {
                format!("it failed as often as `start_limit` allows; mend it, then type: pipctl start {name}")
            }
            Phase::External => match (service.goal, service.spec.external) {
                (wire::Goal::Down, _) => format!(
                    "somebody runs it by hand and pipd leaves it alone; to have it looked after: pipctl adopt {name}"
                ),
                (wire::Goal::Up, wire::ExternalPolicy::Takeover) => format!(
                    "somebody runs it by hand and pipd leaves it alone; 10 s after its end pipd starts its own; to have it looked after: pipctl adopt {name}"
                ),
                (wire::Goal::Up, wire::ExternalPolicy::Leave) => format!(
                    "somebody runs it by hand and pipd leaves it alone, also after its end; to have it looked after: pipctl adopt {name}"
                ),
            },
            Phase::Quiet { until: Some(at) } => {
                let wait = at.saturating_sub(self.clock.now()).div_ceil(1_000);
                format!(
                    "pipd starts its own in {wait} s, if the port stays quiet; at once, or never: pipctl start {name}   pipctl stop {name}"
                )
            }
            Phase::Quiet { until: None } => {
                format!("nothing (external = \"leave\"), until you type: pipctl start {name}")
            }
        }
    }
}

fn read_runs(folders: &[ServiceDir]) -> Vec<RunView> {
    let mut runs: Vec<(u64, RunDir)> = folders
        .iter()
        .flat_map(|folder| {
            let numbers = folder.run_numbers().unwrap_or_default();
            numbers.into_iter().map(|number| (number, folder.run(number)))
        })
        .collect();
    runs.sort_by_key(|(number, _)| *number);
    let hidden = runs.len().saturating_sub(SHOWN);
    runs.into_iter().skip(hidden).map(|(number, dir)| read_run(number, &dir)).collect()
}

fn read_run(number: u64, dir: &RunDir) -> RunView {
    let started = record::read::<Started>(&dir.started()).ok().flatten();
    let exit = record::read::<Exited>(&dir.exited()).ok().flatten();
    let failed = exit.as_ref().is_some_and(|exit| exit.cause != ExitCause::Code(0) && !exit.asked);
    RunView {
        run: number,
        started_ms: started.as_ref().map(|started| started.at_ms),
        pid: started.map(|started| started.main.pid),
        exit: exit.as_ref().map(exit_view),
        last_words: if failed { crate::runs::last_words(dir, RunId(number)) } else { Vec::new() },
    }
}
