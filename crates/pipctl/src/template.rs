//! The workspace that `pipctl new` makes when it is given none to copy.

use std::io;
use std::path::Path;

/// Its files. `@NAME@` stands for the name of the new one.
const FILES: [(&str, &str); 7] = [
    ("server.py", include_str!("template/server.py")),
    ("hello.ipynb", include_str!("template/hello.ipynb")),
    ("requirements.txt", include_str!("template/requirements.txt")),
    ("pipd.toml", include_str!("template/pipd.toml")),
    ("flake.nix", include_str!("template/flake.nix")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore")),
];

/// Writes them.
pub(crate) fn write(folder: &Path, name: &str) -> io::Result<()> {
    for (file, text) in FILES {
        std::fs::write(folder.join(file), text.replace("@NAME@", name))?;
    }
    Ok(())
}
