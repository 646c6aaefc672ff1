//! Readiness and health: an answer counts only when it comes from a listener of the run's own tree.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lifecycle::{Event, RunId};
use os::ports::Listener;
use wire::{ReadyCheck, ReadySpec};

use crate::daemon::Daemon;
use crate::http::{self, Answer, Question};
use crate::input::Key;

/// How long a single question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The run answers.
    Answered,
    /// Everything lives, nothing answers.
    Silent(String),
    /// Nothing of it can answer any more.
    Dead(String),
    /// A reloader lives and its worker ended with an edit: why nothing answers, and what the worker said last.
    Broken(String, Vec<String>),
    /// Somebody else answers on its port.
    Foreign(String),
}

/// Whom to ask, and how to know that it is the right one.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) ready: ReadySpec,
    pub(crate) query: run::tree::Scope,
    /// Folder of the service's log.
    pub(crate) log_dir: PathBuf,
    /// It is a JupyterLab: never proven dead by silence.
    pub(crate) is_jupyter: bool,
    /// How long a single question may take.
    pub(crate) patience: Duration,
}

/// What one round of questions found, before anything is concluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    Answered,
    Refused,
    Silent,
    Foreign(String),
    /// The machine had no means to ask: nothing was found out.
    Unasked,
}

/// Whose an answer was.
enum Owner {
    Ours,
    Stranger(String),
    Unknown,
}

impl Target {
    /// Asks both loopback addresses, and then whose the answer was.
    pub(crate) async fn ask(&self) -> Finding {
        let mut finding = Finding::Refused;
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            let address = SocketAddr::new(ip, self.port);
            let answered = match &self.ready.check {
                ReadyCheck::None => true,
                ReadyCheck::Tcp => match http::connects(address, self.patience).await {
                    Ok(Some(_)) => true,
                    Ok(None) => continue,
                    Err(_) => return Finding::Unasked,
                },
                ReadyCheck::Http { path, status } => {
                    let question = Question {
                        address,
                        path,
                        token: None,
                        body: false,
                        timeout: self.patience,
                        noted_in: Some(&self.log_dir),
                    };
                    match http::ask(&question).await {
                        Answer::Refused => continue,
                        Answer::Unasked => return Finding::Unasked,
                        Answer::Silent => false,
                        Answer::Status(found, _) => status.is_none_or(|wanted| wanted == found),
                        Answer::Other => status.is_none(),
                    }
                }
            };
            if !answered {
                finding = Finding::Silent;
                continue;
            }
            if self.ready.any_owner {
                return Finding::Answered;
            }
            match self.owner(address).await {
                Owner::Ours => return Finding::Answered,
                Owner::Stranger(stranger) => finding = Finding::Foreign(stranger),
                Owner::Unknown => return Finding::Unasked,
            }
        }
        finding
    }

    /// Who listens at `address`. A stranger is only who was seen: where descriptors are short nobody is.
    async fn owner(&self, address: SocketAddr) -> Owner {
        let query = self.query.clone();
        crate::tasks::blocking(move || {
            let Ok(listeners) = os::ports::listeners(address.port()) else { return Owner::Unknown };
            let listeners = serving(listeners, address.ip());
            let members = crate::tree::pids(&query);
            if !os::ports::holders(&listeners, Some(&members)).unwrap_or_default().is_empty() {
                return Owner::Ours;
            }
            if members.is_empty() || !can_look() {
                return Owner::Unknown;
            }
            let strangers = os::ports::holders(&listeners, None).unwrap_or_default();
            Owner::Stranger(match strangers.first() {
                Some((pid, _)) => format!("pid {pid} ({})", os::process::command_line(*pid)),
                None => "a process this user may not see".to_owned(),
            })
        })
        .await
        .unwrap_or(Owner::Unknown)
    }
}

/// Whether there are descriptors to look at other processes with: a folder, and what is in it.
fn can_look() -> bool {
    let open = || std::fs::File::open("/dev/null");
    matches!((open(), open()), (Ok(_), Ok(_)))
}

/// The listeners that take a connection to `ip`: those bound to it, else the wildcards.
fn serving(listeners: Vec<Listener>, ip: IpAddr) -> Vec<Listener> {
    let (exact, others): (Vec<_>, Vec<_>) =
        listeners.into_iter().partition(|listener| listener.addr.ip().to_canonical() == ip);
    if !exact.is_empty() {
        return exact;
    }
    others.into_iter().filter(|listener| listener.addr.ip().is_unspecified()).collect()
}

impl Daemon {
    pub(crate) fn target(&self, key: &Key) -> Option<Target> {
        let service = self.service(key)?;
        let live = service.live.as_ref()?;
        Some(Target {
            port: live.port.or(service.port)?,
            ready: service.spec.ready.clone(),
            query: service.scope()?,
            log_dir: live.dir.service().logs(),
            is_jupyter: service.spec.kind == wire::Kind::Jupyter,
            patience: PATIENCE,
        })
    }

    pub(crate) fn on_probed(&mut self, key: &Key, run: RunId, verdict: Verdict) {
        let Some(service) = self.service_mut(key) else { return };
        if !service.is_live(run) {
            return;
        }
        match verdict {
            Verdict::Answered => self.step(key, Event::Ready { run }),
            // Known before the step: whoever waits is answered by it.
            Verdict::Silent(why) => {
                self.complain(key, why);
                self.step(key, Event::Silent { run });
            }
            Verdict::Broken(why, words) => {
                self.complain(key, [&[why], &words[..]].concat().join("\n"));
                self.step(key, Event::Silent { run });
            }
            Verdict::Dead(why) => {
                tracing::info!(%key, why, "proven dead");
                self.step(key, Event::Dead { run });
                self.complain(key, why);
            }
            Verdict::Foreign(who) => {
                let port = service.port.unwrap_or_default();
                self.complain(
                    key,
                    format!("port {port} is answered by {who}, which is not part of this run"),
                );
            }
        }
    }

    fn complain(&mut self, key: &Key, why: String) {
        if let Some(service) = self.service_mut(key) {
            service.complaint = Some(why);
        }
        self.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        Listener { addr: address.parse().unwrap(), socket: 1, uid: None, accept_queue: None, pid: None }
    }

    #[test]
    fn the_most_specific_listener_gets_the_connection() {
        let both = vec![listener("0.0.0.0:80"), listener("127.0.0.1:80")];
        let found = serving(both.clone(), "127.0.0.1".parse().unwrap());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].addr, "127.0.0.1:80".parse().unwrap());
        let found = serving(both, "::1".parse().unwrap());
        assert_eq!(found[0].addr, "0.0.0.0:80".parse().unwrap());
    }
}
