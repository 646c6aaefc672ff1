//! A disk that stands still, and processes that die meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::super::{Spill, fault};
use super::crash::quietly;
use super::*;

enum Event {
    Prints(Stream, Vec<u8>),
    Reads,
    Stalls,
    GoesOn,
}

#[derive(Default)]
struct Shim {
    writer: Option<Writer>,
    spill: Option<Spill>,
}

/// Plays a script with a death after so many steps, each followed by a successor; how many died.
fn play(place: &Place, script: &[Event], deaths: &[u32]) -> u32 {
    let pipes = [Pipe::default(), Pipe::default()];
    let (mut deaths, mut died) = (deaths.iter(), 0);
    let mut shim = Shim::default();
    let mut step = |shim: &mut Shim, work: &dyn Fn(&mut Writer, &mut Option<Spill>)| loop {
        if shim.writer.is_none() {
            fault::die_after(deaths.next().copied());
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut writer = shim.writer.take().unwrap_or_else(|| place.writer());
            let mut spill = shim.spill.take();
            work(&mut writer, &mut spill);
            (writer, spill)
        }));
        match outcome {
            Ok((writer, spill)) => {
                (shim.writer, shim.spill) = (Some(writer), spill);
                return;
            }
            Err(_) => died += 1,
        }
    };
    step(&mut shim, &|writer, _| writer.started(1, 1));
    let read = |writer: &mut Writer, spill: &mut Option<Spill>| {
        for (stream, pipe) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&pipes) {
            match spill {
                Some(spill) => while spill.read(stream, &mut pipe.clone()).unwrap() > 0 {},
                None => while writer.read(stream, &mut pipe.clone()).unwrap() > 0 {},
            }
        }
    };
    for event in script {
        match event {
            Event::Prints(stream, bytes) => pipes[stream.index()].put(bytes),
            Event::Reads => step(&mut shim, &read),
            Event::Stalls => step(&mut shim, &|_, spill| *spill = Some(Spill::begin(Some(&place.spills())))),
            Event::GoesOn => step(&mut shim, &|writer, spill| {
                if let Some(spill) = spill.take() {
                    writer.absorb(spill);
                }
            }),
        }
    }
    step(&mut shim, &read);
    step(&mut shim, &|writer, _| writer.ended(1, "exit code 0"));
    fault::die_after(None);
    died
}

const WIDE: LogSpec = LogSpec { file_bytes: 64 << 10, files: 1000 };

#[test]
fn case_47_every_line_is_logged_once_over_a_stall_whichever_step_a_shim_dies_at() {
    let script = [
        Event::Prints(Stream::Stdout, b"one\nhal".to_vec()),
        Event::Prints(Stream::Stderr, b"x\n".to_vec()),
        Event::Reads,
        Event::Stalls,
        Event::Prints(Stream::Stdout, b"f\ntwo\nth".to_vec()),
        Event::Reads,
        Event::Prints(Stream::Stdout, [b"ree\n".to_vec(), numbered(0..300), b"beg".to_vec()].concat()),
        Event::Prints(Stream::Stderr, numbered(0..50)),
        Event::Reads,
        Event::GoesOn,
        Event::Prints(Stream::Stdout, b"un\nlast\n".to_vec()),
        Event::Reads,
        // Ends with a line that was begun before the next stall, in its middle.
        Event::Stalls,
        Event::Prints(Stream::Stderr, b"y".to_vec()),
        Event::Reads,
        Event::GoesOn,
        Event::Prints(Stream::Stderr, b"z\n".to_vec()),
    ];
    let printed = |stream: Stream| {
        script.iter().fold(Vec::new(), |mut all, event| {
            if let Event::Prints(of, bytes) = event
                && *of == stream
            {
                all.extend(bytes);
            }
            all
        })
    };
    quietly(|| {
        for step in 0.. {
            let place = Place::new(WIDE.file_bytes, WIDE.files);
            let died = play(&place, &script, &[step]);
            for stream in [Stream::Stdout, Stream::Stderr] {
                let (said, expected) = (place.said(stream), printed(stream));
                assert!(
                    said == expected,
                    "death at {step}, {stream:?}: {:?} instead of {:?}",
                    String::from_utf8_lossy(&said),
                    String::from_utf8_lossy(&expected)
                );
            }
            assert_eq!(place.marks(), ["run 1 started, pid 1", "run 1 ended: exit code 0"]);
            assert!(!place.spills().exists(), "a spill is left behind");
            if died == 0 {
                assert!(step > 200, "only {step} steps: the points are gone");
                return;
            }
        }
    });
}

#[test]
fn case_47_what_the_memory_does_not_hold_is_counted_to_the_line() {
    let place = Place::new(WIDE.file_bytes, WIDE.files);
    let lines = numbered(0..30_000);
    let mut script = vec![Event::Stalls];
    script.extend(
        lines.chunks(7_001).flat_map(|part| [Event::Prints(Stream::Stdout, part.to_vec()), Event::Reads]),
    );
    // The last line that is dropped ends after the stall.
    script.extend([Event::Prints(Stream::Stdout, b"cut o".to_vec()), Event::Reads, Event::GoesOn]);
    script.extend([Event::Prints(Stream::Stdout, b"ff\nafter\n".to_vec()), Event::Reads]);
    play(&place, &script, &[]);
    let said = String::from_utf8(place.said(Stream::Stdout)).unwrap();
    let kept: Vec<&str> = said.lines().collect();
    let (rest, whole) = (kept.len() - 2, 30_001);
    assert!(rest > 1_000 && rest < 30_000);
    for (number, line) in kept[..rest].iter().enumerate() {
        assert_eq!(*line, format!("line {number}"));
    }
    assert_eq!(kept[rest..], ["ff", "after"]);
    let marks = place.marks();
    let dropped = format!("dropped {} lines: the disk did not answer", whole - rest);
    assert_eq!(marks[1], dropped, "{marks:?}");
}
