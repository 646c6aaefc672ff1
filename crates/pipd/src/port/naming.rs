//! What holders are among the services of this daemon, and what to type.

use wire::{HolderView, Owner, PortSpec, Text};

use crate::daemon::Daemon;
use crate::input::Key;
use crate::service::Obstacle;

/// What a holder that carries a marker of ours is.
pub(crate) enum Ours {
    /// The service of a workspace, on its port.
    Service { name: String, root: Text },
    /// Left over from a run of which no record is kept.
    Orphan { name: String, root: Text },
}

impl Daemon {
    /// Replaces markers by the services they belong to, and says what the service can do about it.
    pub(crate) fn name_holders(&self, key: &Key, obstacle: &mut Obstacle) {
        let mut ours = None;
        for holder in &mut obstacle.holders {
            let Some(marker) = holder.service.take() else { continue };
            let Some(found) = self.owner_of(&marker, holder) else { continue };
            let (Ours::Service { name, root } | Ours::Orphan { name, root }) = &found;
            holder.service = Some(format!("{name} of {}", root.to_string_lossy()));
            holder.owner = Owner::Managed;
            ours.get_or_insert((found, holder.pid));
        }
        if obstacle.external.is_some() || obstacle.hint.is_some() || obstacle.holders.is_empty() {
            return;
        }
        let service = &key.service;
        let elsewhere = format!("pipctl start {service} --port auto   (leaves that one alone)");
        let mut choices = match (ours, obstacle.holders.first()) {
            (Some((Ours::Service { name, root }, _)), _) => {
                let own = self.workspaces.get(&key.workspace).is_some_and(|workspace| workspace.root == root);
                let root = root.to_string_lossy();
                let folder = if own { String::new() } else { format!(" -w {}", shell_word(&root)) };
                obstacle.detail = format!("{}; it is `{name}` of {root}", obstacle.detail);
                vec![
                    format!("pipctl stop {name}{folder}   (then this one starts by itself)"),
                    format!("pipctl start {service} --takeover   (stops that one and starts this one)"),
                ]
            }
            // It may hold somebody's work, so it is named and left to a person; to stop the service would not reach it.
            (Some((Ours::Orphan { name, root }, pid)), _) => {
                let root = root.to_string_lossy();
                obstacle.detail = format!(
                    "{}; it is left over from `{name}` of {root}, its records are gone",
                    obstacle.detail
                );
                let pid = pid.unwrap_or_default();
                vec![
                    format!("kill {pid}   (it ends what runs in it; then this one starts by itself)"),
                    format!("pipctl start {service} --takeover   (the same in one step)"),
                ]
            }
            (None, Some(HolderView { pid: Some(pid), .. })) => vec![
                format!("kill {pid}   (then this one starts by itself)"),
                format!("pipctl start {service} --takeover={pid}   (the same in one step)"),
            ],
            (None, holder) => {
                let port = holder.and_then(port_of).or(self.service(key).and_then(|service| service.port));
                vec![format!("{}   (says which process that is)", who_listens(port.unwrap_or_default()))]
            }
        };
        if !self.service(key).is_some_and(|service| matches!(service.wanted_port(), Some(PortSpec::Auto(_))))
        {
            choices.push(elsewhere);
        }
        obstacle.hint = choices.first().cloned();
        obstacle.choices = choices;
    }

    /// What of ours a process with this marker is; `None` for one that was merely started from a run of ours.
    pub(crate) fn owner_of(&self, marker: &str, holder: &HolderView) -> Option<Ours> {
        self.workspaces.values().find_map(|workspace| {
            let rest = marker.strip_prefix(&*workspace.id)?.strip_prefix('.')?;
            let name = rest.split('.').next()?.to_owned();
            let root = workspace.root.clone();
            let live = workspace.service(&name).and_then(|service| service.live.as_ref());
            match live {
                Some(live) if live.marker == marker => {
                    // What a person starts in a terminal of JupyterLab carries its marker too.
                    (live.port.is_some() && live.port == port_of(holder))
                        .then_some(Ours::Service { name, root })
                }
                Some(_) | None => Some(Ours::Orphan { name, root }),
            }
        })
    }
}

fn port_of(holder: &HolderView) -> Option<u16> {
    holder.address.parse::<std::net::SocketAddr>().ok().map(|address| address.port())
}

/// The command that shows another user's listener.
fn who_listens(port: u16) -> String {
    if cfg!(target_os = "macos") {
        format!("sudo lsof -nP -iTCP:{port} -sTCP:LISTEN")
    } else {
        format!("sudo ss -ltnp 'sport = :{port}'")
    }
}

/// A path as one word of a shell.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_words_a_shell_takes() {
        assert_eq!(shell_word("/home/me/x-1"), "/home/me/x-1");
        assert_eq!(shell_word("/home/me/it's mine"), r"'/home/me/it'\''s mine'");
    }
}
