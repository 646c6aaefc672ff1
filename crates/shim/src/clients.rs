//! Connections to the shim: the daemon that made it, later daemons, a client that needs a daemon started.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use run::protocol::{Order, Report, VERSION};

/// Longest order, in bytes.
const MAX_LINE_BYTES: usize = 64 << 10;
/// A peer that does not read so much is gone for us.
const MAX_UNSENT_BYTES: usize = 256 << 10;
/// Connections at a time; the oldest gives way.
const MAX_CONNECTIONS: usize = 16;
/// How long the listener is left alone when no connection can be taken (no descriptor left): it would wake us
/// all the time.
const DEAF_FOR: Duration = Duration::from_secs(1);
/// How long the last words to a peer may take.
const FAREWELL: Duration = Duration::from_millis(500);

struct Connection {
    stream: UnixStream,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    dead: bool,
}

/// All connections, and the listener.
pub(crate) struct Clients {
    hello: Report,
    listener: Option<(UnixListener, PathBuf)>,
    deaf_until: Option<Instant>,
    connections: VecDeque<Connection>,
    /// What a new connection is told after the greeting.
    news: Vec<Report>,
    /// And after that, while it holds.
    standing: Option<Report>,
}

/// What came of a look at the connections.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) orders: Vec<Order>,
    /// A connection has ended.
    pub(crate) lost: bool,
}

impl Clients {
    /// With the connection that was inherited, if one was.
    pub(crate) fn new(run: u64, replacement: bool, inherited: Option<UnixStream>) -> Self {
        let shim_pid = i32::try_from(std::process::id()).unwrap_or(0);
        let release = env!("CARGO_PKG_VERSION").to_owned();
        let hello = Report::Hello { version: VERSION, run, shim_pid, replacement, release, pings: true };
        let mut clients = Self {
            hello,
            listener: None,
            deaf_until: None,
            connections: VecDeque::new(),
            news: Vec::new(),
            standing: None,
        };
        if let Some(stream) = inherited {
            clients.accept(stream);
        }
        clients
    }

    /// Listens at `path`. A socket that lies there is a predecessor's, for we hold the run's lock.
    pub(crate) fn listen(&mut self, path: &Path) -> io::Result<()> {
        match std::fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else lies there")),
            Err(_) => {}
        }
        os::failpoint!("shim.listen")?;
        let listener = UnixListener::bind(path)?;
        // Its folder is closed to others already, so the moment before this does not matter.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        self.listener = Some((listener, path.to_owned()));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// What every new connection is told from now on, instead of what it was told before.
    pub(crate) fn set_news(&mut self, news: Vec<Report>) {
        self.news = news;
    }

    /// What every new connection is told besides, for as long as it holds.
    pub(crate) fn set_standing(&mut self, standing: Option<Report>) {
        self.standing = standing;
    }

    /// Tells everybody.
    pub(crate) fn tell(&mut self, report: &Report) {
        for connection in &mut self.connections {
            connection.put(report);
            connection.send();
        }
    }

    /// When to look again without being woken.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deaf_until
    }

    /// What to wait for.
    pub(crate) fn interests(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let hears = self.listener.iter().filter(|_| self.deaf_until.is_none());
        let listener = hears.map(|(listener, _)| (listener.as_fd(), PollFlags::POLLIN));
        let connections = self.connections.iter().map(|connection| {
            let write = if connection.unsent.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
            (connection.stream.as_fd(), PollFlags::POLLIN | write)
        });
        listener.chain(connections)
    }

    /// Takes in what there is, sends on what waits.
    pub(crate) fn work(&mut self) -> Heard {
        if self.deaf_until.is_some_and(|until| until <= Instant::now()) {
            self.deaf_until = None;
        }
        while let (Some((listener, _)), None) = (&self.listener, self.deaf_until) {
            match os::failpoint!("shim.accept").and_then(|()| listener.accept()) {
                Ok((stream, _)) => self.accept(stream),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.deaf_until = Some(Instant::now() + DEAF_FOR),
            }
        }
        let mut heard = Heard::default();
        for connection in &mut self.connections {
            connection.send();
            connection.receive(&mut heard.orders);
            heard.lost |= connection.dead;
        }
        self.connections.retain(|connection| !connection.dead);
        heard
    }

    /// Gives everybody a moment to take what was said, and removes the socket.
    pub(crate) fn close(mut self) {
        let until = Instant::now() + FAREWELL;
        loop {
            self.connections.retain(|connection| !connection.dead && !connection.unsent.is_empty());
            let left = until.saturating_duration_since(Instant::now());
            if self.connections.is_empty() || left.is_zero() {
                break;
            }
            let mut waits: Vec<PollFd<'_>> = self
                .connections
                .iter()
                .map(|connection| PollFd::new(connection.stream.as_fd(), PollFlags::POLLOUT))
                .collect();
            let _ = poll(&mut waits, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
            for connection in &mut self.connections {
                connection.send();
            }
        }
        if let Some((_, path)) = &self.listener {
            let _ = std::fs::remove_file(path);
        }
    }

    fn accept(&mut self, stream: UnixStream) {
        let Some(stream) = of_this_user(stream) else { return };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut connection = Connection { stream, unread: Vec::new(), unsent: Vec::new(), dead: false };
        for report in std::iter::once(&self.hello).chain(&self.news).chain(&self.standing) {
            connection.put(report);
        }
        connection.send();
        if self.connections.len() >= MAX_CONNECTIONS {
            self.connections.pop_front();
        }
        self.connections.push_back(connection);
    }
}

/// The folder of the socket is closed to everybody else; root still gets in, and is refused like anybody.
fn of_this_user(stream: UnixStream) -> Option<UnixStream> {
    use interprocess::local_socket::traits::StreamCommon;
    use interprocess::os::unix::uds_local_socket::Stream;
    let stream = Stream::from(stream);
    let peer = stream.peer_creds().ok()?.euid()?;
    let ours = peer == nix::unistd::geteuid().as_raw();
    ours.then(|| UnixStream::from(OwnedFd::from(stream)))
}

impl Connection {
    fn put(&mut self, report: &Report) {
        if let Ok(line) = serde_json::to_vec(report) {
            self.unsent.extend_from_slice(&line);
            self.unsent.push(b'\n');
        }
        self.dead |= self.unsent.len() > MAX_UNSENT_BYTES;
    }

    fn send(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => {
                    self.unsent.drain(..sent);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.dead |= error.kind() != io::ErrorKind::WouldBlock;
                    return;
                }
            }
        }
    }

    fn receive(&mut self, orders: &mut Vec<Order>) {
        let mut place = [0; 4096];
        while !self.dead {
            match self.stream.read(&mut place) {
                Ok(0) => self.dead = true,
                Ok(read) => {
                    self.unread.extend_from_slice(&place[..read]);
                    while let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                        let line: Vec<u8> = self.unread.drain(..=end).collect();
                        // What makes no sense is a newer daemon's, or nobody's.
                        orders.extend(serde_json::from_slice::<Order>(&line).ok());
                    }
                    self.dead = self.unread.len() > MAX_LINE_BYTES;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.dead = true,
            }
        }
    }
}
