//! A daemon that comes back: everything goes on as if it had never been away.

use lifecycle::{Action, Answer, Block, Event, Exit, Goal, Policy, Restored, RunId, Service};

use crate::story::*;

const NOW: u64 = 5;

fn back(goal: Goal, restored: Restored) -> Story {
    Story::restored(Service::restore(goal, RunId(7), restored, NOW), policy())
}

fn alive(ready: bool, stopping: bool, uptime_ms: u64) -> Restored {
    Restored::Alive { run: RunId(7), ready, stopping, uptime_ms }
}

fn ended(exit: Exit, uptime_ms: u64) -> Restored {
    Restored::Ended { run: RunId(7), exit, uptime_ms }
}

#[test]
fn what_is_wanted_and_not_there_is_started() {
    back(Goal::Up, Restored::Nothing).due(Some(NOW)).then(NOW, Event::Deadline, &[spawn(8)], "spawning 8");
    back(Goal::Down, Restored::Nothing).due(None).quietly(NOW, Event::Deadline, "down");
}

#[test]
fn what_is_not_to_come_by_itself_waits_for_somebody_to_ask() {
    let resting = || back(Goal::Up, Restored::Resting).due(None);
    resting()
        .quietly(NOW, Event::Deadline, "down")
        .quietly(NOW + 1, Event::SourceChanged, "down")
        .quietly(NOW + 2, Event::Unblocked, "down")
        .then(NOW + 3, start(1), &[spawn(8)], "spawning 8");
    resting().then(NOW, Event::Stop { request: None }, &[Action::GoalChanged(Goal::Down)], "down");
}

#[test]
fn a_living_run_is_kept() {
    let story = back(Goal::Up, alive(true, false, 90_000)).due(None).quietly(NOW, Event::Deadline, "ready 7");
    story
        .then(NOW, start(1), &[answer(1, Answer::Already)], "ready 7")
        // Its uptime counts from its own beginning: a healthy stretch, though the clock began 6 ms ago.
        .then(NOW + 1, crash(7), &[spawn(8)], "spawning 8");
}

#[test]
fn health_from_before_counts() {
    let service = Service::restore(Goal::Up, RunId(7), alive(true, false, 90_000), NOW).with_history(5, 5);
    let story = Story::restored(service, policy()).then(NOW + 1, crash(7), &[spawn(8)], "spawning 8");
    assert_eq!((story.service.failures(), story.service.restarts()), (1, 6));
}

#[test]
fn a_run_that_was_starting_gets_what_is_left_of_its_time() {
    back(Goal::Up, alive(false, false, 4_000))
        .due(Some(NOW))
        .quietly(NOW, Event::Deadline, "starting 7")
        .due(Some(NOW + 6_000))
        .quietly(NOW + 6_000, Event::Deadline, "late 7");
    back(Goal::Up, alive(false, false, 40_000)).quietly(NOW, Event::Deadline, "late 7");
    // Whoever asks first is not turned away for it.
    back(Goal::Up, alive(false, false, 4_000))
        .quietly(NOW, start(1), "starting 7")
        .due(Some(NOW + 6_000))
        .then(NOW + 9, ready(7), &[answer(1, Answer::Ready)], "ready 7");
}

#[test]
fn a_run_nobody_probes_is_ready() {
    let service = Service::restore(Goal::Up, RunId(7), alive(false, false, 1), NOW);
    Story::restored(service, Policy { probed: false, ..policy() }).quietly(NOW, Event::Deadline, "ready 7");
}

#[test]
fn a_living_run_that_is_not_wanted_is_ended() {
    back(Goal::Down, alive(true, false, 0))
        .due(Some(NOW))
        .then(NOW, Event::Deadline, &[end(7)], "stopping 7: down")
        .due(Some(NOW + 5_000))
        .quietly(NOW + 1, exited(7, Exit::CLEAN), "down");
    // The shim may have missed it; asking twice harms nobody.
    back(Goal::Down, alive(true, true, 0))
        .then(NOW, stop(1), &[end(7)], "stopping 7: down")
        .then(NOW + 5_000, Event::Deadline, &[kill(7)], "killed 7: down")
        .then(NOW + 5_001, crash(7), &[answer(1, Answer::Stopped)], "down");
}

#[test]
fn a_restart_that_was_under_way_goes_on() {
    back(Goal::Up, alive(true, true, 0)).then(NOW, Event::Deadline, &[end(7)], "stopping 7: restart").then(
        NOW + 9,
        exited(7, Exit::CLEAN),
        &[spawn(8)],
        "spawning 8",
    );
    // It was over before anybody had to ask.
    back(Goal::Up, alive(true, true, 0))
        .then(NOW, exited(7, Exit::CLEAN), &[spawn(8)], "spawning 8")
        .due(None);
}

