//! Requests, answers and what comes between them.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod fake;

use std::path::Path;
use std::time::{Duration, Instant};

use client::{CallError, Client, Progress};
use fake::{Fake, no, ok};
use wire::{
    Request, Snapshot, StartParams, StatusParams, StopParams, VerbAnswer, WorkspaceSpec, code,
    notification_line,
};

fn snapshot(generation: u64) -> Snapshot {
    Snapshot { generation, ..Snapshot::default() }
}

fn changed(generation: u64) -> Vec<u8> {
    notification_line("status.changed", &snapshot(generation)).unwrap()
}

fn start() -> StartParams {
    let workspace = WorkspaceSpec {
        root: "/w".into(),
        env: Default::default(),
        services: Vec::new(),
        notes: Vec::new(),
        warnings: Vec::new(),
        depends: Vec::new(),
    };
    StartParams {
        workspace,
        services: Vec::new(),
        no_wait: false,
        timeout_ms: None,
        refresh_env: false,
        force: false,
        port: None,
        takeover: false,
        takeover_pids: Vec::new(),
        seen_runs: Default::default(),
        when_idle: false,
    }
}

#[derive(Default)]
struct Seen {
    generations: Vec<u64>,
    ticks: usize,
    every: Option<Duration>,
}

impl Progress for Seen {
    fn interval(&self) -> Option<Duration> {
        self.every
    }

    fn tick(&mut self) {
        self.ticks += 1;
    }

    fn changed(&mut self, snapshot: &Snapshot) {
        self.generations.push(snapshot.generation);
    }
}

#[test]
fn a_waiting_start_hands_on_what_changes_meanwhile() {
    let fake = Fake::greeting(|frame| match &frame.request {
        Request::Subscribe(_) => vec![ok(frame, &snapshot(1))],
        Request::Start(_) => vec![changed(2), changed(3), ok(frame, &VerbAnswer::default()), changed(4)],
        _ => Vec::new(),
    });
    let mut client = Client::connect(&fake.locations()).unwrap();
    assert_eq!(client.subscribe(Some(Path::new("/w"))).unwrap().generation, 1);
    let mut seen = Seen::default();
    assert_eq!(client.start(start(), &mut seen).unwrap(), VerbAnswer::default());
    assert_eq!(seen.generations, [2, 3]);
    // Whoever reads the changes later misses none of them.
    let later: Vec<u64> = client.changes().take(3).map(|change| change.unwrap().generation).collect();
    assert_eq!(later, [2, 3, 4]);
    assert!(client.changes().next_within(Duration::from_millis(10)).unwrap().is_none());
    let asked = fake.asked.lock().unwrap();
    assert_eq!(asked[1], Request::Subscribe(StatusParams { root: Some("/w".into()), details: false }));
    assert_eq!(asked[2], Request::Start(start()));
}

#[test]
fn greeting_and_status_take_one_round_trip() {
    let fake = Fake::new(|_| {
        // The answer to `hello` comes only after the next request: nobody may wait for it before.
        let mut greeting = None;
        Box::new(move |frame| match &frame.request {
            Request::Hello(_) => {
                greeting = fake::greet(frame);
                Some(Vec::new())
            }
            _ => Some(vec![greeting.take().unwrap_or_default(), ok(frame, &snapshot(5))]),
        })
    });
    let (client, snapshot) = Client::connect_for_status(&fake.locations(), None).unwrap();
    assert_eq!(client.daemon().pid, 4711);
    assert_eq!(snapshot.unwrap().generation, 5);
}

#[test]
fn changes_end_with_the_connection() {
    let fake = Fake::new(|_| {
        Box::new(|frame| match &frame.request {
            Request::Hello(_) => fake::greet(frame).map(|line| vec![line]),
            Request::Subscribe(_) => Some(vec![ok(frame, &snapshot(1)), changed(2)]),
            _ => None,
        })
    });
    let mut client = Client::connect(&fake.locations()).unwrap();
    client.subscribe(None).unwrap();
    assert_eq!(client.changes().next().unwrap().unwrap().generation, 2);
    assert!(matches!(client.why(Path::new("/w"), "x"), Err(CallError::Gone)));
    assert!(client.changes().next().is_none());
}

