//! What runs beside the loop. Whatever it is, the runtime sees one kind of task and one kind of work: else all that it
//! does with a task would be in this program once for each, some ninety times.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Has a future run in the loop's own thread.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> JoinHandle<()> {
    let future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    tokio::task::spawn_local(future)
}

/// Has work that can block done by a helper thread, to its end, also when nobody waits for what comes of it. There is
/// no answer only when the daemon ended before the work began.
pub(crate) fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    let work: Box<dyn FnOnce() + Send> = Box::new(move || {
        let _ = sender.send(work());
    });
    tokio::task::spawn_blocking(work);
    receiver
}
