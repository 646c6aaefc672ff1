//! The clients: who may connect, what they may say, and how they are answered.
//!
//! Readers are answered from the snapshot and never wake the loop; whatever changes the world goes through it.
//! No client can make another wait.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use interprocess::local_socket::tokio::{Listener, Stream};
use interprocess::local_socket::traits::StreamCommon as _;
use interprocess::local_socket::traits::tokio::Listener as _;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tracing::{debug, warn};
use wire::{ErrorObject, Frame, HelloAnswer, PROTOCOL, Request, Snapshot, StatusParams, WorkspaceView, code};

use crate::daemon::Shared;
use crate::input::Input;
use crate::published::Published;
use crate::{places, port};

/// Connections served at one time.
const MAX_CLIENTS: usize = 1_024;
/// Requests of one connection that may wait for their answer at one time.
const MAX_WAITING: usize = 64;
/// How long a client may take to say `hello`, and to take an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Accepts for the daemon's life.
pub(crate) async fn serve(listener: Listener, daemon: Shared) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let mut complained = false;
    let mut reserve = Reserve::new();
    loop {
        let accepted = listener.accept().await;
        let stream = match accepted.and_then(|stream| os::failpoint!("daemon.accept").map(|()| stream)) {
            Ok(stream) => {
                complained = false;
                stream
            }
            Err(error) if reserve.is_there() => {
                if !std::mem::replace(&mut complained, true) {
                    warn!(%error, "connections cannot be accepted; clients are answered one at a time");
                }
                reserve.spend(&listener, &daemon).await;
                continue;
            }
            Err(error) => {
                // Out of descriptors, most likely: waiting is better than spinning, and it is said once.
                if !std::mem::replace(&mut complained, true) {
                    warn!(%error, "connections cannot be accepted");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                reserve = Reserve::new();
                continue;
            }
        };
        if !is_ours(&stream) {
            continue;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            debug!("too many clients; one is turned away");
            continue;
        };
        let daemon = Rc::clone(&daemon);
        crate::tasks::spawn(async move {
            converse(stream, &daemon).await;
            drop(place);
        });
    }
}

/// One descriptor, kept so that somebody can be answered when there is none left.
struct Reserve(Option<std::fs::File>);

impl Reserve {
    /// How long one who is answered this way may keep the others waiting.
    const PATIENCE: Duration = Duration::from_secs(1);

    fn new() -> Self {
        Self(std::fs::File::open("/dev/null").ok())
    }

    fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Gives it up for one client, and takes it back.
    async fn spend(&mut self, listener: &Listener, daemon: &Shared) {
        self.0 = None;
        let talk = async {
            let stream = listener.accept().await.ok().filter(is_ours)?;
            converse(stream, daemon).await;
            Some(())
        };
        if let Ok(None) = tokio::time::timeout(Self::PATIENCE, talk).await {
            // Somebody else of us took it, or a stranger came: not to be tried all the time.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        *self = Self::new();
    }
}

/// Only this user's processes may say anything; root is another user too.
fn is_ours(stream: &Stream) -> bool {
    let peer = stream.peer_creds().ok().and_then(|peer| peer.euid());
    let ours = nix::unistd::geteuid().as_raw();
    if peer == Some(ours) {
        return true;
    }
    warn!(?peer, "a connection of another user is refused");
    false
}

async fn converse(stream: Stream, daemon: &Shared) {
    let stream = Arc::new(stream);
    let writing = Arc::clone(&stream);
    let (answers, mut queue) = mpsc::channel::<Vec<u8>>(MAX_WAITING);
    // One writer, so that answers and notifications never mix. A client that does not read is left.
    let mut writer = crate::tasks::spawn(async move {
        while let Some(line) = queue.recv().await {
            match tokio::time::timeout(PATIENCE, (&*writing).write_all(&line)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    });
    let mut lines = FramedRead::new(&*stream, LinesCodec::new_with_max_length(wire::MAX_LINE_BYTES));
    let mut greeted = false;
    let places = Arc::new(Semaphore::new(MAX_WAITING));
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            // It does not take what it asked for: it is left, and with it everything that was to be told.
            _ = &mut writer => break,
            () = tokio::time::sleep(PATIENCE), if !greeted => break,
        };
        let frame = match line {
            Some(Ok(line)) => wire::decode(line.as_bytes()),
            None => break,
            Some(Err(error)) => {
                let error = match error {
                    LinesCodecError::MaxLineLengthExceeded => ErrorObject::new(
                        code::TOO_LONG,
                        format!("a line may have {} bytes", wire::MAX_LINE_BYTES),
                    ),
                    LinesCodecError::Io(error) => ErrorObject::new(code::PARSE, error.to_string()),
                };
                send(&answers, wire::error_line(&Value::Null, &error)).await;
                break;
            }
        };
        match frame {
            Ok(Frame::Request(frame)) => {
                if let Request::Hello(hello) = &frame.request {
                    greeted = true;
                    let answer = greet(daemon, hello);
                    let refused = answer.is_err();
                    respond(&answers, &frame.id, answer).await;
                    if refused {
                        break;
                    }
                } else if greeted {
                    match Arc::clone(&places).try_acquire_owned() {
                        Ok(place) => take(daemon, &answers, frame.id, frame.request, place).await,
                        Err(_) => {
                            let error = format!(
                                "{MAX_WAITING} requests of this connection wait already; take their answers first"
                            );
                            let error = ErrorObject::new(code::INVALID_REQUEST, error);
                            send(&answers, wire::error_line(&frame.id, &error)).await;
                        }
                    }
                } else {
                    let error = ErrorObject::new(code::INVALID_REQUEST, "the first request must be `hello`");
                    send(&answers, wire::error_line(&frame.id, &error)).await;
                    break;
                }
            }
            Ok(Frame::Notification(_) | Frame::Response(_)) => {}
            Err(error) => {
                send(&answers, wire::error_line(&error.id, &error.error)).await;
                if !greeted {
                    break;
                }
            }
        }
        if writer.is_finished() {
            break;
        }
    }
    drop(answers);
    // What was answered is still delivered, to a client that listens.
    if !writer.is_finished() {
        let _ = tokio::time::timeout(PATIENCE, writer).await;
    }
}

fn greet(daemon: &Shared, hello: &wire::Hello) -> Result<HelloAnswer, ErrorObject> {
    let protocol = PROTOCOL.max.min(hello.protocol.max);
    if protocol < PROTOCOL.min || protocol < hello.protocol.min {
        return Err(ErrorObject::new(
            code::VERSION,
            format!(
                "this pipd {} speaks protocol {} to {}, the client {} to {}; type: pipctl daemon restart",
                env!("CARGO_PKG_VERSION"),
                PROTOCOL.min,
                PROTOCOL.max,
                hello.protocol.min,
                hello.protocol.max
            ),
        ));
    }
    Ok(HelloAnswer { protocol, daemon: daemon.borrow().info.clone() })
}

/// Answers a reader at once; hands everything else to the loop and goes on listening. `place` is given back with the
/// answer; a subscription keeps it.
async fn take(
    daemon: &Shared,
    answers: &mpsc::Sender<Vec<u8>>,
    id: Value,
    request: Request,
    place: OwnedSemaphorePermit,
) {
    if !matches!(request, Request::Hello(_) | Request::DaemonStop | Request::DaemonHandover) {
        places::settle(daemon, request.root()).await;
    }
    match request {
        Request::Status(params) => {
            port::refresh(daemon, params.root.as_ref()).await;
            let snapshot = of_interest(daemon, &params);
            respond(answers, &id, Ok(&*snapshot)).await;
        }
        Request::Subscribe(params) => {
            port::refresh(daemon, params.root.as_ref()).await;
            let mut changes = daemon.borrow().changes();
            changes.mark_unchanged();
            respond(answers, &id, Ok(&*of_interest(daemon, &params))).await;
            if params.details {
                crate::details::watch(daemon, answers.downgrade());
            }
            let (daemon, answers) = (Rc::clone(daemon), answers.downgrade());
            let fresh = port::keep_fresh(Rc::clone(&daemon), params.root.clone());
            let fresh = crate::tasks::spawn(fresh).abort_handle();
            crate::tasks::spawn(async move {
                let _place = place;
                let _fresh = OnDrop(fresh);
                while changes.changed().await.is_ok() {
                    let begun = Instant::now();
                    let line = wire::notification_line("status.changed", &*of_interest(&daemon, &params));
                    let cost = begun.elapsed();
                    let Some(answers) = answers.upgrade() else { return };
                    if !send(&answers, line).await {
                        return;
                    }
                    drop(answers);
                    // A burst of changes is one piece of news, and news never takes a twentieth of the daemon's time.
                    tokio::time::sleep(Duration::from_millis(20).max(cost * 20)).await;
                }
            });
        }
        Request::Details(params) => {
            let (daemon, answers) = (Rc::clone(daemon), answers.clone());
            crate::tasks::spawn(async move {
                let _place = place;
                let answer = crate::details::answer(&daemon, &params).await;
                respond(&answers, &id, Ok(answer)).await;
            });
        }
        Request::Why(params) => {
            let (daemon, answers) = (Rc::clone(daemon), answers.clone());
            crate::tasks::spawn(async move {
                let _place = place;
                let answer = crate::timeline::why(&daemon, &params).await;
                respond(&answers, &id, answer).await;
            });
        }
        request @ (Request::Hello(_)
        | Request::Start(_)
        | Request::Stop(_)
        | Request::Restart(_)
        | Request::Capture(_)
        | Request::Adopt(_)
        | Request::Forget(_)
        | Request::DaemonStop
        | Request::DaemonHandover) => {
            let (reply, answer) = oneshot::channel();
            let inputs = daemon.borrow().inputs.clone();
            let _ = inputs.send(Input::Request { request: Box::new(request), reply });
            let answers = answers.clone();
            crate::tasks::spawn(async move {
                let _place = place;
                let answer = answer.await.unwrap_or_else(|_| {
                    Err(ErrorObject::new(code::GOING_AWAY, "pipd is going away; type it again"))
                });
                respond(&answers, &id, answer).await;
            });
        }
    }
}

/// Ends a task together with whom it is for.
struct OnDrop(tokio::task::AbortHandle);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The snapshot, or the part of it that was asked for.
fn of_interest(daemon: &Shared, params: &StatusParams) -> Rc<Published> {
    let published = daemon.borrow_mut().snapshot();
    let whole = published.snapshot();
    let is_it = |workspace: &WorkspaceView| params.root.is_none() || workspace.root == params.root;
    // Most users have one workspace: nothing is copied for them.
    if whole.workspaces.iter().all(is_it) {
        return published;
    }
    Rc::new(Published::new(Snapshot {
        generation: whole.generation,
        at_ms: whole.at_ms,
        warnings: whole.warnings.clone(),
        workspaces: whole.workspaces.iter().filter(|workspace| is_it(workspace)).cloned().collect(),
    }))
}

async fn respond<T: serde::Serialize>(
    answers: &mpsc::Sender<Vec<u8>>,
    id: &Value,
    answer: Result<T, ErrorObject>,
) {
    let line = match answer {
        Ok(result) => wire::response_line(id, &result),
        Err(error) => wire::error_line(id, &error),
    };
    send(answers, line).await;
}

/// Whether there is still somebody to take it.
async fn send(answers: &mpsc::Sender<Vec<u8>>, line: Result<Vec<u8>, serde_json::Error>) -> bool {
    match line {
        // A closed queue means that the client does not read; it is left with its connection.
        Ok(line) => answers.send(line).await.is_ok(),
        Err(error) => {
            warn!(%error, "an answer could not be written as JSON");
            true
        }
    }
}
