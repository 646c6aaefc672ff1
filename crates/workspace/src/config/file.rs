//! Reading a configuration file, and everything that can be wrong with it before its first line.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::caller::quoted;
use crate::diagnostic::{Diagnostic, Source};
use crate::{Caller, Error};

/// No configuration a person wrote is longer.
const LIMIT: u64 = 1 << 20;

/// What keeps a file from being text.
pub(crate) enum Fault {
    Io(io::Error),
    NotAFile,
    TooLong,
    /// Everything up to the first byte that is no UTF-8, and everything with that byte replaced.
    NotUtf8 {
        good: usize,
        lossy: String,
    },
}

/// The text of a file, without a byte order mark.
pub(crate) fn text(path: &Path) -> Result<String, Fault> {
    let meta = path.metadata().map_err(Fault::Io)?;
    if !meta.is_file() {
        return Err(Fault::NotAFile);
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Fault::Io)?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(Fault::Io)?;
    if bytes.len() as u64 > LIMIT {
        return Err(Fault::TooLong);
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|error| Fault::NotUtf8 {
        good: error.utf8_error().valid_up_to(),
        lossy: String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The same, with the fault as an error for people.
pub(super) fn read(path: &Path, caller: &Caller) -> Result<Source, Error> {
    let fault = match text(path) {
        Ok(text) => return Ok(Source { path: path.to_path_buf(), text }),
        Err(fault) => fault,
    };
    let folder = path.parent().unwrap_or(path);
    let name = quoted(Path::new(path.file_name().unwrap_or_default()));
    let (problem, command) = match fault {
        Fault::NotUtf8 { good, lossy } => {
            // The replacement character takes three bytes, whatever stood there.
            let found = Diagnostic::new(good..good + 3, "not UTF-8 text", "this byte is not UTF-8")
                .help("save the file as UTF-8");
            return Err(Source { path: path.to_path_buf(), text: lossy }.fail(vec![found]).into());
        }
        Fault::TooLong => (
            format!("longer than {} MiB, which is not a configuration", LIMIT >> 20),
            format!("ls -l {name}"),
        ),
        Fault::NotAFile => ("not a file".to_owned(), format!("ls -ld {name}")),
        Fault::Io(error) => match path.read_link() {
            Ok(target) if error.kind() == io::ErrorKind::NotFound => {
                (format!("a link to {}, which does not exist", target.display()), format!("rm {name}"))
            }
            _ if error.kind() == io::ErrorKind::PermissionDenied => {
                ("permission denied".to_owned(), format!("chmod u+r {name}"))
            }
            _ => (error.to_string(), format!("ls -l {name}")),
        },
    };
    Err(Error::File { path: path.to_path_buf(), problem, command: caller.command_in(folder, &command) })
}
