//! The exhaustive walk: every state one service can be in, every event in each of them, at every moment that
//! matters; and in each state and on each edge the properties the design promises.
//!
//! The state space is made finite by forgetting what cannot matter: where time and run numbers begin, how long
//! something is over, and counters beyond the point from which they change nothing.

mod properties;
mod world;

use alloc::vec::Vec;
use std::collections::HashSet;
use std::println;

use self::world::World;
use crate::{Event, Exit, Goal, Millis, Policy, Restart, Restored, RunId, Service};

/// A policy with small numbers, all multiples of [`world::TICK`], that differ where it matters.
fn small(restart: Restart, start_limit: Option<u32>, probed: bool) -> Policy {
    Policy {
        restart,
        first_ms: 0,
        healthy_after_ms: 1_000,
        cap_ms: 0,
        start_limit,
        start_timeout_ms: 500,
        stop_allowance_ms: 250,
        probed,
        takeover_ms: Some(750),
    }
}

/// Where a service can come from: never seen before, or restored in every way there is.
fn beginnings() -> Vec<World> {
    let run = RunId(7);
    let mut restored = std::vec![
        Restored::Nothing,
        Restored::Resting,
        Restored::Finished,
        Restored::GaveUp,
        Restored::ByHand
    ];
    for uptime_ms in [0, 5_000] {
        for exit in world::EXITS {
            restored.push(Restored::Ended { run, exit, uptime_ms });
        }
        for ready in [false, true] {
            for stopping in [false, true] {
                restored.push(Restored::Alive { run, ready, stopping, uptime_ms });
            }
        }
    }
    let mut worlds = std::vec![World::around(Service::new())];
    for goal in [Goal::Up, Goal::Down] {
        for &how in &restored {
            worlds.push(World::around(Service::restore(goal, run, how, world::NOW)));
            worlds.push(World::around(Service::restore(goal, run, how, world::NOW).with_history(3, 3)));
        }
    }
    worlds
}

/// Walks everything that can be reached under one policy; returns how many states and edges there are.
fn walk(policy: &Policy) -> (usize, usize) {
    let mut seen: HashSet<World> = HashSet::new();
    let mut open: Vec<World> =
        beginnings().into_iter().map(|world| world.normal(world::NOW, policy)).collect();
    let mut edges = 0;
    seen.extend(open.iter().cloned());
    while let Some(world) = open.pop() {
        assert!(seen.len() < 100_000, "the state space is not finite");
        properties::of_state(&world, policy);
        for at in world.moments() {
            for event in world.possible() {
                let mut next = world.clone();
                let actions = next.step(event, at, policy);
                properties::of_edge(&world, event, at, &actions, &next, policy);
                let next = next.normal(at, policy);
                edges += 1;
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    (seen.len(), edges)
}

fn report(name: &str, policy: &Policy) {
    let (states, edges) = walk(policy);
    println!("{name}: {states} states, {edges} edges");
    assert!(states > 100, "{name}: only {states} states were reached");
}

#[test]
fn every_state_of_a_service_that_restarts_on_failure() {
    report("on-failure", &small(Restart::OnFailure, None, true));
}

#[test]
fn every_state_of_a_service_that_always_restarts_up_to_a_limit() {
    report("always, limit 3", &small(Restart::Always, Some(3), true));
}

#[test]
fn every_state_of_a_service_that_never_restarts() {
    report("never", &small(Restart::Never, None, true));
}

#[test]
fn every_state_of_a_service_nobody_probes() {
    report("unprobed", &small(Restart::OnFailure, None, false));
}

#[test]
fn every_state_of_a_service_that_leaves_the_port_to_others() {
    report("leave", &Policy { takeover_ms: None, ..small(Restart::OnFailure, None, true) });
}

/// Deadlines that are zero long must not make the core run in circles.
#[test]
fn every_state_with_no_time_at_all() {
    let nothing = Policy {
        healthy_after_ms: 0,
        start_timeout_ms: 0,
        stop_allowance_ms: 0,
        takeover_ms: Some(0),
        ..small(Restart::OnFailure, Some(2), true)
    };
    report("no time", &nothing);
}

/// A limit without end is no deadline at all.
#[test]
fn endless_limits_are_no_deadlines() {
    let endless = Policy {
        start_timeout_ms: Millis::MAX,
        stop_allowance_ms: Millis::MAX,
        ..small(Restart::OnFailure, None, true)
    };
    let mut service = Service::new();
    service.step(Event::Start { request: Some(crate::RequestId(1)) }, 5, &endless);
    service.step(Event::Spawned { run: RunId(1) }, 5, &endless);
    assert_eq!(service.deadline(), None);
    service.step(Event::Stop { request: None }, 5, &endless);
    assert_eq!(service.deadline(), None);
    service.step(Event::Exited { run: RunId(1), exit: Exit::CLEAN }, 5, &endless);
    assert_eq!(service, Service { since: 5, last_run: RunId(1), ..Service::new() });
}
