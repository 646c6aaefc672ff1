//! Telling the service manager that started this process how it is: ready, alive, on its way out.
//!
//! The protocol is that of `sd_notify(3)`: one datagram of `NAME=value` lines to the socket named in the environment.
//! Nothing here waits: a manager that does not listen loses the message.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::sys;

/// Variables that concern one process of a service manager and nothing that it starts.
pub const OF_ONE_PROCESS: [&str; 12] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "MANAGERPID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "LISTEN_PID",
    "LISTEN_FDS",
    "XPC_SERVICE_NAME",
];

/// A service manager that wants to be told.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one that started this very process. `None` when there is none: also when the variables were inherited from
    /// another process that has one.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let me = std::process::id().to_string();
        let another = |name| std::env::var_os(name).is_some_and(|pid| pid != OsStr::new(&me));
        if another("WATCHDOG_PID") || another("SYSTEMD_EXEC_PID") {
            return None;
        }
        let place = std::env::var_os("NOTIFY_SOCKET")?;
        let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        Self::at(&place, watchdog.map(Duration::from_micros)).ok()
    }

    /// One that listens at `place`: an absolute path, or `@` and an abstract name.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn at(place: &OsStr, watchdog: Option<Duration>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        match place.as_bytes() {
            [b'/', ..] => socket.connect(place)?,
            [b'@', name @ ..] => socket.connect_addr(&sys::host::abstract_address(name)?)?,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        socket.set_nonblocking(true)?;
        let watchdog = watchdog.filter(|patience| !patience.is_zero());
        Ok(Self { socket, watchdog })
    }

    /// How often it wants to hear [`Self::alive`], at least: half of its patience. `None` when it does not ask.
    #[must_use]
    pub fn alive_every(&self) -> Option<Duration> {
        self.watchdog.map(|patience| patience / 2)
    }

    /// Ready to serve.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Still alive.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// On the way out.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// One line for people who ask the manager.
    pub fn status(&self, text: &str) {
        self.tell(&format!("STATUS={text}"));
    }

    fn tell(&self, message: &str) {
        // A manager that is gone or busy is no reason to fail; it looks after itself.
        let _ = self.socket.send(message.as_bytes());
    }
}
