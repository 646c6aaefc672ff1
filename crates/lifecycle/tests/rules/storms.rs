//! Services that crash, for minutes: never a storm, never given up, at once where it was healthy.

use lifecycle::{Action, Event, Exit, Millis, Policy, Restart, RunId, Service};

use crate::story::{COLLISION, START};

const MINUTE: Millis = 60_000;

/// Runs one service for `length`, every run ending with `exit` after the time `lives` gives it (by its number).
/// Returns when each run was started.
fn crash_for(length: Millis, policy: &Policy, exit: Exit, lives: impl Fn(u64) -> Millis) -> Vec<Millis> {
    let mut service = Service::new();
    let (mut now, mut starts, mut dies) = (0, Vec::new(), None);
    let mut actions = service.step(START, now, policy);
    while now < length {
        if let Some(run) = spawned_by(&actions) {
            starts.push(now);
            dies = Some((now + lives(run.0), run));
            assert_eq!(service.step(Event::Spawned { run }, now, policy), []);
        }
        let due = service.deadline().map(|at| (at, Event::Deadline));
        let end = dies.map(|(at, run)| (at, Event::Exited { run, exit }));
        let Some((at, event)) = [end, due].into_iter().flatten().min_by_key(|(at, _)| *at) else {
            panic!("it gave up after {} starts: {:?}", starts.len(), service.phase());
        };
        if event != Event::Deadline {
            dies = None;
        }
        assert!(at < now + 10 * MINUTE, "it is as good as given up");
        now = at;
        actions = service.step(event, now, policy);
    }
    starts
}

fn spawned_by(actions: &[Action]) -> Option<RunId> {
    actions.iter().find_map(|action| match action {
        Action::Spawn { run } => Some(*run),
        Action::GoalChanged(_)
        | Action::Adopt { .. }
        | Action::Stop { .. }
        | Action::Kill { .. }
        | Action::Answer { .. } => None,
    })
}

/// The most starts in any 60 s.
fn busiest_minute(starts: &[Millis]) -> usize {
    let within = |from: Millis| starts.iter().filter(|at| (from..from + MINUTE).contains(*at)).count();
    starts.iter().map(|from| within(*from)).max().unwrap_or(0)
}

