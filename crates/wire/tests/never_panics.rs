//! Whatever a peer sends: read as what it is, or refused with a code. Never a panic, never more than was sent.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::sync::LazyLock;

use proptest::prelude::*;

/// Every line of the first release.
static GOLDEN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/tests/golden/0.1.0.jsonl");
    let text = std::fs::read(path).unwrap();
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
});

/// The promises, as every engine checks them.
fn check(line: &[u8]) {
    (fuzz::target("wire").unwrap().run)(line);
}

#[test]
fn case_55_every_line_of_the_first_release_cut_off_at_every_byte() {
    assert!(GOLDEN.len() > 20, "only {} lines", GOLDEN.len());
    for line in GOLDEN.iter() {
        assert!(wire::decode(line).is_ok(), "{}", String::from_utf8_lossy(line));
        check(line);
        for length in 0..line.len().min(3_000) {
            let cut = &line[..length];
            assert!(
                wire::decode(cut).is_err(),
                "half a line is a whole one: {}",
                String::from_utf8_lossy(cut)
            );
            check(cut);
        }
    }
}

fn json(depth: u32) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1e308".to_owned()),
        Just("-0.0".to_owned()),
        Just("99999999999999999999999".to_owned()),
        Just("\"\\u0000\"".to_owned()),
        Just("\"\\ud800\"".to_owned()),
        "[a-z./ü]{0,12}".prop_map(|text| format!("{text:?}")),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(
                (prop_oneof!["[a-z_]{1,8}", Just("root".to_owned()), Just("services".to_owned())], inner),
                0..4
            )
            .prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn case_53_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn case_55_changed_lines(
        which in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut line = which.get(&GOLDEN).clone();
        for (at, byte) in changes {
            let at = at.index(line.len());
            line[at] = byte;
        }
        check(&line);
    }

    #[test]
    fn case_55_any_parameters_of_any_method(
        method in prop::sample::select(vec![
            "hello", "start", "stop", "restart", "adopt", "environment.capture", "status", "subscribe", "service.details", "why", "daemon.stop",
            "daemon.handover", "levitate", "",
        ]),
        params in json(4), id in prop_oneof![Just("1"), Just("\"a\""), Just("null"), Just("[]"), Just("1e400"), Just("-7")],
        doubled: bool,
    ) {
        let again = if doubled { r#","method":"status""# } else { "" };
        check(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}{again}}}"#).as_bytes());
    }
}

#[test]
fn case_55_brackets_without_end_are_no_recursion_without_end() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [100, 200, 100_000] {
            check(format!("{}1{}", open.repeat(depth), close.repeat(depth)).as_bytes());
            let inside = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            check(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"status","params":{inside}}}"#).as_bytes());
        }
    }
}
