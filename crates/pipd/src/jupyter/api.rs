//! The three questions: kernels, sessions, and where to ask them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wire::KernelView;

use super::{Lab, server};
use crate::http::{self, Answer, Question};

/// For all questions together. No answer within this time counts as busy.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Kernel {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    execution_state: Option<String>,
    #[serde(default)]
    last_activity: Option<String>,
    #[serde(default)]
    connections: Option<u32>,
}

#[derive(Deserialize)]
struct Session {
    #[serde(default)]
    path: String,
    #[serde(default)]
    name: String,
    kernel: Option<SessionKernel>,
}

#[derive(Deserialize)]
struct SessionKernel {
    id: String,
}

/// Its kernels, or why it does not say, for people.
pub(super) async fn kernels(lab: &Lab) -> Result<Vec<KernelView>, String> {
    match tokio::time::timeout(PATIENCE, ask(lab)).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("JupyterLab did not answer within {} s", PATIENCE.as_secs())),
    }
}

async fn ask(lab: &Lab) -> Result<Vec<KernelView>, String> {
    let main = lab.main;
    // Its configuration may have given it another path or token than it was started with.
    let written = crate::tasks::blocking(move || main.and_then(server::of_pid)).await.ok().flatten();
    if written.as_ref().is_some_and(|server| server.secure) {
        return Err("JupyterLab speaks TLS, and pipd does not ask that way".into());
    }
    let written = written.unwrap_or_default();
    let base = if written.base_url.is_empty() { "/" } else { &written.base_url };
    let token = if written.token.is_empty() { &lab.token } else { &written.token };
    // What only looks must not count as activity: a server may be set to end when there is none.
    let path = |what: &str| format!("{base}api/{what}?no_track_activity=1");
    let (kernels, sessions) = (path("kernels"), path("sessions"));
    let (kernels, sessions) = tokio::join!(
        get::<Vec<Kernel>>(lab.port, &kernels, token),
        get::<Vec<Session>>(lab.port, &sessions, token),
    );
    // A kernel without a notebook is named by its id; so is one whose notebook cannot be found out.
    let sessions = sessions.unwrap_or_default();
    Ok(kernels?.into_iter().map(|kernel| view(kernel, &sessions)).collect())
}

fn view(kernel: Kernel, sessions: &[Session]) -> KernelView {
    let notebook = sessions
        .iter()
        .find(|session| session.kernel.as_ref().is_some_and(|known| known.id == kernel.id))
        .map(|session| if session.path.is_empty() { session.name.clone() } else { session.path.clone() })
        .filter(|name| !name.is_empty());
    KernelView {
        notebook,
        name: kernel.name,
        state: kernel.execution_state.unwrap_or_else(|| "unknown".into()),
        last_activity_ms: kernel.last_activity.and_then(|at| Some(run::log::Stamp::read(&at)?.as_ms())),
        connections: kernel.connections,
        id: kernel.id,
        ..KernelView::default()
    }
}

async fn get<T: DeserializeOwned>(port: u16, path: &str, token: &str) -> Result<T, String> {
    let mut answer = Answer::Refused;
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let address = SocketAddr::new(ip, port);
        let question = Question {
            address,
            path,
            token: Some(token),
            body: true,
            timeout: 2 * PATIENCE, // JupyterLab says nothing of an answer of 200.
            noted_in: None,
        };
        answer = http::ask(&question).await;
        if answer != Answer::Refused {
            break;
        }
    }
    match answer {
        Answer::Status(200, body) => serde_json::from_slice(&body)
            .map_err(|error| format!("JupyterLab answers what makes no sense ({error})")),
        Answer::Status(401 | 403, _) => Err("JupyterLab does not take the token that it was given".into()),
        Answer::Status(status, _) => Err(format!("JupyterLab answers with status {status}")),
        Answer::Unasked => Err("this machine has no descriptor left to ask JupyterLab with".to_owned()),
        Answer::Refused => Err(format!("JupyterLab cannot be reached on port {port}")),
        Answer::Silent => Err("JupyterLab hung up without an answer".into()),
        Answer::Other => Err("JupyterLab does not answer in HTTP".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_named_by_their_notebooks() {
        let kernels: Vec<Kernel> = serde_json::from_str(
            r#"[{"id": "a", "name": "python3", "execution_state": "busy", "connections": 2,
                 "last_activity": "2026-11-22T18:07:59.123456Z"}, {"id": "b"}]"#,
        )
        .unwrap();
        let sessions: Vec<Session> =
            serde_json::from_str(r#"[{"path": "x.ipynb", "kernel": {"id": "a"}}, {"kernel": null}]"#)
                .unwrap();
        let views: Vec<KernelView> = kernels.into_iter().map(|kernel| view(kernel, &sessions)).collect();
        assert_eq!(views[0].notebook.as_deref(), Some("x.ipynb"));
        assert_eq!(views[0].last_activity_ms, Some(1_795_370_879_123));
        assert_eq!((&*views[1].state, &views[1].notebook), ("unknown", &None));
    }
}
