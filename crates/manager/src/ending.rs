//! Whether the session or the machine is ending: then a SIGTERM to the daemon means its services, too.

use std::ffi::OsString;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use os::spawn::Detach;

/// Longest time the managers may take for their answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the manager that has this daemon (`systemd`, `launchd`, `none`), and the system's. One that cannot be asked
/// is not ending: the services of a daemon that is merely restarted must not be touched.
///
/// Waits for no child: the daemon reaps all of its own.
#[must_use]
pub fn session_is_ending(manager: &str) -> bool {
    if os::host::shutting_down() {
        return true;
    }
    if os::host::SERVICE_MANAGER != "systemd" || !Path::new("/run/systemd/system").is_dir() {
        return false;
    }
    // Without a manager of the user's, only the machine's end can be known.
    (manager == "systemd" && state(&["--user"]) == "stopping") || state(&[]) == "stopping"
}

/// What a manager says of itself: `running`, `degraded`, `stopping`, …
fn state(options: &[&str]) -> String {
    let path = std::env::var_os("PATH");
    let ask = || -> std::io::Result<String> {
        let program = os::spawn::resolve("systemctl".as_ref(), path.as_deref(), Path::new("/"))?;
        let words: Vec<OsString> = options.iter().chain(&["is-system-running"]).map(Into::into).collect();
        let environment: Vec<_> = std::env::vars_os().collect();
        let (mut ours, theirs) = UnixStream::pair()?;
        os::spawn::detached(&program, &words, &environment, theirs.as_fd(), &[], Detach::Orphan)?;
        drop(theirs);
        ours.set_read_timeout(Some(PATIENCE))?;
        let mut said = [0; 64];
        let mut length = 0;
        while let Some(rest) = said.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match ours.read(rest)? {
                0 => break,
                read => length += read,
            }
        }
        Ok(String::from_utf8_lossy(said.get(..length).unwrap_or_default()).trim().to_owned())
    };
    ask().unwrap_or_default()
}
