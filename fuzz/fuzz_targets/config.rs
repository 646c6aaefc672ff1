#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    (fuzz::target("config").expect("a target of this name").run)(bytes);
});
