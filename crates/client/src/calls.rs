//! Requests and their answers over one connection.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use interprocess::local_socket::Stream;
use run::layout::HostDir;
use wire::{
    CaptureParams, DaemonInfo, DetailsAnswer, DetailsParams, ErrorObject, ForgetAnswer, ForgetParams, Frame,
    Hello, HelloAnswer, PROTOCOL, Request, ResponseFrame, Snapshot, StartParams, StatusParams, StopParams,
    Text, VerbAnswer, WhyAnswer, WhyParams, code,
};

use crate::changes::{Changes, snapshot_of};
use crate::lines::{Lines, Received};
use crate::{ANSWER_TIMEOUT, CallError, ConnectError, Locations, StartDaemon, StartError, connect, start};

/// Notifications kept for [`Client::changes`] while another call waits. Snapshots are whole, so the oldest
/// may go.
const MAX_KEPT: usize = 16;

/// A connection to the daemon. One call at a time.
#[derive(Debug)]
pub struct Client {
    pub(crate) lines: Lines,
    next_id: u64,
    daemon: DaemonInfo,
    protocol: u32,
    host: HostDir,
    /// Changes that came while another call waited.
    pub(crate) kept: VecDeque<Snapshot>,
}

/// Who is told while a `start`, `stop` or `restart` waits.
pub trait Progress {
    /// How often [`Progress::tick`] is called; never when `None`.
    fn interval(&self) -> Option<Duration> {
        None
    }

    /// Time has passed.
    fn tick(&mut self) {}

    /// Something changed. Only after [`Client::subscribe`].
    fn changed(&mut self, snapshot: &Snapshot);
}

/// Nobody is told.
impl Progress for () {
    fn changed(&mut self, _: &Snapshot) {}
}

impl Client {
    /// Connects to the daemon that runs. Starts nothing, changes nothing.
    ///
    /// # Errors
    /// [`ConnectError::NotRunning`] when there is none; within about two seconds something else when there is
    /// one that cannot be used.
    pub fn connect(locations: &Locations) -> Result<Self, ConnectError> {
        Self::connect_asking(locations, None)
    }

    /// [`Client::connect`] and [`Client::status`] in one round trip, for whoever asks often and wants no more.
    ///
    /// # Errors
    /// The outer one as [`Client::connect`], the inner one as [`Client::status`].
    pub fn connect_for_status(
        locations: &Locations,
        root: Option<&Path>,
    ) -> Result<(Self, Result<Snapshot, CallError>), ConnectError> {
        let request = Request::Status(of(root));
        let mut client = Self::connect_asking(locations, Some(&request))?;
        let snapshot = client.answer(client.next_id, Some(ANSWER_TIMEOUT), &mut ());
        Ok((client, snapshot))
    }

    /// Connects; `ahead` is sent together with `hello`, its answer is left to the caller.
    fn connect_asking(locations: &Locations, ahead: Option<&Request>) -> Result<Self, ConnectError> {
        let begun = Instant::now();
        loop {
            let (stream, host) = connect::find(locations, ANSWER_TIMEOUT)?;
            match Self::greet(stream, host, ahead) {
                // It was about to go away. Whether another one takes its place shows at the next look.
                Err(ConnectError::Hello { source: CallError::Gone, .. })
                    if begun.elapsed() < ANSWER_TIMEOUT =>
                {
                    std::thread::sleep(Duration::from_millis(1));
                }
                result => return result,
            }
        }
    }

    /// Connects to the daemon that runs, or has one started and connects to that.
    ///
    /// # Errors
    /// When a daemon lives and cannot be used, or none could be started.
    pub fn connect_or_start(locations: &Locations, daemon: StartDaemon<'_>) -> Result<Self, StartError> {
        start::connect_or_start(locations, daemon)
    }

