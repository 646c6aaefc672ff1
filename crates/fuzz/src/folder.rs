//! A folder per thread, for readers that read files.

use std::path::Path;

use tempfile::TempDir;

thread_local! {
    // Made anew for each input, most of the time would go into that.
    static FOLDER: TempDir = in_memory();
}

fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

/// Does something in a folder that stays for the next input.
pub(crate) fn with(act: impl FnOnce(&Path)) {
    FOLDER.with(|folder| act(folder.path()));
}
