//! Who has a listening socket open, as people want to know it.

use os::ports::Listener;
use os::process::ProcessInfo;
use wire::HolderView;

use super::origin;
use super::seeker::RunOfOurs;

/// A process that holds the port, or a listener whose process is hidden.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) view: HolderView,
    pub(crate) process: Option<ProcessInfo>,
}

/// Everybody who has one of these sockets open. A run of ours is found by its main process; only for others is every
/// process of the machine looked into.
pub(crate) fn of(listeners: &[Listener], runs: &[RunOfOurs]) -> Vec<Holder> {
    let mains: Vec<i32> = runs.iter().map(|run| run.pid).collect();
    let mut owners = os::ports::holders(listeners, Some(&mains)).unwrap_or_default();
    let owned = |index: usize, owners: &[(i32, usize)]| owners.iter().any(|(_, of)| *of == index);
    if !(0..listeners.len()).all(|index| owned(index, &owners)) {
        owners = os::ports::holders(listeners, None).unwrap_or_default();
    }
    let mut found: Vec<Holder> = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        let mut pids: Vec<i32> =
            owners.iter().filter(|(_, of)| *of == index).map(|(pid, _)| *pid).chain(listener.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        if pids.is_empty() {
            found.push(hidden(listener));
        }
        for pid in pids {
            if !found.iter().any(|known| known.view.pid == Some(pid)) {
                found.push(visible(listener, pid, runs));
            }
        }
    }
    found
}

fn hidden(listener: &Listener) -> Holder {
    let view = HolderView {
        address: listener.addr.to_string(),
        user: listener.uid.map(os::process::user_name),
        ..HolderView::default()
    };
    Holder { view, process: None }
}

fn visible(listener: &Listener, pid: i32, runs: &[RunOfOurs]) -> Holder {
    let process = os::process::info(pid).ok().flatten();
    let marker = runs.iter().find(|run| run.pid == pid).map(|run| run.marker.clone());
    let view = HolderView {
        address: listener.addr.to_string(),
        pid: Some(pid),
        user: process.map(|process| process.uid).or(listener.uid).map(os::process::user_name),
        command: Some(os::process::command_line(pid)),
        cwd: os::process::cwd(pid).ok().map(|path| path.display().to_string()),
        since_ms: process.as_ref().and_then(os::process::started_ms),
        // The marker; the loop knows which service it is.
        service: marker.or_else(|| {
            os::process::environ_value(pid, run::record::MARKER)
                .ok()
                .flatten()
                .map(|marker| marker.to_string_lossy().into_owned())
        }),
        from: process.as_ref().and_then(origin::of),
        ..HolderView::default()
    };
    Holder { view, process }
}

/// "pid 42 (python -m http.server), user me, in /home/me/x".
pub(crate) fn sentence(holder: &HolderView) -> String {
    let mut text = match (holder.pid, &holder.command) {
        (Some(pid), Some(command)) => format!("pid {pid} ({command})"),
        (Some(pid), None) => format!("pid {pid}"),
        (None, _) => "a process whose pid is not visible from here".to_owned(),
    };
    if let Some(user) = &holder.user {
        text.push_str(&format!(", user {user}"));
    }
    if let Some(cwd) = &holder.cwd {
        text.push_str(&format!(", in {cwd}"));
    }
    if let Some(from) = &holder.from {
        text.push_str(&format!(", started from {from}"));
    }
    text
}
