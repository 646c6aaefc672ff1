//! The files whose change lets a failing service try again at once.

use std::path::Path;

use wire::{ServiceSpec, Text};

use super::Context;

/// Beyond this a folder is no longer "the sources of a service".
const MOST_SOURCES: usize = 64;

/// The configuration, the environment's own file, the env files and the Python files of the service's folder, not
/// of the folders below it. What the user named stays first.
pub(super) fn add(context: &Context<'_>, spec: &mut ServiceSpec) {
    let mut files: Vec<Text> = Vec::new();
    files.extend(context.config_file.map(Text::from));
    let prefix = context.python.and_then(|python| python.prefix.as_deref());
    files.extend(
        prefix
            .map(|prefix| prefix.join("pyvenv.cfg"))
            .filter(|file| file.is_file())
            .map(|file| file.as_path().into()),
    );
    files.extend(spec.env_files.iter().cloned());
    files.extend(sources(spec.cwd.as_path()));
    for file in files {
        if !spec.watch.contains(&file) {
            spec.watch.push(file);
        }
    }
}

fn sources(folder: &Path) -> Vec<Text> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let files = entries.flatten().map(|entry| entry.path());
    let python = files.filter(|path| path.extension().is_some_and(|end| end == "py") && path.is_file());
    let mut found: Vec<_> = python.collect();
    // The ones we know by name must not fall to the bound.
    found.sort_by_key(|path| {
        let known = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| crate::python::CANDIDATES.contains(&name));
        (!known, path.clone())
    });
    found.truncate(MOST_SOURCES);
    found.iter().map(|path| path.as_path().into()).collect()
}
