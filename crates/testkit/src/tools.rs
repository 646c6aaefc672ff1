//! Tools that lie beside the repository: a systemd in a box, a stand-in for Nix.

use std::path::PathBuf;

use crate::repository;

/// A tool of `../shared/tools`, or of the folder that `PIPD_TOOLS` names; `None` when this machine has none.
pub fn shared_tool(name: &str) -> Option<PathBuf> {
    let folder =
        std::env::var_os("PIPD_TOOLS").map_or_else(|| repository().join("../shared/tools"), PathBuf::from);
    folder.join(name).canonicalize().ok()
}
