//! A JupyterLab from within: its kernels, its terminals, and what its end would cost.
//!
//! It is asked with its own token, never so that it takes the question for somebody's work, and only while somebody
//! wants to know. No answer is an answer, too: what does not say that it is idle counts as busy.

mod api;
pub(crate) mod deaths;
pub(crate) mod processes;
pub(crate) mod server;

use std::time::Duration;

use wire::{JupyterView, KernelView};

use crate::clock::wall_ms;
use crate::input::Key;

pub(crate) use processes::Processes;

/// Between two cells that run one after the other a kernel is idle for a moment: one that was at work so shortly ago
/// is looked at again after the same time.
const BREATH: Duration = Duration::from_millis(300);

/// A running JupyterLab and how to ask it.
#[derive(Clone, Debug)]
pub(crate) struct Lab {
    pub(crate) key: Key,
    /// Its process.
    pub(crate) main: Option<i32>,
    pub(crate) port: u16,
    pub(crate) token: String,
    pub(crate) scope: run::tree::Scope,
}

/// What a JupyterLab says, put together with what its processes show.
pub(crate) fn view(heard: Result<Vec<KernelView>, String>, found: &Processes, at_ms: i64) -> JupyterView {
    let (mut kernels, silent) = match heard {
        Ok(kernels) => (kernels, None),
        // Its processes are there all the same.
        Err(why) => {
            let unknown =
                |id: &String| KernelView { id: id.clone(), state: "unknown".into(), ..KernelView::default() };
            (found.kernels.keys().map(unknown).collect(), Some(why))
        }
    };
    for kernel in &mut kernels {
        let process = found.kernels.get(&kernel.id);
        kernel.pid = process.map(|process| process.pid);
        kernel.memory_bytes = process.map(|process| process.memory);
    }
    kernels.sort_by(|one, other| {
        let order = |kernel: &KernelView| (!at_work(kernel), kernel.notebook.is_none());
        order(one)
            .cmp(&order(other))
            .then_with(|| one.notebook.cmp(&other.notebook))
            .then_with(|| one.id.cmp(&other.id))
    });
    JupyterView { at_ms, silent, kernels, terminals: found.terminals.clone(), killed: Vec::new() }
}

/// Asks it what its kernels do.
pub(crate) async fn ask(lab: &Lab) -> Result<Vec<KernelView>, String> {
    api::kernels(lab).await
}

/// Whether the end of a kernel would lose work. A state that is not known counts.
fn at_work(kernel: &KernelView) -> bool {
    !matches!(
        kernel.state.as_str(),
        "idle" | "starting" | "restarting" | "autorestarting" | "terminating" | "dead"
    )
}

/// What would be lost, one line each; nothing when nothing works.
pub(crate) async fn would_lose(lab: &Lab) -> Vec<String> {
    let scope = lab.scope.clone();
    // The processes are looked at while JupyterLab thinks.
    let look = crate::tasks::blocking(move || processes::look(&scope));
    let mut heard = ask(lab).await;
    let now = wall_ms();
    if let Ok(kernels) = &heard
        && kernels.iter().any(|kernel| !at_work(kernel) && was_at_work(kernel, now))
    {
        tokio::time::sleep(BREATH).await;
        heard = ask(lab).await;
    }
    let found = look.await.unwrap_or_default();
    losses(&view(heard, &found, now))
}

fn was_at_work(kernel: &KernelView, now_ms: i64) -> bool {
    kernel.last_activity_ms.is_some_and(|at| now_ms.saturating_sub(at) < BREATH.as_millis() as i64)
}

fn losses(view: &JupyterView) -> Vec<String> {
    let mut lost: Vec<String> = match &view.silent {
        Some(why) => vec![format!("{why}; its kernels may be working")],
        None => view
            .kernels
            .iter()
            .filter(|kernel| at_work(kernel))
            .map(|kernel| match &kernel.notebook {
                Some(notebook) => format!("kernel of {notebook} is {} ({})", kernel.state, kernel.name),
                None => format!("kernel {} is {} ({})", kernel.id, kernel.state, kernel.name),
            })
            .collect(),
    };
    let terminals = view.terminals.iter();
    lost.extend(terminals.map(|one| format!("a terminal runs: {} (pid {})", one.command, one.pid)));
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::TerminalView;

    fn kernel(id: &str, notebook: Option<&str>, state: &str) -> KernelView {
        KernelView {
            id: id.into(),
            name: "python3".into(),
            notebook: notebook.map(str::to_owned),
            state: state.into(),
            ..KernelView::default()
        }
    }

    #[test]
    fn what_does_not_say_that_it_rests_counts_as_busy() {
        for state in ["idle", "starting", "restarting", "dead"] {
            assert!(!at_work(&kernel("1", None, state)), "{state}");
        }
        for state in ["busy", "unknown", "", "of a newer release"] {
            assert!(at_work(&kernel("1", None, state)), "{state}");
        }
    }

    #[test]
    fn losses_name_notebooks_terminals_and_silence() {
        let mut found = Processes::default();
        found.terminals.push(TerminalView { pid: 7, command: "vim".into() });
        let kernels = vec![
            kernel("1", Some("b.ipynb"), "idle"),
            kernel("2", Some("a.ipynb"), "busy"),
            kernel("3", None, "busy"),
        ];
        let view = view(Ok(kernels), &found, 5);
        assert_eq!(view.kernels.iter().map(|kernel| &*kernel.id).collect::<Vec<_>>(), ["2", "3", "1"]);
        assert_eq!(
            losses(&view),
            [
                "kernel of a.ipynb is busy (python3)",
                "kernel 3 is busy (python3)",
                "a terminal runs: vim (pid 7)"
            ]
        );
        found.kernels.insert("4".into(), processes::KernelProcess { pid: 9, memory: 1 << 20 });
        let silent = super::view(Err("JupyterLab did not answer within 1 s".into()), &found, 5);
        assert_eq!((&*silent.kernels[0].state, silent.kernels[0].pid), ("unknown", Some(9)));
        assert_eq!(
            losses(&silent),
            [
                "JupyterLab did not answer within 1 s; its kernels may be working",
                "a terminal runs: vim (pid 7)"
            ]
        );
    }

    #[test]
    fn a_pause_between_two_cells_is_no_rest() {
        let mut kernel = kernel("1", None, "idle");
        assert!(!was_at_work(&kernel, 10_000));
        kernel.last_activity_ms = Some(9_900);
        assert!(was_at_work(&kernel, 10_000));
        kernel.last_activity_ms = Some(9_000);
        assert!(!was_at_work(&kernel, 10_000));
    }
}
