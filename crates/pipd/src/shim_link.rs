//! The connection to a shim: orders out, reports in. Its end is how the daemon learns of the shim's death.

use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use lifecycle::RunId;
use run::protocol::{Order, Report};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::codec::{FramedRead, LinesCodec};
use tracing::warn;

use crate::input::{Input, Inputs, Key};

/// Longest line of a shim, in bytes; an exit record with a hundred swept command lines fits.
const MAX_LINE: usize = 256 << 10;

/// How long a shim that has lived before may take to greet.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins to listen to a shim. One that was there before is to greet soon, or whoever holds the lock `silent` is
/// ended, so that another one can take over. The orders sent are written in their order; the task ends with the connection.
pub(crate) fn link(
    stream: StdStream,
    key: Key,
    run: RunId,
    inputs: Inputs,
    silent: Option<PathBuf>,
) -> std::io::Result<(mpsc::UnboundedSender<Order>, AbortHandle)> {
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let (orders, queue) = mpsc::unbounded_channel();
    let task = crate::tasks::spawn(async move {
        converse(stream, queue, &key, run, &inputs, silent).await;
        let _ = inputs.send(Input::ShimGone { key, run });
    });
    Ok((orders, task.abort_handle()))
}

async fn converse(
    stream: UnixStream,
    mut queue: mpsc::UnboundedReceiver<Order>,
    key: &Key,
    run: RunId,
    inputs: &Inputs,
    mut silent: Option<PathBuf>,
) {
    let (read, mut write) = stream.into_split();
    let mut lines = FramedRead::new(read, LinesCodec::new_with_max_length(MAX_LINE));
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            biased;
            line = lines.next() => match line {
                Some(Ok(line)) => { silent = None; match serde_json::from_slice::<Report>(line.as_bytes()) {
                    Ok(report) => drop(inputs.send(Input::Shim { key: key.clone(), run, report })),
                    Err(error) => warn!(%key, %error, line, "a shim says what makes no sense"),
                } },
                Some(Err(error)) => {
                    warn!(%key, %error, "the connection to a shim failed");
                    return;
                }
                None => return,
            },
            () = &mut patience, if silent.is_some() => {
                warn!(%key, run = run.0, "its shim says nothing and is replaced");
                if let Some(lock) = silent.take() {
                    let _ = crate::tasks::blocking(move || kill_owner(&lock)).await;
                }
                return;
            }
            order = queue.recv() => {
                let Some(order) = order else { return };
                let Ok(mut line) = serde_json::to_vec(&order) else { continue };
                line.push(b'\n');
                if write.write_all(&line).await.is_err() {
                    // What it said last is still to be read; the end comes by itself.
                    continue;
                }
            }
        }
    }
}

/// The shim that holds this lock is ended; whoever looks next replaces it.
pub(crate) fn kill_owner(lock: &Path) {
    let held = os::lock::is_held(lock).unwrap_or(false);
    if let Some(owner) = os::lock::owner(lock).filter(|_| held)
        && let Err(error) = owner.signal(nix::sys::signal::Signal::SIGKILL)
    {
        warn!(lock = %lock.display(), %error, "an unreachable shim cannot be ended");
    }
}
