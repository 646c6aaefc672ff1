//! An engine that knows nothing of the code: inputs that are there, changed a little, again and again, from a number
//! that can be given. What fails is made as small as it gets.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::Target;

/// One change of an input. Places are fractions of its length, so that they mean something after another change.
#[derive(Clone, Debug)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    CutOff(Index),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    Word(Index, Index),
    /// A piece of another input.
    Splice(Index, Index, Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => at().prop_map(Change::CutOff),
        2 => (at(), 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => (at(), 1..40_usize, 1..60_usize).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        4 => (at(), at()).prop_map(|(at, word)| Change::Word(at, word)),
        2 => (at(), at(), at(), 1..200_usize)
            .prop_map(|(at, other, from, length)| Change::Splice(at, other, from, length)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change, seeds: &[Vec<u8>], words: &[&str]) {
    let length = bytes.len();
    let piece = |from: usize, of: &[u8], most: usize| of[from..of.len().min(from + most)].to_vec();
    let mut insert = |at: usize, piece: &[u8]| drop(bytes.splice(at..at, piece.iter().copied()));
    match *change {
        Change::Word(at, word) => insert(at.index(length + 1), words[word.index(words.len())].as_bytes()),
        Change::Splice(at, other, from, most) => {
            let other = &seeds[other.index(seeds.len())];
            insert(at.index(length + 1), &piece(from.index(other.len() + 1), other, most));
        }
        _ if length == 0 => {}
        Change::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Change::Set(at, byte) => bytes[at.index(length)] = byte,
        Change::CutOff(at) => bytes.truncate(at.index(length)),
        Change::Remove(at, most) => {
            let at = at.index(length);
            bytes.drain(at..length.min(at + most));
        }
        Change::Repeat(at, most, times) => {
            let at = at.index(length);
            let piece = piece(at, bytes, most).repeat(times);
            bytes.splice(at..at, piece);
        }
    }
}

/// What was tried and found.
#[derive(Debug)]
pub struct Tried {
    /// How many inputs.
    pub inputs: u64,
    /// The smallest input that was found to break a promise, and how.
    pub broken: Option<(Vec<u8>, String)>,
}

/// Tries the inputs that are there, then changed ones until the time is over.
///
/// # Panics
/// When there are no inputs to begin with.
pub fn run(target: &Target, seed: u64, time: Duration) -> Tried {
    let begun = Instant::now();
    let seeds = target.seeds();
    let mut inputs = 0;
    for input in &seeds {
        inputs += 1;
        if let Err(how) = attempt(target, input) {
            return Tried { inputs, broken: Some((input.clone(), how)) };
        }
    }
    let strategy = (any::<Index>(), prop::collection::vec(change(), 1..8)).prop_map(|(seed, changes)| {
        let mut bytes = seed.get(&seeds).clone();
        for change in &changes {
            apply(&mut bytes, change, &seeds, target.words);
        }
        bytes
    });
    for round in 0.. {
        if begun.elapsed() >= time {
            break;
        }
        let config = Config {
            cases: 64,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(seed.wrapping_add(round)),
            ..Config::default()
        };
        let result = TestRunner::new(config)
            .run(&strategy, |bytes| attempt(target, &bytes).map_err(TestCaseError::fail));
        inputs += 64;
        if let Err(TestError::Fail(how, bytes)) = result {
            return Tried { inputs, broken: Some((bytes, how.to_string())) };
        }
    }
    Tried { inputs, broken: None }
}

fn attempt(target: &Target, bytes: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
    })
}
