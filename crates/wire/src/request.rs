//! Requests and their answers.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{DetailsParams, ErrorObject, RunView, ServiceView, Text, WorkspaceSpec, code};

/// Protocol versions a peer speaks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// Oldest.
    pub min: u32,
    /// Newest.
    pub max: u32,
}

/// First request of every connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What the client speaks.
    pub protocol: ProtocolRange,
    /// Name and version of the client: "pipctl 0.1.0".
    #[serde(default)]
    pub client: String,
}

/// Answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The version both will speak.
    pub protocol: u32,
    /// Who answers.
    pub daemon: DaemonInfo,
}

/// The daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonInfo {
    /// Version of its program.
    pub version: String,
    /// Its process.
    pub pid: i32,
    /// Its program.
    #[serde(default)]
    pub exe: Option<Text>,
    /// When it was started, milliseconds since the Unix epoch.
    #[serde(default)]
    pub started_ms: i64,
    /// Folder of its state.
    #[serde(default)]
    pub state_dir: Option<Text>,
    /// Who started and watches it: `none`, `systemd`, `launchd`.
    #[serde(default)]
    pub manager: String,
}

/// Everything a client can ask. On the wire: `method` and `params`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "method", content = "params")]
pub enum Request {
    /// Agree on a version.
    #[serde(rename = "hello")]
    Hello(Hello),
    /// Want services up; answered when each is ready, failed, blocked or out of time.
    #[serde(rename = "start")]
    Start(StartParams),
    /// Want services down; answered when each is.
    #[serde(rename = "stop")]
    Stop(StopParams),
    /// Stop, then start.
    #[serde(rename = "restart")]
    Restart(StartParams),
    /// Look after a server that somebody started by hand, in place; answered as `start` is.
    #[serde(rename = "adopt")]
    Adopt(StartParams),
    /// The published snapshot, of one workspace or all. Answer: [`crate::Snapshot`].
    #[serde(rename = "status")]
    Status(StatusParams),
    /// As `status`, and from then on a `status.changed` notification with a [`crate::Snapshot`] at every change.
    #[serde(rename = "subscribe")]
    Subscribe(StatusParams),
    /// Keep the caller's environment for services, to be used at their next start; changes nothing that runs. Answer:
    /// [`VerbAnswer`].
    #[serde(rename = "environment.capture")]
    Capture(CaptureParams),
    /// What is gathered only when somebody asks: processes, memory, listening addresses, kernels. Answer:
    /// [`crate::DetailsAnswer`].
    #[serde(rename = "service.details")]
    Details(DetailsParams),
    /// Drop what is kept of a workspace of which nothing runs: goals, ports, token, environments, logs. Answer:
    /// [`ForgetAnswer`].
    #[serde(rename = "workspace.forget")]
    Forget(ForgetParams),
    /// The timeline of a service. Answer: [`WhyAnswer`].
    #[serde(rename = "why")]
    Why(WhyParams),
    /// Stop serving for good; services keep running. Answer: `{}`, then the connection ends.
    #[serde(rename = "daemon.stop")]
    DaemonStop,
    /// Make way for a new daemon; services keep running. Answer: `{}`, then the connection ends.
    #[serde(rename = "daemon.handover")]
    DaemonHandover,
}

impl Request {
    /// A request by its method. Not derived: what is derived first builds a copy of parameters whose method comes after
    /// them, and is a second reader of every type in here.
    pub(crate) fn read(method: &str, params: Option<&RawValue>) -> Result<Self, ErrorObject> {
        fn of<T: DeserializeOwned>(method: &str, params: Option<&RawValue>) -> Result<T, ErrorObject> {
            let wrong = |text: String| ErrorObject::new(code::INVALID_PARAMS, format!("{method}: {text}"));
            let params = params.ok_or_else(|| wrong("missing field `params`".into()))?;
            serde_json::from_slice(params.get().as_bytes()).map_err(|error| wrong(error.to_string()))
        }
        Ok(match method {
            "hello" => Self::Hello(of(method, params)?),
            "start" => Self::Start(of(method, params)?),
            "stop" => Self::Stop(of(method, params)?),
            "restart" => Self::Restart(of(method, params)?),
            "adopt" => Self::Adopt(of(method, params)?),
            "status" => Self::Status(of(method, params)?),
            "subscribe" => Self::Subscribe(of(method, params)?),
            "environment.capture" => Self::Capture(of(method, params)?),
            "service.details" => Self::Details(of(method, params)?),
            "workspace.forget" => Self::Forget(of(method, params)?),
            "why" => Self::Why(of(method, params)?),
            "daemon.stop" => Self::DaemonStop,
            "daemon.handover" => Self::DaemonHandover,
            _ => return Err(ErrorObject::new(code::METHOD_NOT_FOUND, format!("no method `{method}`"))),
        })
    }

    /// The folder of the workspace it is about, where it is about one.
    pub fn root(&self) -> Option<&Text> {
        match self {
            Self::Start(params) | Self::Restart(params) | Self::Adopt(params) => Some(&params.workspace.root),
            Self::Stop(params) => Some(&params.root),
            Self::Capture(params) => Some(&params.root),
            Self::Status(params) | Self::Subscribe(params) => params.root.as_ref(),
            Self::Details(params) => params.root.as_ref(),
            Self::Forget(params) => Some(&params.root),
            Self::Why(params) => Some(&params.root),
            Self::Hello(_) | Self::DaemonStop | Self::DaemonHandover => None,
        }
    }
}

