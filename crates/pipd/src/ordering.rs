//! Tests of the order of effects, with a daemon whose inputs are handed to it one by one.

use std::sync::Arc;

use lifecycle::{Phase, Restored, RunId};
use run::layout::HostDir;
use tokio::sync::{mpsc, oneshot};
use wire::{DaemonInfo, Goal, Request, ServiceSpec, StartParams, StopParams, WorkspaceSpec};

use crate::daemon::Daemon;
use crate::input::{Input, Key, Reply};
use crate::service::Service;
use crate::workspace::Workspace;

type Answer = oneshot::Receiver<Result<wire::Raw, wire::ErrorObject>>;

struct Bench {
    daemon: Daemon,
    queue: mpsc::UnboundedReceiver<Input>,
    key: Key,
    root: tempfile::TempDir,
}

fn spec(name: &str) -> ServiceSpec {
    serde_json::from_value(serde_json::json!({"name": name, "argv": ["/bin/true"], "cwd": "/"})).unwrap()
}

impl Bench {
    /// A daemon with one service in this state, by the goal it had.
    fn new(goal: Goal, restored: Restored) -> Self {
        let root = tempfile::tempdir().unwrap();
        let info: DaemonInfo =
            serde_json::from_value(serde_json::json!({"version": "0", "pid": 1, "started_ms": 0})).unwrap();
        let (inputs, queue) = mpsc::unbounded_channel();
        let hosts = vec![HostDir::at(root.path().join("host"))];
        let mut daemon = Daemon::new(info, hosts, Arc::from(root.path().join("none")), inputs);
        let id: Arc<str> = run::layout::workspace_id(root.path()).into();
        let key = Key { workspace: Arc::clone(&id), service: "a".into() };
        let to = if goal == Goal::Up { lifecycle::Goal::Up } else { lifecycle::Goal::Down };
        let mut service = Service::new(spec("a"), lifecycle::Service::restore(to, RunId(7), restored, 0));
        service.goal = goal;
        let mut workspace = Workspace::new(Arc::clone(&id), root.path().into(), "t".into());
        workspace.services.push(("a".into(), service));
        daemon.workspaces.insert(id, workspace);
        Self { daemon, queue, key, root }
    }

    fn ask(&mut self, request: impl FnOnce(wire::Text) -> Request) -> Answer {
        let (reply, answer): (Reply, Answer) = oneshot::channel();
        let request = Box::new(request(self.root.path().into()));
        self.daemon.handle(Input::Request { request, reply });
        answer
    }

    /// Handles what comes in until the answer is there.
    async fn answered(&mut self, mut answer: Answer) -> serde_json::Value {
        loop {
            if let Ok(answer) = answer.try_recv() {
                return answer.unwrap().read().unwrap();
            }
            let input = tokio::time::timeout(std::time::Duration::from_secs(10), self.queue.recv()).await;
            self.daemon.handle(input.expect("nothing comes in and the request has no answer").unwrap());
        }
    }

    fn phase(&self) -> Phase {
        *self.daemon.service(&self.key).unwrap().core.phase()
    }
}

fn stop(root: wire::Text) -> Request {
    Request::Stop(serde_json::from_value::<StopParams>(serde_json::json!({"root": root})).unwrap())
}

fn start(root: wire::Text, services: Vec<ServiceSpec>) -> Request {
    let workspace: WorkspaceSpec = serde_json::from_value(serde_json::json!({"root": root})).unwrap();
    let workspace = WorkspaceSpec { services, ..workspace };
    let params = serde_json::json!({"workspace": workspace});
    Request::Start(serde_json::from_value::<StartParams>(params).unwrap())
}

fn in_a_loop(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn alive() -> Restored {
    Restored::Alive { run: RunId(7), ready: true, stopping: false, uptime_ms: 0 }
}

#[test]
fn a_second_stop_does_not_overtake_the_record_of_the_first() {
    in_a_loop(async {
        let mut bench = Bench::new(Goal::Up, alive());
        let _first = bench.ask(stop);
        let _second = bench.ask(stop);
        assert!(matches!(bench.phase(), Phase::Ready { .. }), "{:?} before it was recorded", bench.phase());
        while !matches!(bench.phase(), Phase::Stopping { .. }) {
            let input = bench.queue.recv().await.unwrap();
            bench.daemon.handle(input);
        }
    });
}

#[test]
fn a_stop_of_a_service_that_leaves_the_configuration_meanwhile_is_answered() {
    in_a_loop(async {
        let mut bench = Bench::new(Goal::Up, Restored::GaveUp);
        let stopped = bench.ask(stop);
        let _other = bench.ask(|root| start(root, vec![]));
        let answer = bench.answered(stopped).await;
        assert_eq!(answer["services"][0]["outcome"], "already");
    });
}

#[test]
fn a_number_is_not_used_again_when_a_service_comes_back() {
    in_a_loop(async {
        let mut bench = Bench::new(Goal::Down, Restored::Nothing);
        let gone = bench.ask(|root| start(root, vec![]));
        bench.answered(gone).await;
        assert!(bench.daemon.service(&bench.key).is_none());
        let _back = bench.ask(|root| start(root, vec![spec("a")]));
        assert_eq!(bench.daemon.service(&bench.key).unwrap().core.last_run(), RunId(7));
    });
}

#[test]
fn a_run_without_a_shim_program_is_buried_and_blocks() {
    in_a_loop(async {
        let mut bench = Bench::new(Goal::Down, Restored::Nothing);
        let started = bench.ask(|root| start(root, vec![spec("a")]));
        let answer = bench.answered(started).await;
        assert_eq!(answer["services"][0]["outcome"], "blocked", "{answer}");
        let host = bench.daemon.hosts.first().unwrap().clone();
        let run = host.workspace(&bench.key.workspace).service("a").run(8);
        assert!(run.spec().exists() && run.exited().exists(), "nobody says that nobody lives there");
    });
}
