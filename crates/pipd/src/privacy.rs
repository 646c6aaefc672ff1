//! Folders that the system keeps from programs which their user has not let in: macOS, for what is started at login.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::service::Obstacle;

/// Why nothing can be started in this folder, when that is why. May wait for the person whom the system asks.
pub(crate) fn obstacle(folder: &Path) -> Option<Obstacle> {
    let place = os::paths::guarded(folder)?;
    let error = std::fs::read_dir(folder).err()?;
    let exe = std::env::current_exe().unwrap_or_else(|_| "pipd".into());
    explained(folder, place, &error, &exe)
}

fn explained(folder: &Path, place: &str, error: &io::Error, exe: &Path) -> Option<Obstacle> {
    // Its own kind of refusal; a folder that its modes close says EACCES.
    (error.raw_os_error() == Some(Errno::EPERM as i32)).then(|| Obstacle {
        detail: format!("macOS keeps pipd out of ~/{place}, so {} cannot be read", folder.display()),
        hint: Some(format!(
            "allow {} in System Settings, Privacy & Security, Full Disk Access; then: pipctl daemon restart",
            exe.display()
        )),
        ..Obstacle::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_privacy_says_what_to_allow() {
        let said = |errno: Errno| {
            let error = io::Error::from_raw_os_error(errno as i32);
            explained(Path::new("/Users/ada/Documents/ws"), "Documents", &error, Path::new("/opt/pipd"))
        };
        let obstacle = said(Errno::EPERM).unwrap_or_default();
        assert_eq!(
            obstacle.detail,
            "macOS keeps pipd out of ~/Documents, so /Users/ada/Documents/ws cannot be read"
        );
        assert!(obstacle.hint.is_some_and(|hint| hint.contains("allow /opt/pipd")));
        assert_eq!(said(Errno::EACCES), None);
        assert_eq!(said(Errno::ENOENT), None);
    }

    #[test]
    fn where_nothing_is_kept_nothing_is_asked() {
        if os::host::SERVICE_MANAGER == "systemd" {
            assert_eq!(obstacle(Path::new("/nowhere/at/all")), None);
        }
    }
}