/// For `start` and `restart`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartParams {
    /// The workspace as the client found it.
    pub workspace: WorkspaceSpec,
    /// Which services; all when empty.
    #[serde(default)]
    pub services: Vec<String>,
    /// Answer at once instead of at ready.
    #[serde(default)]
    pub no_wait: bool,
    /// Longest time to wait for the answer, in milliseconds; the service's own start deadline when absent.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// `restart`: take the caller's environment instead of the captured one.
    #[serde(default)]
    pub refresh_env: bool,
    /// Go on although work in kernels or terminals will be lost (`restart`, and `takeover` from another workspace).
    #[serde(default)]
    pub force: bool,
    /// `restart`, when it is sent again because the daemon died before it answered: the last run of each service
    /// (0 for none) as it was before the first time. One that has a newer run is not restarted once more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seen_runs: BTreeMap<String, u64>,
    /// Do nothing at all while work of any of these services would be lost: the answer is then `busy` for each whose
    /// work it is, and `busy` without a loss for the others. To be asked again until it is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub when_idle: bool,
    /// The port to use instead of the configured one, for each of the services that has one. Kept until another is
    /// chosen or configured; what runs keeps its own until it is restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortChoice>,
    /// `start`: end whoever holds a port that is wanted, if it is a run of pipd's or named in `takeover_pids`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub takeover: bool,
    /// Processes that a person has confirmed may be ended for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub takeover_pids: Vec<i32>,
}

/// A port chosen on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortChoice {
    /// The next free one, remembered for the workspace.
    Auto,
    /// What the configuration says.
    Configured,
    /// This one.
    Number(u16),
}

/// For `stop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopParams {
    /// Canonical path of the workspace.
    pub root: Text,
    /// Which services; all when empty.
    #[serde(default)]
    pub services: Vec<String>,
    /// Answer at once instead of when all is gone.
    #[serde(default)]
    pub no_wait: bool,
    /// Longest time to wait for the answer, in milliseconds.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Go on although work in kernels or terminals will be lost.
    #[serde(default)]
    pub force: bool,
    /// Do nothing at all while work of any of these services would be lost: the answer is then `busy` for each whose
    /// work it is, and `busy` without a loss for the others. To be asked again until it is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub when_idle: bool,
    /// End also what a person detached from a JupyterLab terminal.
    #[serde(default)]
    pub all_processes: bool,
}

/// For `environment.capture`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureParams {
    /// Canonical path of the workspace.
    pub root: Text,
    /// Environment of the caller, already cleaned.
    pub env: BTreeMap<String, Text>,
    /// Which services; all when empty.
    #[serde(default)]
    pub services: Vec<String>,
}

/// For `status` and `subscribe`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusParams {
    /// Canonical path of one workspace; all when absent.
    #[serde(default)]
    pub root: Option<Text>,
    /// `subscribe`: have what JupyterLabs say of their kernels kept fresh, and be told when that changes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub details: bool,
}

/// For `workspace.forget`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetParams {
    /// Canonical path of the workspace, or where it was last when it is gone.
    pub root: Text,
}

/// Answer to `workspace.forget`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetAnswer {
    /// Identifier of what is forgotten.
    pub id: String,
    /// Its folder, which is left as it is.
    #[serde(default)]
    pub root: Option<Text>,
}

/// For `why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyParams {
    /// Canonical path of the workspace.
    pub root: Text,
    /// Which service.
    pub service: String,
}

/// Answer to `why`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyAnswer {
    /// As in `status`.
    pub service: ServiceView,
    /// Oldest first; the last one is the present run or the last there was.
    #[serde(default)]
    pub runs: Vec<RunView>,
    /// What happens next and why, one sentence.
    #[serde(default)]
    pub next: String,
}

/// Answer to `start`, `stop` and `restart`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerbAnswer {
    /// One for each service asked for, in the order of the configuration.
    pub services: Vec<ServiceResult>,
}

/// What became of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceResult {
    /// What the request came to.
    pub outcome: ServiceOutcome,
    /// As in `status`, at the moment of the answer.
    pub service: ServiceView,
    /// For `failed`: what the process said last, a Python traceback's end where there is one.
    #[serde(default)]
    pub last_words: Vec<String>,
    /// For `busy`: what would be lost, one line each.
    #[serde(default)]
    pub would_lose: Vec<String>,
}

/// What a request came to for one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceOutcome {
    /// `start`: it became ready.
    Ready,
    /// It was so already; nothing was done.
    Already,
    /// It is down.
    Stopped,
    /// Asked not to wait: it was taken on.
    Accepted,
    /// Its process ended before it was ready.
    Failed,
    /// Something outside must change first.
    Blocked,
    /// It took longer than allowed; it goes on.
    Timeout,
    /// Another request took its place.
    Superseded,
    /// Work in kernels or terminals would be lost; nothing was done.
    Busy,
    /// Somebody runs it by hand.
    External,
    /// `adopt`: nobody runs it by hand; nothing was done.
    Absent,
    /// An outcome of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}