#[test]
fn a_refusal_keeps_its_code_and_words() {
    let fake = Fake::greeting(|frame| vec![no(frame, code::UNKNOWN_NAME, "no service `x`; it has: a, b")]);
    let mut client = Client::connect(&fake.locations()).unwrap();
    let error = client.why(Path::new("/w"), "x").unwrap_err();
    assert!(matches!(&error, CallError::Refused(refusal) if refusal.code == code::UNKNOWN_NAME));
    assert_eq!(error.to_string(), "no service `x`; it has: a, b");
    // The connection is good for more.
    assert!(matches!(client.why(Path::new("/w"), "x"), Err(CallError::Refused(_))));
}

#[test]
fn a_daemon_that_freezes_later_is_noticed_too() {
    let fake = Fake::greeting(|_| Vec::new());
    let mut client = Client::connect(&fake.locations()).unwrap();
    let begun = Instant::now();
    assert!(matches!(client.status(None), Err(CallError::Timeout(_))));
    assert!(begun.elapsed() < Duration::from_millis(2_500));
    let mut seen = Seen { every: Some(Duration::from_millis(20)), ..Seen::default() };
    let limited = StartParams { timeout_ms: Some(1), ..start() };
    assert!(matches!(client.start(limited, &mut seen), Err(CallError::Timeout(_))));
    assert!(seen.ticks > 10, "{}", seen.ticks);
}

#[test]
fn a_late_answer_is_not_taken_for_the_next_one() {
    let fake = Fake::new(|_| {
        let mut first = None;
        Box::new(move |frame| {
            if let Some(line) = fake::greet(frame) {
                return Some(vec![line]);
            }
            match first.take() {
                None => {
                    first = Some(ok(frame, &snapshot(1)));
                    Some(Vec::new())
                }
                Some(late) => Some(vec![late, ok(frame, &snapshot(2))]),
            }
        })
    });
    let mut client = Client::connect(&fake.locations()).unwrap();
    assert!(matches!(client.status(None), Err(CallError::Timeout(_))));
    assert_eq!(client.status(None).unwrap().generation, 2);
}

#[test]
fn a_request_longer_than_the_protocol_allows_is_not_sent() {
    let fake = Fake::greeting(|frame| vec![ok(frame, &VerbAnswer::default())]);
    let mut client = Client::connect(&fake.locations()).unwrap();
    let mut large = start();
    large.workspace.notes.push("x".repeat(wire::MAX_LINE_BYTES));
    assert!(matches!(client.start(large, &mut ()), Err(CallError::TooLong(_))));
    // A large one that fits arrives whole.
    let mut fits = start();
    fits.workspace.notes.push("x".repeat(2 << 20));
    client.start(fits.clone(), &mut ()).unwrap();
    assert_eq!(fake.asked.lock().unwrap().last(), Some(&Request::Start(fits)));
}

#[test]
fn a_large_snapshot_arrives_whole() {
    let large = Snapshot { warnings: vec!["w".repeat(3 << 20)], ..Snapshot::default() };
    let answer = large.clone();
    let fake = Fake::greeting(move |frame| vec![ok(frame, &answer)]);
    assert_eq!(Client::connect(&fake.locations()).unwrap().status(None).unwrap(), large);
}

#[test]
fn stopping_the_daemon_returns_when_its_lock_is_free() {
    // This fake keeps its lock, under another pid than it claims: so it counts as a successor.
    let fake = Fake::greeting(|frame| vec![ok(frame, &serde_json::json!({}))]);
    Client::connect(&fake.locations()).unwrap().daemon_stop().unwrap();
    Client::connect(&fake.locations()).unwrap().handover().unwrap();
    let asked = fake.asked.lock().unwrap();
    assert!(asked.contains(&Request::DaemonStop) && asked.contains(&Request::DaemonHandover));
}

#[test]
fn a_stop_says_what_it_means() {
    let fake = Fake::greeting(|frame| vec![ok(frame, &VerbAnswer::default())]);
    let params = StopParams {
        root: "/w".into(),
        services: vec!["jupyter".into()],
        no_wait: true,
        timeout_ms: None,
        force: true,
        when_idle: false,
        all_processes: true,
    };
    Client::connect(&fake.locations()).unwrap().stop(params.clone(), &mut ()).unwrap();
    assert_eq!(fake.asked.lock().unwrap()[1], Request::Stop(params));
}
