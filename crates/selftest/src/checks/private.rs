//! Nobody else reads records, logs or sockets.

use std::fs::DirEntry;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble};

/// See the module.
pub(crate) struct Private;

impl Check for Private {
    fn name(&self) -> &'static str {
        "private"
    }

    fn promise(&self) -> &'static str {
        "records, logs and sockets are open to you alone"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        world.start()?;
        let mut looked_at = 0;
        closed(&world.state(), &mut looked_at)?;
        ensure(looked_at >= 10, || format!("only {looked_at} files in {}", world.state().display()))?;
        Ok(Kept::Fully)
    }
}

/// Every folder and file from here on. A socket is protected by its folder: not every system heeds its own mode.
fn closed(folder: &Path, looked_at: &mut usize) -> Result<(), Trouble> {
    let io = |what: &Path| Trouble::io(format!("look at {}", what.display()));
    let mode = std::fs::symlink_metadata(folder).map_err(io(folder))?.permissions().mode();
    ensure(mode & 0o077 == 0, || format!("{} has mode {:o}", folder.display(), mode & 0o7777))?;
    let entries: Vec<DirEntry> = std::fs::read_dir(folder).map_err(io(folder))?.flatten().collect();
    for entry in entries {
        let path = entry.path();
        // What vanishes meanwhile was a temporary file.
        let Ok(data) = entry.metadata() else { continue };
        *looked_at += 1;
        if data.is_dir() {
            closed(&path, looked_at)?;
        } else if !data.file_type().is_socket() {
            let mode = data.permissions().mode();
            ensure(mode & 0o077 == 0, || format!("{} has mode {:o}", path.display(), mode & 0o7777))?;
        }
    }
    Ok(())
}
