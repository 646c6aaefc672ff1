//! A terminal window that can be closed.

use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Child;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::ensure;
use crate::world::World;
use crate::{STUB_VERB, Trouble};

/// A window with a command that has been typed in it and has come to its end.
pub(crate) struct Window {
    master: OwnedFd,
    shell: Child,
}

impl Window {
    /// Opens one, types `pipctl` with these arguments and waits for its end, which must be a good one.
    pub(crate) fn typed(world: &World<'_>, arguments: &[&str]) -> Result<Self, Trouble> {
        let trouble =
            |error: nix::Error| Trouble::Io { what: "open a terminal".into(), source: error.into() };
        let pair = nix::pty::openpty(None, None).map_err(trouble)?;
        // Nobody else may hold it open when it is closed.
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(trouble)?;
        }
        let done = world.path("typed");
        let program = world.command(&[]).get_program().to_owned();
        let copy = || pair.slave.try_clone().map_err(Trouble::io("open a terminal"));
        let mut command = world.command(&[STUB_VERB, "--terminal"]);
        command.arg(&done).arg("--").arg(program).args(arguments);
        command.stdin(copy()?).stdout(copy()?).stderr(copy()?);
        let shell = command.spawn().map_err(Trouble::io("start a shell"))?;
        // The command holds copies of the other end: they go with it.
        drop(command);
        drop(pair.slave);
        let mut window = Self { master: pair.master, shell };
        let mut screen = String::new();
        let code = world.until_some("the command in the terminal", || {
            window.read(&mut screen);
            read_code(&done)
        })?;
        ensure(code == 0, || format!("pipctl {} ended with {code}\n{screen}", arguments.join(" ")))?;
        Ok(window)
    }

    /// What is on the screen now; without waiting.
    fn read(&mut self, screen: &mut String) {
        let mut file = match self.master.try_clone() {
            Ok(copy) => std::fs::File::from(copy),
            Err(_) => return,
        };
        let mut buffer = [0; 4096];
        loop {
            let mut waiting = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
            let readable = poll(&mut waiting, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
            if !readable {
                return;
            }
            match file.read(&mut buffer) {
                Ok(length) if length > 0 => {
                    screen.push_str(&String::from_utf8_lossy(&buffer[..length]));
                }
                _ => return,
            }
        }
    }

    /// Closes it; whatever waits in it is hung up.
    pub(crate) fn close(mut self, world: &World<'_>) -> Result<(), Trouble> {
        drop(self.master);
        world.until("the shell of the closed terminal to end", || {
            self.shell.try_wait().is_ok_and(|ended| ended.is_some())
        })
    }
}

fn read_code(done: &Path) -> Option<i32> {
    std::fs::read_to_string(done).ok()?.parse().ok()
}
