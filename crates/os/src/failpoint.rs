//! Points at which a test can have a program of ours die, stop or be refused, just before or after it asks the system
//! for something.
//!
//! They exist in builds with the feature `failpoints` *and* debug assertions, and only do something where the variable
//! `XDG_PIPD_FAILPOINTS` names a folder: each point that is passed then looks for a file of its name there. Release builds have
//! neither the code nor the names.

/// Passes a point by name: `Ok(())`, unless a test wants something else. With a path, its last component belongs to
/// the name.
#[cfg(all(feature = "failpoints", debug_assertions))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::pass($name, None)
    };
    ($name:literal, $path:expr) => {
        $crate::failpoint::pass($name, Some($path))
    };
}

/// Nothing, in this build.
#[cfg(not(all(feature = "failpoints", debug_assertions)))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        ::std::io::Result::<()>::Ok(())
    };
    ($name:literal, $path:expr) => {{
        let _: &::std::path::Path = $path;
        ::std::io::Result::<()>::Ok(())
    }};
}

#[cfg(all(feature = "failpoints", debug_assertions))]
pub use points::pass;

/// Whether a client hands this variable on to the daemon it starts, so that a test can tell it another time of day.
/// Never in a release: what a person preloads is for their own programs.
#[must_use]
pub fn is_kept(variable: &str) -> bool {
    cfg!(all(feature = "failpoints", debug_assertions)) && variable == "LD_PRELOAD"
}

#[cfg(all(feature = "failpoints", debug_assertions))]
mod points {
    use std::fs::{File, OpenOptions};
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::getpid;

    /// The folder. `XDG_`, so that a client hands it on to the daemon it starts like any other of that kind.
    const FOLDER: &str = "XDG_PIPD_FAILPOINTS";

    /// See [`failpoint!`](crate::failpoint).
    ///
    /// # Errors
    /// The error number that a test asked for.
    ///
    /// # Panics
    /// When a test asked for it.
    pub fn pass(point: &str, path: Option<&Path>) -> io::Result<()> {
        static SETTING: OnceLock<Option<(PathBuf, String)>> = OnceLock::new();
        let setting = SETTING.get_or_init(|| {
            let folder = std::env::var_os(FOLDER).map(PathBuf::from)?;
            let program = std::env::current_exe().ok()?.file_name()?.to_string_lossy().into_owned();
            Some((folder, program))
        });
        let Some((folder, program)) = setting else { return Ok(()) };
        let mut name = format!("{program}.{point}");
        if let Some(last) = path.and_then(Path::file_name) {
            // Temporary names and the numbers of runs and log files are not what tells points apart.
            let last = last.to_string_lossy();
            let numbered = last.starts_with(|first: char| first.is_ascii_digit());
            name.push('.');
            name.push_str(if numbered { "numbered" } else { &last });
        }
        if let Ok(mut trace) = OpenOptions::new().append(true).open(folder.join("trace")) {
            let _ = trace.write_all(format!("{name}\n").as_bytes());
        }
        // Whoever gets it renamed has it, and it happens once.
        let (armed, taken) = (folder.join(&name), folder.join(format!("{name}.taken")));
        if std::fs::rename(&armed, &taken).is_err() {
            return Ok(());
        }
        let action = File::open(&taken).and_then(io::read_to_string).unwrap_or_default();
        act(action.trim(), &name)
    }

    fn act(action: &str, name: &str) -> io::Result<()> {
        match action.split_once(' ') {
            None if action == "kill" => kill(getpid(), Signal::SIGKILL)?,
            None if action == "pause" => kill(getpid(), Signal::SIGSTOP)?,
            None if action == "panic" => panic!("{name}: a test asked for it"),
            Some(("error", number)) => {
                return Err(io::Error::from_raw_os_error(number.parse().unwrap_or(libc::EIO)));
            }
            _ => {}
        }
        Ok(())
    }
}
