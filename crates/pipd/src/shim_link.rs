//! The connection to a shim: orders out, reports in. Its end is how the daemon learns of the shim's death.

use std::os::unix::net::UnixStream as StdStream;

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

/// Begins to listen to a shim. The orders sent are written in their order; the task ends with the connection.
pub(crate) fn link(
    stream: StdStream,
    key: Key,
    run: RunId,
    inputs: Inputs,
) -> std::io::Result<(mpsc::UnboundedSender<Order>, AbortHandle)> {
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    let (orders, queue) = mpsc::unbounded_channel();
    let task = tokio::task::spawn_local(async move {
        converse(stream, queue, &key, run, &inputs).await;
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
) {
    let (read, mut write) = stream.into_split();
    let mut lines = FramedRead::new(read, LinesCodec::new_with_max_length(MAX_LINE));
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(Ok(line)) => match serde_json::from_str::<Report>(&line) {
                    Ok(report) => drop(inputs.send(Input::Shim { key: key.clone(), run, report })),
                    Err(error) => warn!(%key, %error, line, "a shim says what makes no sense"),
                },
                Some(Err(error)) => {
                    warn!(%key, %error, "the connection to a shim failed");
                    return;
                }
                None => return,
            },
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
