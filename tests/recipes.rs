//! Companions by their recipes: installed, added, started and stopped as a person would, with the programs themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::time::Duration;

use testkit::{LONG, get, sandbox, skip, until};
use wire::Phase;

/// For what comes over the network.
const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn tensorboard_is_added_started_and_stopped() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("w");
    workspace.config("[services.jupyter]\nenabled = false\n");
    workspace.write("requirements.txt", "tensorboard\n");
    let mut setup = workspace.command(sandbox.program());
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if ["PIP_", "UV_", "SSL_"].iter().any(|prefix| text.starts_with(prefix)) || text.ends_with("_PROXY") {
            setup.env(name, value);
        }
    }
    setup.arg("setup");
    let done = workspace.run(setup, PATIENCE);
    if done.code != 0 {
        skip!("they cannot be installed here");
    }
    let name = "tensorboard";
    let added = workspace.pipctl(&["add", name]).ok();
    assert!(!added.all().contains("needs "), "what it needs is installed: {added}");
    // A port of this test's own.
    let port = sandbox.port();
    let text = workspace.read("pipd.toml");
    assert!(text.contains("port = 6006\n"), "{text}");
    workspace.config(&text.replace("port = 6006\n", &format!("port = {port}\n")));
    let started = workspace.pipctl(&["start", name]).ok();
    // TensorBoard listens on another port first, for itself.
    assert!(!started.all().contains("warning"), "{started}");
    let service = workspace.service(name);
    assert_eq!((service.phase, &service.warnings), (Phase::Ready, &Vec::new()), "{service:?}");
    assert_eq!(get(&format!("http://127.0.0.1:{port}/")).unwrap().status, 200);
    workspace.pipctl(&["stop", name]).ok();
    until("its port to be free", LONG, || {
        std::net::TcpStream::connect(("127.0.0.1", port.number())).is_err()
    });
}
