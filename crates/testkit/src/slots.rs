//! Real servers need seconds of a processor to start: only so many at once, over all test programs.

use std::fs::File;

use crate::wait::until_some;

const SLOTS: u32 = 2;

/// Permission to run real servers; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    _lock: File,
}

/// Waits for its turn.
///
/// # Panics
/// When the turn does not come for a quarter of an hour.
pub fn real_server_slot() -> Slot {
    let limit = std::time::Duration::from_secs(900);
    until_some("a free slot for real servers", limit, || {
        (0..SLOTS).find_map(|number| {
            let path =
                std::env::temp_dir().join(format!("pipd-test-slot-{}-{number}", nix::unistd::getuid()));
            let lock = File::create(path).unwrap();
            lock.try_lock().is_ok().then_some(Slot { _lock: lock })
        })
    })
}
