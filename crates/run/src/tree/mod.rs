//! What belongs to a run among the processes of this machine.
//!
//! A service's tree is more than its process group: Jupyter starts each kernel in a session of its own, and a
//! worker outlives its killed parent. So it is: the group and the session of the main process, what descends
//! from it or was re-parented to its shim, every process of this user that carries the run's marker, and all
//! below those. It is never: a daemon, a shim (nor what is below one of another run), the asking process, and,
//! where terminals are spared, what a person started from a JupyterLab terminal.

mod members;
mod owners;
mod pids;
mod sweep;

pub use members::{Tree, family, members};
pub use pids::{Query, pids};
pub use sweep::{Step, Sweep, Swept, sweep};

use std::path::PathBuf;

use os::process::ProcessIdentity;

/// Which run's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The main process, alive or not. `None` where the run never had one that is known.
    pub main: Option<ProcessIdentity>,
    /// The main process was alive until a moment ago, so its number still names its group and session, and no
    /// stranger's. Without this a process of the group must carry the marker, too.
    pub proven: bool,
    /// The living shim of the run, when everything below it belongs to the run.
    pub shim: Option<ProcessIdentity>,
    /// The value of `PIPD_RUN` in the run.
    pub marker: String,
    /// The host folder, for finding daemons and shims.
    pub host_dir: PathBuf,
    /// Leave what a person started from a JupyterLab terminal.
    pub spare_terminals: bool,
}
