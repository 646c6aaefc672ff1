//! What the end of a JupyterLab would cost: kernels that work, terminals in which something runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use crate::http::{self, Answer, Question};
use crate::input::Key;

/// No answer within this time counts as busy.
const PATIENCE: Duration = Duration::from_secs(1);

/// A JupyterLab that is about to be stopped.
pub(crate) struct Suspect {
    pub(crate) key: Key,
    pub(crate) port: u16,
    pub(crate) token: String,
    pub(crate) query: run::tree::Scope,
}

#[derive(Deserialize)]
struct Kernel {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    execution_state: String,
}

#[derive(Deserialize)]
struct Session {
    #[serde(default)]
    path: String,
    kernel: Option<Kernel>,
}

/// What would be lost, one line each; nothing when nothing works.
pub(crate) async fn would_lose(suspect: &Suspect) -> Vec<String> {
    let mut lost = match kernels(suspect).await {
        Some(busy) => busy,
        None => vec!["JupyterLab does not say what its kernels do; they may be working".to_owned()],
    };
    let query = suspect.query.clone();
    lost.extend(tokio::task::spawn_blocking(move || terminals(&query)).await.unwrap_or_default());
    lost
}

/// The busy kernels, by the notebook they belong to; `None` when JupyterLab does not say.
async fn kernels(suspect: &Suspect) -> Option<Vec<String>> {
    let kernels: Vec<Kernel> = get(suspect, "/api/kernels").await?;
    let busy: Vec<Kernel> = kernels.into_iter().filter(|kernel| kernel.execution_state == "busy").collect();
    if busy.is_empty() {
        return Some(Vec::new());
    }
    // A kernel without a notebook is named by its id; so is one whose notebook cannot be found out.
    let sessions: Vec<Session> = get(suspect, "/api/sessions").await.unwrap_or_default();
    Some(
        busy.iter()
            .map(|kernel| {
                let notebook = sessions
                    .iter()
                    .find(|session| session.kernel.as_ref().is_some_and(|known| known.id == kernel.id))
                    .map(|session| session.path.as_str());
                match notebook {
                    Some(path) => format!("kernel of {path} is busy ({})", kernel.name),
                    None => format!("kernel {} is busy ({})", kernel.id, kernel.name),
                }
            })
            .collect(),
    )
}

async fn get<T: serde::de::DeserializeOwned>(suspect: &Suspect, path: &str) -> Option<T> {
    let question = Question {
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), suspect.port),
        path,
        token: Some(&suspect.token),
        body: true,
        timeout: PATIENCE,
        // JupyterLab logs no ports, and nothing about an answer of 200.
        noted_in: None,
    };
    match http::ask(&question).await {
        Answer::Status(200, body) => serde_json::from_slice(&body).ok(),
        Answer::Status(..) | Answer::Refused | Answer::Silent | Answer::Other => None,
    }
}

/// What runs in its terminals beside the shells themselves.
fn terminals(query: &run::tree::Scope) -> Vec<String> {
    crate::tree::in_terminals(query)
        .into_iter()
        // A shell leads the session of its terminal; whatever else has that terminal is at work in it.
        .filter(|info| info.tty != 0 && info.pid != info.sid)
        .map(|info| format!("a terminal runs: {} (pid {})", os::process::command_line(info.pid), info.pid))
        .collect()
}