#[test]
fn an_end_nobody_saw_goes_the_way_of_an_end() {
    back(Goal::Up, ended(Exit::FAILURE, 3_000)).due(Some(NOW)).then(
        NOW,
        Event::Deadline,
        &[spawn(8)],
        "spawning 8",
    );
    back(Goal::Up, ended(Exit::CLEAN, 3_000)).quietly(NOW, Event::Deadline, "finished");
    back(Goal::Up, ended(COLLISION, 3_000)).quietly(NOW, Event::Deadline, "blocked: port");
    back(Goal::Up, ended(NOT_EXECUTED, 0)).quietly(NOW, Event::Deadline, "blocked: exec");
    back(Goal::Up, ended(MACHINE, 0)).quietly(NOW, Event::Deadline, "blocked: machine");
    back(Goal::Up, ended(SESSION_END, 0)).quietly(NOW, Event::Deadline, "down");
    back(Goal::Down, ended(Exit::FAILURE, 3_000)).due(None).quietly(NOW, Event::Deadline, "down");
    // A stop that comes first wins.
    back(Goal::Up, ended(Exit::FAILURE, 0)).then(
        NOW,
        stop(1),
        &[goal(Goal::Down), answer(1, Answer::Stopped)],
        "down",
    );
}

#[test]
fn the_death_of_a_daemon_refills_no_budget() {
    let service =
        |exit, uptime| Service::restore(Goal::Up, RunId(7), ended(exit, uptime), NOW).with_history(4, 9);
    Story::restored(service(Exit::FAILURE, 10), policy())
        .quietly(NOW, Event::Deadline, "backoff")
        .due(Some(NOW + 2_000));
    Story::restored(service(Exit::FAILURE, 90_000), policy()).then(
        NOW,
        Event::Deadline,
        &[spawn(8)],
        "spawning 8",
    );
    Story::restored(service(Exit::FAILURE, 10), Policy { start_limit: Some(5), ..policy() }).quietly(
        NOW,
        Event::Deadline,
        "gave up",
    );
}

#[test]
fn what_was_at_rest_stays_at_rest() {
    back(Goal::Up, Restored::Finished).due(None).quietly(NOW, Event::Deadline, "finished");
    back(Goal::Up, Restored::GaveUp).due(None).quietly(NOW, Event::Deadline, "gave up");
    back(Goal::Down, Restored::Finished).quietly(NOW, Event::Deadline, "down");
    back(Goal::Up, Restored::Finished).then(NOW, START, &[spawn(8)], "spawning 8");
}

#[test]
fn a_run_believed_alive_may_never_have_lived() {
    back(Goal::Up, alive(false, false, 0))
        .quietly(NOW, Event::Deadline, "starting 7")
        .quietly(NOW + 1, blocked(7, Block::Machine), "blocked: machine")
        .then(NOW + 1_001, Event::Deadline, &[spawn(8)], "spawning 8");
}

#[test]
fn run_numbers_go_on_from_the_highest() {
    for (last, run) in [(9, 3), (3, 9)] {
        let run = RunId(run);
        let ended = Restored::Ended { run, exit: Exit::FAILURE, uptime_ms: 0 };
        let service = Service::restore(Goal::Up, RunId(last), ended, NOW);
        Story::restored(service, policy()).then(NOW, Event::Deadline, &[spawn(10)], "spawning 10");
    }
    let alive = Restored::Alive { run: RunId(9), ready: true, stopping: false, uptime_ms: 0 };
    let service = Service::restore(Goal::Up, RunId(3), alive, NOW);
    Story::restored(service, policy()).then(NOW, crash(9), &[spawn(10)], "spawning 10");
}

#[test]
fn a_port_left_to_whoever_ran_it_by_hand_stays_theirs() {
    // The countdown begins anew: nobody saw what happened meanwhile.
    back(Goal::Up, Restored::ByHand)
        .due(Some(NOW))
        .quietly(NOW, Event::Deadline, "quiet")
        .due(Some(NOW + 10_000))
        .then(NOW + 10_000, Event::Deadline, &[spawn(8)], "spawning 8");
    back(Goal::Up, Restored::ByHand).quietly(NOW, APPEARS, "external").quietly(NOW + 5, GOES, "quiet");
    back(Goal::Up, Restored::ByHand).then(NOW, start(1), &[spawn(8)], "spawning 8");
    back(Goal::Down, Restored::ByHand).due(None).quietly(NOW, Event::Deadline, "down");
    // What is left to others is not started by a new daemon either.
    let service = Service::restore(Goal::Up, RunId(7), Restored::ByHand, NOW);
    Story::restored(service, Policy { takeover_ms: None, ..policy() })
        .quietly(NOW, Event::Deadline, "quiet")
        .due(None)
        .quietly(NOW + 99_000, Event::Deadline, "quiet");
}