    /// `hello` on a fresh connection, and with it a request whose answer is left to the caller.
    pub(crate) fn greet(
        stream: Stream,
        host: HostDir,
        ahead: Option<&Request>,
    ) -> Result<Self, ConnectError> {
        let mut client = Self {
            lines: Lines::new(stream),
            next_id: 0,
            daemon: DaemonInfo::default(),
            protocol: 0,
            host,
            kept: VecDeque::new(),
        };
        let hello = Request::Hello(Hello {
            protocol: PROTOCOL,
            client: format!("pipd-client {}", env!("CARGO_PKG_VERSION")),
        });
        let answer = client
            .send(std::iter::once(&hello).chain(ahead), ANSWER_TIMEOUT)
            .and_then(|first| client.answer(first, Some(ANSWER_TIMEOUT), &mut ()));
        let HelloAnswer { protocol, daemon } = answer.map_err(|error| client.no_greeting(error))?;
        if !(PROTOCOL.min..=PROTOCOL.max).contains(&protocol) {
            return Err(ConnectError::Version(format!(
                "it speaks protocol {protocol}, this client {} to {}",
                PROTOCOL.min, PROTOCOL.max
            )));
        }
        client.daemon = daemon;
        client.protocol = protocol;
        Ok(client)
    }

    /// What a failed `hello` says about the daemon.
    fn no_greeting(&self, error: CallError) -> ConnectError {
        match error {
            CallError::Timeout(waited) => connect::explain_silence(&self.host, None, waited),
            CallError::Refused(refusal) if refusal.code == code::VERSION => {
                ConnectError::Version(refusal.message)
            }
            source => ConnectError::Hello { socket: self.host.socket(), source },
        }
    }

    /// Who answers.
    pub fn daemon(&self) -> &DaemonInfo {
        &self.daemon
    }

    /// The protocol version both sides speak.
    pub fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The folder this daemon serves from.
    pub fn host_dir(&self) -> &HostDir {
        &self.host
    }

