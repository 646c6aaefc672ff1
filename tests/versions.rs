//! Programs of different releases beside each other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Sandbox, sandbox};

/// The programs in a folder of their own, the shim made to say that it is of another release.
fn with_a_shim_of_another_release(sandbox: &Sandbox, release: &str) -> PathBuf {
    let folder = sandbox.folder().join("programs");
    std::fs::create_dir(&folder).unwrap();
    for name in ["pipctl", "pipd", "pipd-shim"] {
        std::fs::copy(sandbox.program().with_file_name(name), folder.join(name)).unwrap();
    }
    rename_release(&folder.join("pipd-shim"), release);
    folder
}

/// Every mention of this release in a program becomes another of the same length.
fn rename_release(program: &Path, release: &str) {
    let own = env!("CARGO_PKG_VERSION").as_bytes();
    assert_eq!(own.len(), release.len());
    let mut bytes = std::fs::read(program).unwrap();
    let found: Vec<usize> =
        bytes.windows(own.len()).enumerate().filter(|(_, part)| *part == own).map(|(at, _)| at).collect();
    for at in found {
        bytes[at..at + own.len()].copy_from_slice(release.as_bytes());
    }
    std::fs::write(program, bytes).unwrap();
}

#[test]
fn the_release_of_shims_is_told_until_their_services_are_restarted() {
    let sandbox = sandbox!();
    let programs = with_a_shim_of_another_release(&sandbox, "0.0.9");
    let port = sandbox.port();
    let workspace = sandbox.workspace("older");
    workspace.stub_service("web", &format!("--listen {port}"), &format!("port = {port}"));
    let mut start = workspace.command(programs.join("pipctl"));
    start.arg("start");
    workspace.run(start, testkit::LONG).ok();
    assert_eq!(workspace.service("web").shim_version.as_deref(), Some("0.0.9"));
    let said = sandbox.pipctl(&["version"]).ok();
    assert!(said.stdout.contains("shims 0.0.9 (1 service)\n"), "{said}");
    assert!(said.stdout.contains("pipctl restart"), "{said}");
    let versions: Value = sandbox.pipctl(&["version", "--json"]).ok().json();
    assert_eq!(versions["shims"], json!([{ "version": "0.0.9", "services": 1 }]));

    // The daemon of this installation takes it over as it is; the next run has a shim of its own.
    let before = workspace.service("web");
    sandbox.pipctl(&["daemon", "restart"]).ok();
    let now = workspace.await_phase("web", wire::Phase::Ready);
    assert_eq!((now.pid, now.shim_version.as_deref()), (before.pid, Some("0.0.9")));
    workspace.pipctl(&["restart"]).ok();
    assert_eq!(workspace.service("web").shim_version, None);
    let said = sandbox.pipctl(&["version"]).ok();
    let own = env!("CARGO_PKG_VERSION");
    assert!(said.stdout.contains(&format!("shims {own} (1 service)\n")), "{said}");
    assert!(!said.stdout.contains("restart"), "{said}");
}
