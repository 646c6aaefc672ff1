//! From folders to a connection whose other end is proven to be ours. Starts nothing.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use interprocess::ConnectWaitMode;
use interprocess::local_socket::traits::StreamCommon as _;
use interprocess::local_socket::{ConnectOptions, GenericFilePath, Stream, ToFsName};
use os::process::Liveness;
use run::layout::HostDir;

use crate::{ConnectError, Locations};

/// What one look at one host folder found.
pub(crate) enum Found {
    /// A daemon of ours listens.
    Stream(Stream),
    /// Nobody listens and the lock is free.
    Nobody,
    /// The lock is held, but nobody listens yet, any more, or fast enough.
    Held(io::Error),
}

/// One look, no waiting.
pub(crate) fn look(host: &HostDir) -> Result<Found, ConnectError> {
    if !check_folder(host.path())? {
        return Ok(Found::Nobody);
    }
    let socket = host.socket();
    let unreachable = |source| ConnectError::Unreachable { socket: socket.clone(), pid: None, source };
    match open(&socket) {
        Ok(Some(stream)) => {
            check_peer(&stream, &socket)?;
            Ok(Found::Stream(stream))
        }
        // The backlog is full: somebody listens and does not accept right now.
        Ok(None) => Ok(Found::Held(io::ErrorKind::WouldBlock.into())),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => {
                match os::lock::is_held(&host.daemon_lock()) {
                    Ok(true) => {
                        if error.kind() == io::ErrorKind::NotFound {
                            ask_for_a_socket(host);
                        }
                        Ok(Found::Held(error))
                    }
                    Ok(false) => Ok(Found::Nobody),
                    Err(source) => Err(unreachable(source)),
                }
            }
            _ => Err(unreachable(error)),
        },
    }
}

/// A daemon whose socket something has deleted makes it anew when it gets this signal; one that has not begun to
/// serve ignores it.
fn ask_for_a_socket(host: &HostDir) {
    let me = i32::try_from(std::process::id());
    if let Some(owner) = os::lock::owner(&host.daemon_lock()).filter(|owner| Ok(owner.pid) != me) {
        let _ = owner.signal(os::process::Signal::SIGUSR1);
    }
}

/// One look into every folder; the first that is not empty counts.
pub(crate) fn look_everywhere(locations: &Locations) -> Result<(Found, Option<&HostDir>), ConnectError> {
    for host in locations.hosts() {
        match look(host)? {
            Found::Nobody => {}
            found => return Ok((found, Some(host))),
        }
    }
    Ok((Found::Nobody, None))
}

/// Looks until a daemon listens, none lives, or `patience` is over.
pub(crate) fn find(locations: &Locations, patience: Duration) -> Result<(Stream, HostDir), ConnectError> {
    let begun = Instant::now();
    let mut pause = Pause::new();
    loop {
        match look_everywhere(locations)? {
            (Found::Stream(stream), Some(host)) => return Ok((stream, host.clone())),
            (Found::Held(error), Some(host)) => {
                if begun.elapsed() >= patience {
                    return Err(explain_silence(host, Some(error), begun.elapsed()));
                }
                pause.wait();
            }
            _ => return Err(ConnectError::NotRunning),
        }
    }
}

/// Why a daemon whose lock is held does not serve.
pub(crate) fn explain_silence(host: &HostDir, error: Option<io::Error>, waited: Duration) -> ConnectError {
    let owner = os::lock::owner(&host.daemon_lock());
    let stopped = owner.as_ref().is_some_and(|owner| matches!(owner.liveness(), Ok(Liveness::Stopped)));
    match error {
        Some(source) if source.kind() != io::ErrorKind::WouldBlock && !stopped => {
            ConnectError::Unreachable { socket: host.socket(), pid: owner.map(|owner| owner.pid), source }
        }
        _ => ConnectError::Frozen { pid: owner.map(|owner| owner.pid), stopped, waited },
    }
}

/// Pauses between looks: short at first, never long. Whoever waits wastes a sixteenth of what it took, and little more.
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn new() -> Self {
        Self(Duration::from_micros(300))
    }

    pub(crate) fn wait(&mut self) {
        std::thread::sleep(self.0);
        self.0 = (self.0 * 17 / 16).min(Duration::from_millis(20));
    }
}

/// Connects to a socket without ever blocking; `None` when its backlog is full.
pub(crate) fn open(socket: &Path) -> io::Result<Option<Stream>> {
    let name = socket.to_fs_name::<GenericFilePath>()?;
    // Deferred: a plain connect blocks without limit when a frozen daemon's backlog is full.
    let options = ConnectOptions::new().name(name).wait_mode(ConnectWaitMode::Deferred);
    let stream = options.connect_sync()?;
    // A connect that found the backlog full looks like success; the socket then has no peer.
    let Stream::UdSocket(inner) = &stream;
    match inner.inner().peer_addr() {
        Ok(_) => Ok(Some(stream)),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the folder is there. That it is ours alone is what makes the socket in it trustworthy.
fn check_folder(path: &Path) -> Result<bool, ConnectError> {
    let reject = |why: String| Err(ConnectError::Unsafe { path: path.to_owned(), why });
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        Err(error) => return reject(format!("cannot be examined: {error}")),
    };
    let (me, owner, mode) =
        (nix::unistd::Uid::effective().as_raw(), metadata.uid(), metadata.mode() & 0o7777);
    if !metadata.is_dir() {
        reject("is not a folder (a symbolic link does not count)".into())
    } else if owner != me {
        reject(format!("belongs to user {owner}, not to you ({me})"))
    } else if mode & 0o077 != 0 {
        reject(format!("is open to others (mode {mode:04o}, expected 0700)"))
    } else {
        Ok(true)
    }
}

fn check_peer(stream: &Stream, socket: &Path) -> Result<(), ConnectError> {
    let credentials = stream.peer_creds().map_err(|source| ConnectError::Unreachable {
        socket: socket.to_owned(),
        pid: None,
        source,
    })?;
    match credentials.euid() {
        Some(uid) if uid == nix::unistd::Uid::effective().as_raw() => Ok(()),
        uid => Err(ConnectError::ForeignPeer { socket: socket.to_owned(), uid: uid.unwrap_or(u32::MAX) }),
    }
}