    /// The present state of one workspace, by its canonical root, or of all.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn status(&mut self, root: Option<&Path>) -> Result<Snapshot, CallError> {
        self.call_within(&Request::Status(of(root)), ANSWER_TIMEOUT)
    }

    /// Has the daemon keep this environment for services (all when `services` is empty) until their next start.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn capture(&mut self, params: CaptureParams) -> Result<VerbAnswer, CallError> {
        self.call_within(&Request::Capture(params), ANSWER_TIMEOUT)
    }

    /// As [`Client::status`], and from then on every change: through [`Client::changes`], or to the
    /// [`Progress`] of a call that waits.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn subscribe(&mut self, root: Option<&Path>) -> Result<Snapshot, CallError> {
        self.call_within(&Request::Subscribe(of(root)), ANSWER_TIMEOUT)
    }

    /// As [`Client::subscribe`]; JupyterLabs are asked what their kernels do from time to time, and what changes in
    /// that is a change, too.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn subscribe_with_details(&mut self, root: Option<&Path>) -> Result<Snapshot, CallError> {
        let params = StatusParams { details: true, ..of(root) };
        self.call_within(&Request::Subscribe(params), ANSWER_TIMEOUT)
    }

    /// What is gathered only when somebody asks, of one workspace, by its canonical root, or of all: processes and
    /// what they use, listening addresses, kernels. Takes as long as a JupyterLab takes to answer, a second at most.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::Refused`] by a daemon that is older than this request.
    pub fn details(&mut self, root: Option<&Path>) -> Result<DetailsAnswer, CallError> {
        let params = DetailsParams { root: root.map(Text::from), services: Vec::new() };
        self.call_within(&Request::Details(params), ANSWER_TIMEOUT * 5)
    }

    /// Every change after [`Client::subscribe`], as it comes.
    pub fn changes(&mut self) -> Changes<'_> {
        Changes::of(self)
    }

    /// Wants services up. Returns when each is ready, failed, blocked or out of time.
    ///
    /// # Errors
    /// See [`CallError`]. What became of a service is no error but its outcome.
    pub fn start(
        &mut self,
        params: StartParams,
        progress: &mut dyn Progress,
    ) -> Result<VerbAnswer, CallError> {
        let limit = waiting_limit(params.no_wait, params.timeout_ms);
        self.call(&Request::Start(params), limit, progress)
    }

    /// Stops services and starts them again.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn restart(
        &mut self,
        params: StartParams,
        progress: &mut dyn Progress,
    ) -> Result<VerbAnswer, CallError> {
        let limit = waiting_limit(params.no_wait, params.timeout_ms);
        self.call(&Request::Restart(params), limit, progress)
    }

    /// Has services that somebody started by hand looked after, in place.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn adopt(
        &mut self,
        params: StartParams,
        progress: &mut dyn Progress,
    ) -> Result<VerbAnswer, CallError> {
        let limit = waiting_limit(params.no_wait, params.timeout_ms);
        self.call(&Request::Adopt(params), limit, progress)
    }

    /// Wants services down. Returns when each is, or out of time.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn stop(&mut self, params: StopParams, progress: &mut dyn Progress) -> Result<VerbAnswer, CallError> {
        let limit = waiting_limit(params.no_wait, params.timeout_ms);
        self.call(&Request::Stop(params), limit, progress)
    }

    /// Drops what is kept of a workspace of which nothing runs, logs included; its folder is left as it is.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::Refused`] with [`code::RUNNING`] when something runs.
    pub fn forget(&mut self, root: &Path) -> Result<ForgetAnswer, CallError> {
        self.call_within(&Request::Forget(ForgetParams { root: root.into() }), ANSWER_TIMEOUT * 5)
    }

    /// The timeline of a service.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn why(&mut self, root: &Path, service: &str) -> Result<WhyAnswer, CallError> {
        let params = WhyParams { root: root.into(), service: service.to_owned() };
        self.call_within(&Request::Why(params), ANSWER_TIMEOUT)
    }

    /// Ends the daemon for good; services keep running. Returns when its lock is free.
    ///
    /// # Errors
    /// See [`CallError`]; [`CallError::Timeout`] when it answers and does not end.
    pub fn daemon_stop(self) -> Result<(), CallError> {
        self.farewell(&Request::DaemonStop)
    }

    /// Has the daemon make way for a new one; services keep running. Returns when its lock is free.
    ///
    /// # Errors
    /// As [`Client::daemon_stop`].
    pub fn handover(self) -> Result<(), CallError> {
        self.farewell(&Request::DaemonHandover)
    }

    fn farewell(mut self, request: &Request) -> Result<(), CallError> {
        match self.call_within::<serde_json::Value>(request, ANSWER_TIMEOUT) {
            // It may end so fast that the answer is lost; the lock tells.
            Ok(_) | Err(CallError::Gone) => {}
            Err(error) => return Err(error),
        }
        let (lock, begun) = (self.host.daemon_lock(), Instant::now());
        let mut pause = connect::Pause::new();
        // The lock of a shim-started successor is not this daemon's: its process tells whose it is.
        let still_there = || -> Result<bool, CallError> {
            Ok(os::lock::is_held(&lock).map_err(CallError::Io)?
                && os::lock::owner(&lock).is_none_or(|owner| owner.pid == self.daemon.pid))
        };
        while still_there()? {
            if begun.elapsed() > ANSWER_TIMEOUT {
                return Err(CallError::Timeout(begun.elapsed()));
            }
            pause.wait();
        }
        Ok(())
    }

    fn call_within<T: serde::de::DeserializeOwned>(
        &mut self,
        request: &Request,
        limit: Duration,
    ) -> Result<T, CallError> {
        self.call(request, Some(limit), &mut ())
    }

    fn call<T: serde::de::DeserializeOwned>(
        &mut self,
        request: &Request,
        limit: Option<Duration>,
        progress: &mut dyn Progress,
    ) -> Result<T, CallError> {
        let id = self.send([request], limit.unwrap_or(ANSWER_TIMEOUT).min(ANSWER_TIMEOUT))?;
        self.answer(id, limit, progress)
    }

    /// Sends requests as one piece; returns the id of the first.
    fn send<'a>(
        &mut self,
        requests: impl IntoIterator<Item = &'a Request>,
        timeout: Duration,
    ) -> Result<u64, CallError> {
        let first = self.next_id + 1;
        let mut lines = Vec::new();
        for request in requests {
            self.next_id += 1;
            let line = wire::request_line(self.next_id, request)
                .map_err(|error| CallError::Garbage(error.to_string()))?;
            if line.len() > wire::MAX_LINE_BYTES + 1 {
                return Err(CallError::TooLong(line.len() - 1));
            }
            lines.extend(line);
        }
        self.lines.send(&lines, timeout)?;
        Ok(first)
    }

    /// Waits for the answer to the request with this id.
    fn answer<T: serde::de::DeserializeOwned>(
        &mut self,
        id: u64,
        limit: Option<Duration>,
        progress: &mut dyn Progress,
    ) -> Result<T, CallError> {
        let begun = Instant::now();
        let deadline = limit.and_then(|limit| begun.checked_add(limit));
        let mut next_tick = progress.interval().map(|interval| begun + interval);
        loop {
            let until = match (deadline, next_tick) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            match self.lines.receive(until)? {
                Received::Line(line) => {
                    if let Some(result) = wire::answer_of(&line, id) {
                        return Ok(result);
                    }
                    match self.read(&line)? {
                        Frame::Response(answer) if answer.id == id => {
                            return finish(answer);
                        }
                        // Not to be told from an answer to this request: it could not read which it was.
                        Frame::Response(answer) if answer.id.is_null() => return finish(answer),
                        Frame::Response(_) => {} // a late answer to a call that timed out
                        Frame::Notification(notification) => {
                            if let Some(snapshot) = snapshot_of(notification)? {
                                progress.changed(&snapshot);
                                self.keep(snapshot);
                            }
                        }
                        Frame::Request(_) => return Err(CallError::Garbage("a request".into())),
                    }
                }
                Received::Nothing => {
                    let now = Instant::now();
                    if deadline.is_some_and(|deadline| now + Duration::from_micros(200) >= deadline) {
                        return Err(CallError::Timeout(begun.elapsed()));
                    }
                    if let Some(interval) = progress.interval() {
                        progress.tick();
                        next_tick = Some(now + interval);
                    }
                }
            }
        }
    }

    pub(crate) fn read(&self, line: &[u8]) -> Result<Frame, CallError> {
        wire::decode_answer(line).map_err(|error| CallError::Garbage(error.error.message))
    }

    fn keep(&mut self, snapshot: Snapshot) {
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(snapshot);
    }
}

/// The state of one workspace or of all.
fn of(root: Option<&Path>) -> StatusParams {
    StatusParams { root: root.map(Text::from), details: false }
}

/// A waiting call ends by the daemon's own clock; the client's is a net below it, for a daemon that froze.
fn waiting_limit(no_wait: bool, timeout_ms: Option<u64>) -> Option<Duration> {
    if no_wait {
        // Before it says "accepted" a daemon writes records and may ask a JupyterLab what is busy.
        return Some(ANSWER_TIMEOUT * 5);
    }
    timeout_ms.map(|timeout| Duration::from_millis(timeout) + ANSWER_TIMEOUT)
}

fn finish<T: serde::de::DeserializeOwned>(answer: ResponseFrame) -> Result<T, CallError> {
    if let Some(refusal) = answer.error {
        // It will not answer any more: whoever may ask again asks the next one.
        return Err(if refusal.code == code::GOING_AWAY {
            CallError::Gone
        } else {
            CallError::Refused(refusal)
        });
    }
    answer.into_result().map_err(|ErrorObject { message, .. }| CallError::Garbage(message))
}
