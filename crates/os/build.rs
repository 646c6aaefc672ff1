//! Links the unwinder of libgcc statically where there is one: the programs then load one shared library less,
//! a tenth of the time a `pipctl status` takes. Where it cannot be found, nothing changes.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CC");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let same = std::env::var("HOST").ok() == std::env::var("TARGET").ok();
    if same
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && has_static_unwinder()
    {
        println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Whether the C compiler that links would find it. One that does not know answers with the bare name.
fn has_static_unwinder() -> bool {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let asked = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output();
    asked.is_ok_and(|answer| {
        let path = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        Path::new(&path).is_absolute() && Path::new(&path).is_file()
    })
}
