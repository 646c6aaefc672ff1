//! Room and writability of the file systems that matter: state, workspace, temporary files.

use std::path::PathBuf;

use os::disk::Room;

use super::{Check, Context, Finding, Level};

const MIB: u64 = 1 << 20;
/// Below this servers fail in strange ways.
const FULL: u64 = 100 * MIB;
/// Below this it is time to look.
const TIGHT: u64 = 1024 * MIB;

pub(super) struct Disk;

impl Check for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let mut places: Vec<(&str, PathBuf)> = Vec::new();
        let state = context.surroundings().locations().ok().and_then(|l| {
            l.hosts().first()?.path().ancestors().find(|path| path.is_dir()).map(PathBuf::from)
        });
        places.extend(context.root().map(|root| ("the workspace", root.path.clone())));
        places.extend(state.map(|path| ("the state", path)));
        places.push(("temporary files", std::env::temp_dir()));
        let mut seen = Vec::new();
        let mut found = Vec::new();
        let mut well = Vec::new();
        for (what, path) in places {
            let Ok(room) = os::disk::room(&path) else { continue };
            if seen.contains(&room.device) {
                continue;
            }
            seen.push(room.device);
            match judge(room) {
                Some((level, what_is_wrong)) => {
                    let text = format!("{what} ({}): {what_is_wrong}", path.display());
                    let mend = if room.read_only {
                        format!("findmnt -T {}", path.display())
                    } else {
                        format!("du -xh --max-depth=1 {} | sort -h", path.display())
                    };
                    found.push(Finding::new(self, level, text).mend(mend));
                }
                None => well.push(format!("{} GiB free for {what}", room.free / (1024 * MIB))),
            }
        }
        if found.is_empty() && !well.is_empty() {
            found.push(Finding::new(self, Level::Ok, well.join(", ")));
        }
        found
    }
}

fn judge(room: Room) -> Option<(Level, String)> {
    let free = format!("{} MiB free", room.free / MIB);
    match room {
        Room { read_only: true, .. } => Some((Level::Problem, "read-only".into())),
        Room { free: 0..FULL, .. } => Some((Level::Problem, free)),
        Room { inodes: Some(0..1000), .. } => Some((Level::Problem, "no more files can be made".into())),
        Room { free: 0..TIGHT, .. } => Some((Level::Warning, free)),
        Room { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged() {
        let room = Room { free: 5 * TIGHT, inodes: Some(1 << 20), read_only: false, device: 1 };
        assert_eq!(judge(room), None);
        assert_eq!(judge(Room { inodes: None, ..room }), None);
        let levels = [
            Room { free: 10 * MIB, ..room },
            Room { read_only: true, ..room },
            Room { inodes: Some(3), ..room },
            Room { free: 500 * MIB, ..room },
        ]
        .map(|room| judge(room).map(|(level, _)| level));
        assert_eq!(levels, [Level::Problem, Level::Problem, Level::Problem, Level::Warning].map(Some));
    }
}