fn gaps(starts: &[Millis]) -> Vec<Millis> {
    starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn case_06_crashing_at_once_for_ten_minutes() {
    let starts = crash_for(10 * MINUTE, &Policy::default(), Exit::FAILURE, |_| 0);
    let gaps = gaps(&starts);
    assert_eq!(gaps[..10], [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert_eq!(gaps.iter().max(), Some(&30_000), "the cap");
    assert!(gaps.is_sorted());
    assert!(busiest_minute(&starts) <= 12, "{starts:?}");
    assert!(starts.last().is_some_and(|last| *last > 9 * MINUTE), "it never stops trying");
}

#[test]
fn case_07_crashing_every_second_and_a_half() {
    let starts = crash_for(10 * MINUTE, &Policy::default(), Exit::FAILURE, |_| 1_500);
    assert!(busiest_minute(&starts) <= 12, "{starts:?}");
    assert_eq!(gaps(&starts).iter().max(), Some(&31_500), "living a little is no health");
    assert!(starts.last().is_some_and(|last| *last > 9 * MINUTE));
}

#[test]
fn crashing_just_before_it_counts_as_healthy() {
    let starts = crash_for(100 * MINUTE, &Policy::default(), Exit::FAILURE, |_| 59_999);
    assert_eq!(gaps(&starts).iter().max(), Some(&89_999));
}

#[test]
fn case_08_crashing_after_a_healthy_minute_is_followed_by_a_start_at_once() {
    let starts = crash_for(10 * MINUTE, &Policy::default(), Exit::FAILURE, |_| 61_000);
    assert!(gaps(&starts).iter().all(|gap| *gap == 61_000), "{starts:?}");
}

#[test]
fn a_healthy_stretch_refills_the_budget() {
    // Five crashes, then a healthy run and its end, over and over: the first delays come back.
    let lives = |run: u64| if run.is_multiple_of(6) { 60_000 } else { 0 };
    let starts = crash_for(10 * MINUTE, &Policy::default(), Exit::FAILURE, lives);
    let round = [250, 500, 1_000, 2_000, 4_000, 60_000];
    for six in gaps(&starts)[6..].chunks_exact(6) {
        assert_eq!(six, round, "{starts:?}");
    }
    assert!(busiest_minute(&starts) <= 12, "{starts:?}");
}

/// A service killed a hundred times, each time when it had just become healthy by its own measure.
#[test]
fn a_short_measure_of_health_makes_every_restart_immediate() {
    let policy = Policy { healthy_after_ms: 200, ..Policy::default() };
    let starts = crash_for(MINUTE, &policy, Exit::FAILURE, |run| 300 + run * 7 % 50);
    assert!(starts.len() > 150);
    assert!(gaps(&starts).iter().all(|gap| *gap < 350), "{starts:?}");
}

#[test]
fn no_configuration_makes_a_storm() {
    for first_ms in [0, 1, 50, 249, 250, 251, 1_000, 7_000, 29_999, 90_000] {
        for cap_ms in [0, 1, 500, 8_999, 9_000, 9_001, 30_000, Millis::MAX] {
            for lives in [0, 1, 100, 1_500, 4_000] {
                let policy = Policy { first_ms, cap_ms, ..Policy::default() };
                // So long a cap is as good as giving up, which is what was asked for.
                let length = if cap_ms == Millis::MAX { MINUTE } else { 5 * MINUTE };
                let starts = crash_for(length, &policy, Exit::FAILURE, |_| lives);
                assert!(busiest_minute(&starts) <= 12, "{policy:?} {lives}: {starts:?}");
                assert!(gaps(&starts).is_sorted(), "{policy:?} {lives}: {starts:?}");
            }
        }
    }
}

#[test]
fn ending_cleanly_again_and_again_is_no_storm_either() {
    let policy = Policy { restart: Restart::Always, ..Policy::default() };
    let starts = crash_for(10 * MINUTE, &policy, Exit::CLEAN, |_| 0);
    assert!(busiest_minute(&starts) <= 12, "{starts:?}");
}

/// The check says the port is free, the server says it is not: whoever is right, it is no storm.
#[test]
fn disagreeing_about_a_port_is_no_storm() {
    let policy = Policy::default();
    let mut service = Service::new();
    let (mut now, mut starts) = (0, Vec::new());
    let mut actions = service.step(START, now, &policy);
    while now < 10 * MINUTE {
        if let Some(run) = spawned_by(&actions) {
            starts.push(now);
            service.step(Event::Spawned { run }, now, &policy);
            actions = service.step(Event::Exited { run, exit: COLLISION }, now, &policy);
        } else {
            now += 10;
            actions = service.step(Event::Unblocked, now, &policy);
        }
    }
    assert!(busiest_minute(&starts) <= 12, "{starts:?}");
    assert!(starts.last().is_some_and(|last| *last > 9 * MINUTE), "{starts:?}");
    assert_eq!(service.failures(), 0);
}

/// A service that touches its own sources as it starts asks for an attempt each time it fails.
#[test]
fn a_service_that_edits_itself_is_tried_once_a_second_at_most() {
    let policy = Policy::default();
    let mut service = Service::new();
    let (mut now, mut starts) = (0, Vec::new());
    let mut actions = service.step(START, now, &policy);
    while now < MINUTE {
        if let Some(run) = spawned_by(&actions) {
            starts.push(now);
            service.step(Event::Spawned { run }, now, &policy);
            actions = service.step(Event::Exited { run, exit: Exit::FAILURE }, now, &policy);
        } else {
            now += 10;
            actions = service.step(Event::SourceChanged, now, &policy);
        }
    }
    assert!((50..=12 + 60).contains(&starts.len()), "{starts:?}");
}

/// An edit at any time costs one start more and shortens no delay but its own.
#[test]
fn an_edit_costs_one_start() {
    for edit_at in (0..MINUTE).step_by(4_777) {
        let policy = Policy::default();
        let mut service = Service::new();
        let (mut starts, mut edited) = (Vec::new(), false);
        let mut actions = service.step(START, 0, &policy);
        for now in 0..2 * MINUTE {
            while let Some(run) = spawned_by(&actions) {
                starts.push(now);
                actions = service.step(Event::Exited { run, exit: Exit::FAILURE }, now, &policy);
            }
            if !edited && now >= edit_at {
                edited = true;
                actions = service.step(Event::SourceChanged, now, &policy);
            } else if service.deadline().is_some_and(|at| at <= now + 1) {
                actions = service.step(Event::Deadline, now + 1, &policy);
            }
        }
        assert!(starts.len() >= 9, "{edit_at}: {starts:?}");
        assert!(busiest_minute(&starts) <= 13, "{edit_at}: {starts:?}");
    }
}
