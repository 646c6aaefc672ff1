//! Where the stub service is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The stub next to `pipctl`; built when it is missing or older than its source.
///
/// # Panics
/// When it cannot be built.
pub fn stub(pipctl: &Path) -> &'static Path {
    static STUB: OnceLock<PathBuf> = OnceLock::new();
    STUB.get_or_init(|| {
        let folder = pipctl.parent().unwrap();
        let stub = folder.join("stub");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/stub.rs");
        let modified = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
        if modified(&stub).is_none_or(|built| modified(&source).is_some_and(|changed| changed > built)) {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["build", "--quiet", "-p", "pipd-testkit", "--bin", "stub"]);
            if folder.ends_with("release") {
                cargo.arg("--release");
            }
            cargo.arg("--target-dir").arg(folder.parent().unwrap());
            assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        }
        stub
    })
}
