//! Every target, for a bounded time on every change: `PIPD_FUZZ_SECONDS` for longer, `PIPD_TEST_SEED` for the same again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::time::Duration;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn keeps_its_promises(name: &str) {
    let target = fuzz::target(name).unwrap();
    let kept = target.seeds().len();
    assert!(kept >= 5, "only {kept} inputs to begin with: {}", target.corpus().display());
    let seed = setting("PIPD_TEST_SEED", std::process::id().into());
    println!("seed {seed}; again: PIPD_TEST_SEED={seed}");
    let tried = fuzz::mutate::run(&target, seed, Duration::from_secs(setting("PIPD_FUZZ_SECONDS", 4)));
    println!("{name}: {} inputs", tried.inputs);
    if let Some((input, how)) = tried.broken {
        panic!(
            "{how}\nby {:?}\nkeep it in {} (seed {seed})",
            String::from_utf8_lossy(&input),
            target.corpus().display()
        );
    }
    assert!(tried.inputs > kept as u64, "nothing but what is kept was tried");
}

#[test]
fn case_53_55_any_line_from_a_peer() {
    keeps_its_promises("wire");
}

#[test]
fn case_67_any_configuration() {
    keeps_its_promises("config");
}

#[test]
fn case_24_90_any_record() {
    keeps_its_promises("state");
}

#[test]
fn case_83_86_any_log_and_spool() {
    keeps_its_promises("log");
}

/// An engine that finds nothing must be one that would have found it.
#[test]
fn what_is_broken_is_found() {
    const FATAL: &[u8] = b"99999999999999999999999";
    fn careless(bytes: &[u8]) {
        assert!(!bytes.windows(FATAL.len()).any(|window| window == FATAL), "too many nines");
    }
    let target = fuzz::Target { run: careless, ..fuzz::target("wire").unwrap() };
    let tried = fuzz::mutate::run(&target, 1, Duration::from_secs(120));
    let (input, how) = tried.broken.expect("it is found");
    assert!(how.contains("too many nines"), "{how}");
    assert!(tried.inputs > target.seeds().len() as u64, "the inputs it begins with are harmless");
    assert!(input.windows(FATAL.len()).any(|window| window == FATAL));
}
