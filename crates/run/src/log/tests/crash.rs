//! A writer that dies at every step it can die at.

use super::super::fault;
use super::*;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What happens to a writer.
#[derive(Clone, Debug)]
enum Event {
    Prints(Stream, Vec<u8>),
    Reads(Stream),
    Waits,
}

/// Runs a script with deaths after so many steps each, a successor after each death, and gives what is logged.
fn run(script: &[Event], deaths: &[u32], spec: LogSpec) -> (Place, u32) {
    let place = Place { dir: tempfile::tempdir().unwrap(), spec };
    let pipes = [Pipe::default(), Pipe::default()];
    let mut deaths = deaths.iter();
    let mut died = 0;
    let mut writer: Option<Writer> = None;
    let mut step = |writer: &mut Option<Writer>, work: &mut dyn FnMut(&mut Writer)| loop {
        if writer.is_none() {
            fault::die_after(deaths.next().copied());
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut living = writer.take().unwrap_or_else(|| place.writer());
            work(&mut living);
            living
        }));
        match outcome {
            Ok(living) => {
                *writer = Some(living);
                return;
            }
            Err(_) => died += 1,
        }
    };
    step(&mut writer, &mut |writer| writer.started(1, 1));
    for event in script {
        match event {
            Event::Prints(stream, bytes) => pipes[stream.index()].put(bytes),
            Event::Reads(stream) => {
                let mut pipe = pipes[stream.index()].clone();
                step(&mut writer, &mut |writer| drop(writer.read(*stream, &mut pipe)));
            }
            Event::Waits => step(&mut writer, &mut |writer| {
                writer.tick(std::time::Instant::now() + std::time::Duration::from_secs(1));
            }),
        }
    }
    step(&mut writer, &mut |writer| {
        for (stream, pipe) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&pipes) {
            while writer.read(stream, &mut pipe.clone()).unwrap() > 0 {}
        }
        writer.ended(1, "exit code 0");
    });
    fault::die_after(None);
    (place, died)
}

/// What a stream printed, with its last line ended.
fn printed(script: &[Event], stream: Stream) -> Vec<u8> {
    let mut all: Vec<u8> = script
        .iter()
        .filter_map(|event| match event {
            Event::Prints(of, bytes) if *of == stream => Some(bytes.as_slice()),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    if all.last().is_some_and(|&last| last != b'\n') {
        all.push(b'\n');
    }
    all
}

fn check(script: &[Event], deaths: &[u32], spec: LogSpec) -> Result<u32, TestCaseError> {
    let (place, died) = run(script, deaths, spec);
    for stream in [Stream::Stdout, Stream::Stderr] {
        let (said, expected) = (place.said(stream), printed(script, stream));
        let at = said.iter().zip(&expected).position(|(a, b)| a != b);
        prop_assert!(
            said == expected,
            "{stream:?}: {} bytes logged, {} printed, first difference at {at:?}",
            said.len(),
            expected.len()
        );
    }
    prop_assert_eq!(place.marks(), ["run 1 started, pid 1", "run 1 ended: exit code 0"]);
    Ok(died)
}

const WIDE: LogSpec = LogSpec { file_bytes: 64 << 10, files: 1000 };

#[test]
fn case_86_every_line_is_logged_once_whichever_step_the_writer_dies_at() {
    quietly(|| {
        let script = [
            Event::Prints(Stream::Stdout, b"one\ntwo\nhal".to_vec()),
            Event::Reads(Stream::Stdout),
            Event::Prints(Stream::Stderr, b"x".to_vec()),
            Event::Reads(Stream::Stderr),
            Event::Waits,
            Event::Prints(Stream::Stdout, [b"f\n".to_vec(), vec![b'y'; 40_000], b"\n".to_vec()].concat()),
            Event::Reads(Stream::Stdout),
            Event::Prints(Stream::Stderr, numbered(0..500)),
            Event::Reads(Stream::Stderr),
        ];
        let mut step = 0;
        while check(&script, &[step], WIDE).unwrap() > 0 {
            step += 1;
        }
        assert!(step > 200, "only {step} steps: the points are gone");
        // And its successor, too, a few steps later.
        for first in (0..step).step_by(17) {
            for second in (0..24).step_by(3) {
                check(&script, &[first, second], WIDE).unwrap();
            }
        }
    });
}

fn script() -> impl Strategy<Value = Vec<Event>> {
    let stream = prop::sample::select(vec![Stream::Stdout, Stream::Stderr]);
    let chunk = prop_oneof![
        4 => prop::collection::vec(prop::sample::select(b"ab\n\xc3\xa4".to_vec()), 0..30),
        2 => (0usize..3_000).prop_map(|count| numbered(0..count)),
        1 => (0usize..90_000).prop_map(|length| vec![b'z'; length]),
    ];
    let event = prop_oneof![
        3 => (stream.clone(), chunk).prop_map(|(stream, bytes)| Event::Prints(stream, bytes)),
        4 => stream.prop_map(Event::Reads),
        1 => Just(Event::Waits),
    ];
    prop::collection::vec(event, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_line_is_logged_once_over_many_deaths(
        script in script(),
        deaths in prop::collection::vec(0u32..150, 0..8),
    ) {
        quietly(|| check(&script, &deaths, WIDE))?;
    }
}

/// The deaths are no news.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"killed") {
                before(info);
            }
        }));
    });
    work()
}
