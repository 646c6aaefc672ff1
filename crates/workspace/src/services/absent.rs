//! What a service needs and what was not there when the configuration was read. That keeps this service from being
//! started, and no other: a missing file is no reason to leave the rest of a workspace down.

use std::path::{Path, PathBuf};

use wire::{Absent, ServiceSpec};

use super::places::Wanted;
use crate::caller::quoted;
use crate::diagnostic::{Diagnostic, Source};

/// One such place.
#[derive(Clone, Debug)]
pub(crate) struct Absence {
    pub(crate) fault: Diagnostic,
    pub(super) path: PathBuf,
    pub(super) wanted: Wanted,
}

/// Tells a service what it will miss. It is tried again when that appears.
pub(super) fn add(spec: &mut ServiceSpec, found: &[Absence], source: &Source) {
    for absence in found {
        let fault = &absence.fault;
        let (line, column) = source.place(&fault.span);
        let file = source.path.display();
        let advice = fault.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        spec.absent.push(Absent {
            path: absence.path.as_path().into(),
            wanted: match absence.wanted {
                Wanted::File => wire::Place::File,
                Wanted::Folder => wire::Place::Folder,
                Wanted::Program => wire::Place::Program,
            },
            detail: format!("{}: {} ({file}:{line}:{column})", fault.title, fault.label),
            hint: Some(format!(
                "correct line {line} of {}{advice}, then type: pipctl start {}",
                quoted(Path::new(&source.path)),
                spec.name
            )),
        });
        let path = absence.path.as_path().into();
        if !spec.watch.contains(&path) {
            spec.watch.push(path);
        }
    }
}
