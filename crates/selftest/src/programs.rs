//! The programs that are checked: those installed beside the one that runs.

use std::path::{Path, PathBuf};

use crate::Trouble;

/// What is installed together.
const TOGETHER: [&str; 3] = ["pipctl", "pipd", "pipd-shim"];

/// The `pipctl` that runs, by a path that others can execute.
///
/// # Errors
/// When the system does not tell.
pub fn own_program() -> Result<PathBuf, Trouble> {
    let own = std::env::current_exe().map_err(Trouble::io("which program this is"))?;
    let named = own.with_file_name("pipctl");
    Ok(if named.is_file() { named } else { own })
}

/// All three lie side by side.
pub(crate) fn complete(pipctl: &Path) -> Result<(), Trouble> {
    let folder = pipctl.parent().unwrap_or(Path::new("/"));
    for name in TOGETHER {
        let program = folder.join(name);
        if !program.is_file() {
            return Err(Trouble::Broken(format!(
                "{} is missing; install pipctl, pipd and pipd-shim together: docs/install.md",
                program.display()
            )));
        }
    }
    Ok(())
}
