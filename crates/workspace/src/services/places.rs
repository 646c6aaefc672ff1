//! Files and folders the configuration names and that are not what it says.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Context;
use super::absent::Absence;
use crate::config::At;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;

/// What should be at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    File,
    Folder,
    /// A file that may be executed.
    Program,
}

/// Folders with more entries are not searched for the name that was meant.
const MOST_ENTRIES: usize = 2_000;

/// Notes it when the path a value names is not what it should be.
pub(super) fn check(context: &mut Context<'_>, at: &At<String>, path: &Path, wanted: Wanted, title: &str) {
    let fits = match wanted {
        Wanted::File => path.is_file(),
        Wanted::Folder => path.is_dir(),
        Wanted::Program => path.metadata().is_ok_and(|meta| meta.is_file() && may_be_executed(&meta)),
    };
    if !fits {
        let fault = Diagnostic::new(at.span.clone(), title, what_is_there(path, wanted));
        let fault = with_advice(fault, &at.value, path);
        context.absent.push(Absence { fault, path: path.to_owned(), wanted });
    }
}

fn may_be_executed(meta: &Metadata) -> bool {
    meta.permissions().mode() & 0o111 != 0
}

fn what_is_there(path: &Path, wanted: Wanted) -> String {
    let shown = path.display();
    match (path.metadata(), wanted) {
        (Err(_), _) if path.symlink_metadata().is_ok() => format!("{shown} is a link that leads nowhere"),
        (Err(_), _) => format!("{shown} does not exist"),
        (Ok(meta), Wanted::Program) if meta.is_file() => format!("{shown} is not executable"),
        (Ok(_), Wanted::File | Wanted::Program) => format!("{shown} is not a file"),
        (Ok(_), Wanted::Folder) => format!("{shown} is not a folder"),
    }
}

/// Adds what was probably meant.
pub(super) fn with_advice(fault: Diagnostic, written: &str, path: &Path) -> Diagnostic {
    if written.starts_with('~') {
        return fault.help("`~` is not expanded: write the path out");
    }
    match neighbour(path) {
        Some(name) if !path.exists() => {
            let folder = written.rfind('/').map_or("", |end| &written[..=end]);
            fault.help(format!("did you mean `{folder}{name}`?"))
        }
        _ => fault,
    }
}

/// The entry of the same folder whose name is nearest.
fn neighbour(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let entries = path.parent()?.read_dir().ok()?.take(MOST_ENTRIES).flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    nearest(name, &names).map(str::to_owned)
}
