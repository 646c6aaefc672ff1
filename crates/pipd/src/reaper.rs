//! Reaps what ends as a child of the daemon: shims, and what they leave when they die.
//!
//! Nothing else in this program waits for a process, so asking "who ended" steals from nobody.

use nix::errno::Errno;
use tokio::signal::unix::{SignalKind, signal};
use wire::ExitCause;

use crate::input::{Input, Inputs};

/// Runs for the daemon's life.
///
/// # Errors
/// When the signal cannot be listened for.
pub(crate) fn begin(inputs: Inputs) -> std::io::Result<()> {
    let mut children = signal(SignalKind::child())?;
    crate::tasks::spawn(async move {
        loop {
            reap_all(&inputs);
            if children.recv().await.is_none() {
                return;
            }
        }
    });
    Ok(())
}

fn reap_all(inputs: &Inputs) {
    loop {
        let pid = match os::wait::any_exited() {
            Ok(Some(pid)) => pid,
            Ok(None) => return,
            Err(error) if error.raw_os_error() == Some(Errno::ECHILD as i32) => return,
            Err(error) => return tracing::error!(%error, "children cannot be waited for"),
        };
        match os::wait::reap(pid) {
            Ok(Some((ended, _))) => {
                let cause = match ended {
                    os::wait::Ended::Code(code) => ExitCause::Code(code),
                    os::wait::Ended::Signal { signal, .. } => ExitCause::Signal(signal),
                };
                let _ = inputs.send(Input::Reaped { pid, cause });
            }
            Ok(None) => {}
            Err(error) => return tracing::error!(pid, %error, "a child cannot be reaped"),
        }
    }
}
