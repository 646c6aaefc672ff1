//! No file makes the reader panic, and every complaint ends in the command to type.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod common;

use common::World;
use proptest::prelude::*;

const GOOD: &str = r#"# everything at once
[workspace]
python = ".venv"
env = { A = "1", B = false }
ports = "auto"

[services.server]
script = "server.py"
ready = { http = "/health", status = 200, timeout = "1m 30s", owner = "any" }
after = ["web"]

[services.jupyter]
args = ["--a"]
allow_root = true

[services.web]
command = ["true", "{port}", "é"]
port = 6006
restart = { policy = "on-failure", first = "0s", healthy_after = "60s", cap = "30s", start_limit = 3 }
stop = { signal = "INT", grace = "5s" }
logs = { file_size = "10MiB", files = 5 }
"#;

thread_local! {
    /// Tests run in threads of their own, so each has its world.
    static WORLD: World = World::complete();
}

fn check(text: &[u8]) {
    WORLD.with(|world| check_in(world, text));
}

fn check_in(world: &World, text: &[u8]) {
    std::fs::write(world.path.join("pipd.toml"), text).unwrap();
    if let Err(error) = world.load() {
        for color in [true, false] {
            let shown = error.render(color);
            assert!(shown.contains("type: "), "{shown}");
        }
        assert!(error.to_string().contains("type: "), "{error}");
    }
}

#[test]
fn the_unchanged_file_is_good() {
    let world = World::complete().file("pipd.toml", GOOD);
    assert!(world.load().is_ok(), "{}", world.load().unwrap_err().render(false));
}

#[test]
fn every_beginning_and_every_missing_byte() {
    for at in 0..GOOD.len() {
        check(&GOOD.as_bytes()[..at]);
        let mut without = GOOD.as_bytes().to_vec();
        without.remove(at);
        check(&without);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn changed_files(changes in proptest::collection::vec((0..GOOD.len(), any::<u8>()), 1..6), line_end in any::<bool>()) {
        let mut bytes = GOOD.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if line_end {
            bytes = String::from_utf8_lossy(&bytes).replace('\n', "\r\n").into_bytes();
        }
        check(&bytes);
    }

    #[test]
    fn values_in_the_wrong_place(key in "[a-z_]{1,12}", value in prop_oneof![
        Just("1"), Just("-1"), Just("1.5"), Just("\"x\""), Just("\"5s\""), Just("true"), Just("[]"), Just("[1]"), Just("[\"a\"]"),
        Just("{}"), Just("{ http = 1 }"), Just("2020-01-01"), Just("\"\\u0000\""), Just("nan"), Just("99999999999999999999")]
    ) {
        for table in ["workspace", "services.server", "services.web", "services.jupyter"] {
            check(format!("[{table}]\n{key} = {value}\n").as_bytes());
        }
    }

    #[test]
    fn python_sources(source in ".{0,200}") {
        WORLD.with(|world| {
            std::fs::write(world.path.join("server.py"), format!("import fasthtml, uvicorn\n{source}")).unwrap();
            let _ = world.load();
        });
    }
}
