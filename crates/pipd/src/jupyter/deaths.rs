//! Kernels that are killed. JupyterLab starts them anew and says little; who lost an hour's variables wants to know why.
//!
//! Kernels are found among the children of JupyterLab at each slow look, and watched from then on. One that was
//! started and killed between two looks is missed.

use std::collections::HashSet;
use std::time::Duration;

use lifecycle::RunId;
use os::process::ProcessIdentity;
use os::wait::{Ended, ExitWatch};
use wire::{ExitCause, KernelEnd};

use super::processes::kernel_id;
use crate::clock::wall_ms;
use crate::daemon::Daemon;
use crate::input::{Input, Inputs, Key};

/// Ends that are kept of a run.
const MAX_KEPT: usize = 8;
/// For so long a kernel that was killed for lack of memory is a warning.
const WARNED_FOR_MS: i64 = 3_600_000;
/// How long JupyterLab may take to notice that a kernel is gone: then its exit status is known.
const REAPED_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// What is known of the kernels of a run.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    /// Processes that are watched, or were looked at and are none.
    known: HashSet<i32>,
    pub(crate) killed: Vec<KernelEnd>,
}

impl Daemon {
    /// Watches the kernels that have come since the last look.
    pub(crate) fn watch_kernels(&mut self, key: &Key) {
        let Some(lab) = self.lab(key) else { return };
        let Some(main) = lab.main else { return };
        let inputs = self.inputs.clone();
        let Some(live) = self.service_mut(key).and_then(|service| service.live.as_mut()) else { return };
        let Ok(Some(children)) = os::process::children(main) else { return };
        let deaths = &mut live.deaths;
        deaths.known.retain(|pid| children.contains(pid));
        for pid in children {
            if !deaths.known.insert(pid) {
                continue;
            }
            let words = os::process::command(pid);
            match words.as_deref().map(kernel_id) {
                Some(Some(id)) => {
                    if let Ok(Some(process)) = ProcessIdentity::of(pid) {
                        crate::tasks::spawn(await_end(key.clone(), live.run, id, process, inputs.clone()));
                    }
                }
                Some(None) => {}
                // Not yet the program it is to be.
                None => drop(deaths.known.remove(&pid)),
            }
        }
    }

    /// A kernel was ended by a signal.
    pub(crate) fn on_kernel_end(&mut self, key: &Key, run: RunId, mut end: KernelEnd) {
        let Some(service) = self.service_mut(key).filter(|service| service.is_live(run)) else { return };
        // It ends with its JupyterLab: no news.
        if matches!(service.core.phase(), lifecycle::Phase::Stopping { .. }) {
            return;
        }
        let Some(live) = service.live.as_mut() else { return };
        end.notebook = live.jupyter.as_ref().and_then(|view| {
            view.kernels.iter().find(|kernel| kernel.id == end.id).and_then(|kernel| kernel.notebook.clone())
        });
        if live.deaths.killed.len() == MAX_KEPT {
            live.deaths.killed.remove(0);
        }
        live.deaths.killed.push(end.clone());
        if let Some(view) = &mut live.jupyter {
            view.killed.clone_from(&live.deaths.killed);
        }
        tracing::info!(%key, kernel = end.id, pid = end.pid, cause = %end.cause, out_of_memory = ?end.out_of_memory, "a kernel was killed");
        self.touch();
    }
}

/// Waits for the end of a kernel, and tells when it was a signal that ended it.
async fn await_end(key: Key, run: RunId, id: String, process: ProcessIdentity, inputs: Inputs) {
    let kills = os::memory::Kills::of(process.pid);
    let Ok(Some(status)) = ExitWatch::new(&process) else { return };
    let Ok(Some(end)) = crate::members::watch(&process) else { return };
    if end.readable().await.is_err() {
        return;
    }
    let at_ms = wall_ms();
    let reaped = async {
        loop {
            match status.exit_code() {
                Some(ended) => return ended,
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    };
    // Where the system tells no stranger how a process ended there is nothing to say: most kernels just end.
    let Ok(Ended::Signal { signal, .. }) = tokio::time::timeout(REAPED_WITHIN, reaped).await else { return };
    const KILL: i32 = 9;
    let out_of_memory =
        if signal == KILL { kills.as_ref().and_then(os::memory::Kills::happened) } else { Some(false) };
    let end = KernelEnd {
        id,
        notebook: None,
        pid: process.pid,
        at_ms,
        cause: ExitCause::Signal(signal),
        out_of_memory,
    };
    let _ = inputs.send(Input::KernelEnded { key, run, end: Box::new(end) });
}

/// What a person should know of kernels that were killed. A kill that JupyterLab or a person asked for looks the same as any
/// other, so only what the system did for lack of memory is a warning, and what it does not tell apart.
pub(crate) fn warnings(killed: &[KernelEnd], now_ms: i64) -> Vec<String> {
    const KILL: ExitCause = ExitCause::Signal(9);
    let recent = killed.iter().filter(|end| now_ms.saturating_sub(end.at_ms) < WARNED_FOR_MS);
    recent
        .filter_map(|end| {
            let name = end.notebook.as_deref().unwrap_or(&end.id);
            let pid = end.pid;
            match end.out_of_memory {
                Some(true) => Some(format!(
                    "the system killed the kernel of {name} (pid {pid}) for lack of memory; its variables are gone"
                )),
                None if end.cause == KILL => Some(format!(
                    "the kernel of {name} (pid {pid}) was killed by signal 9; whether for lack of memory is not known"
                )),
                None | Some(false) => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_killed_for_memory_is_a_warning_and_not_for_ever() {
        let end = |out_of_memory, at_ms, signal| KernelEnd {
            id: "5eed".into(),
            notebook: Some("a.ipynb".into()),
            pid: 7,
            at_ms,
            cause: ExitCause::Signal(signal),
            out_of_memory,
        };
        let now = 10 * WARNED_FOR_MS;
        let said = |end: KernelEnd| warnings(&[end], now);
        assert_eq!(
            said(end(Some(true), now - 5, 9)),
            ["the system killed the kernel of a.ipynb (pid 7) for lack of memory; its variables are gone"]
        );
        assert!(said(end(None, now - 5, 9))[0].ends_with("is not known"));
        assert!(said(end(Some(false), now - 5, 9)).is_empty());
        assert!(said(end(None, now - 5, 15)).is_empty());
        assert!(said(end(Some(true), now - WARNED_FOR_MS, 9)).is_empty());
    }
}
