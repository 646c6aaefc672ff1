//! Edits, servers started by hand, the end of the session.

use lifecycle::{Answer, Block, Event, Exit, Goal, Policy};

use crate::story::*;

/// In backoff until 10,250.
fn failing() -> Story {
    Story::of(policy())
        .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(0, crash(1), &[spawn(2)], "spawning 2")
        .quietly(10_000, crash(2), "backoff")
        .due(Some(10_250))
}

#[test]
fn an_edit_is_tried_at_once_and_forgives_nothing() {
    let story = failing()
        .then(10_050, Event::SourceChanged, &[spawn(3)], "spawning 3")
        .quietly(10_060, Event::SourceChanged, "spawning 3")
        .quietly(10_100, crash(3), "backoff")
        .due(Some(10_600));
    assert_eq!(story.service.failures(), 3);
}

#[test]
fn edits_that_follow_closely_are_tried_together() {
    let mut story = failing();
    // Deep in a crash loop, where the delays are long.
    for run in 3..8 {
        let at = story.service.deadline().expect("it tries again");
        story = story.then(at, Event::Deadline, &[spawn(run)], &format!("spawning {run}")).quietly(
            at,
            crash(run),
            "backoff",
        );
    }
    let now = 20_000;
    story
        .then(now, Event::SourceChanged, &[spawn(8)], "spawning 8")
        .quietly(now + 100, crash(8), "backoff")
        .quietly(now + 200, Event::SourceChanged, "backoff")
        .due(Some(now + 1_000))
        .quietly(now + 300, Event::SourceChanged, "backoff")
        .due(Some(now + 1_000))
        .then(now + 1_000, Event::Deadline, &[spawn(9)], "spawning 9");
}

#[test]
fn a_hand_started_server_does_the_work_while_it_is_there() {
    Story::of(policy())
        .quietly(0, APPEARS, "external")
        .then(1, start(1), &[goal(Goal::Up), answer(1, Answer::External)], "external")
        .then(2, restart(2), &[answer(2, Answer::External)], "external")
        .quietly(3, APPEARS, "external")
        .due(None)
        .then(9, GOES, &[spawn(1)], "spawning 1");
    Story::of(policy())
        .quietly(0, APPEARS, "external")
        .then(1, stop(1), &[answer(1, Answer::External)], "external")
        .quietly(9, GOES, "down");
}

#[test]
fn a_hand_started_server_ends_waiting() {
    failing().quietly(10_001, APPEARS, "external").due(None).then(99_000, GOES, &[spawn(3)], "spawning 3");
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(1, blocked(1, Block::After), "blocked: after")
        .then(2, APPEARS, &[answer(1, Answer::External)], "external")
        .then(3, stop(2), &[goal(Goal::Down), answer(2, Answer::External)], "external");
}

#[test]
fn a_hand_started_server_that_comes_and_goes_shortens_no_delay() {
    failing().quietly(10_001, APPEARS, "external").quietly(10_002, GOES, "backoff").due(Some(10_250));
}

#[test]
fn a_port_that_a_hand_started_server_holds_is_external() {
    let found = || {
        Story::of(policy()).then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1").quietly(
            1,
            APPEARS,
            "spawning 1",
        )
    };
    found().then(2, blocked(1, Block::Port), &[answer(1, Answer::External)], "external");
    // It did not stand in the way after all.
    found().quietly(2, spawned(1), "starting 1").then(3, ready(1), &[answer(1, Answer::Ready)], "ready 1");
    // It went in time.
    found().quietly(2, GOES, "spawning 1").then(
        3,
        blocked(1, Block::Port),
        &[answer(1, Answer::Blocked)],
        "blocked: port",
    );
}

#[test]
fn a_hand_started_server_seen_before_a_run_lived_is_forgotten_when_it_does() {
    Story::of(policy())
        .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(1, APPEARS, "spawning 1")
        .quietly(2, ready(1), "ready 1")
        .quietly(3, exited(1, COLLISION), "blocked: port");
}

#[test]
fn a_hand_started_server_beside_ours_changes_nothing() {
    Story::of_ready(policy())
        .quietly(1, APPEARS, "ready 1")
        .then(2, crash(1), &[spawn(2)], "spawning 2")
        .quietly(3, exited(2, Exit::CLEAN), "finished")
        .quietly(4, APPEARS, "finished")
        .then(5, START, &[spawn(3)], "spawning 3");
}

#[test]
fn the_end_of_the_session_stops_what_lives_and_keeps_the_goal() {
    let story = Story::of_ready(policy())
        .then(5, Event::SessionEnding, &[end(1)], "stopping 1: session end")
        .quietly(6, Event::SessionEnding, "stopping 1: session end")
        .quietly(7, exited(1, Exit::CLEAN), "down")
        .due(None)
        .quietly(8, Event::SourceChanged, "down")
        .quietly(8, Event::Unblocked, "down")
        .quietly(8, APPEARS, "down")
        .quietly(8, GOES, "down");
    assert_eq!(story.service.goal(), Goal::Up);
    story.then(9, START, &[spawn(2)], "spawning 2");
}

#[test]
fn the_end_of_the_session_answers_those_who_wait() {
    let starting = || {
        Story::of(policy())
            .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
            .then(1, Event::SessionEnding, &[answer(1, Answer::Superseded)], "stopping 1: session end")
            .then(2, start(2), &[answer(2, Answer::Superseded)], "stopping 1: session end")
    };
    starting().quietly(3, blocked(1, Block::Port), "down");
    starting()
        .then(3, spawned(1), &[end(1)], "stopping 1: session end")
        .then(4, stop(3), &[goal(Goal::Down)], "stopping 1: down")
        .then(5, crash(1), &[answer(3, Answer::Stopped)], "down");
    // Whoever waits for the end hears of it.
    Story::of_ready(policy())
        .then(1, stop(1), &[goal(Goal::Down), end(1)], "stopping 1: down")
        .quietly(2, Event::SessionEnding, "stopping 1: down")
        .then(3, crash(1), &[answer(1, Answer::Stopped)], "down");
    // And whoever waits for the next run hears that there is none.
    Story::of_ready(policy())
        .then(1, restart(1), &[end(1)], "stopping 1: restart")
        .then(2, Event::SessionEnding, &[answer(1, Answer::Superseded)], "stopping 1: session end")
        .quietly(3, crash(1), "down");
}

#[test]
fn the_end_of_the_session_ends_all_waiting() {
    failing().quietly(10_001, Event::SessionEnding, "down").due(None).quietly(
        99_000,
        Event::Deadline,
        "down",
    );
    Story::of_ready(Policy { start_limit: Some(1), ..policy() })
        .quietly(1, crash(1), "gave up")
        .quietly(2, Event::SessionEnding, "down")
        .quietly(3, Event::SourceChanged, "down");
}

#[test]
fn an_end_with_the_session_is_no_failure() {
    let story = Story::of_ready(policy()).quietly(5, exited(1, SESSION_END), "down").due(None);
    assert_eq!((story.service.goal(), story.service.failures()), (Goal::Up, 0));
    Story::of_ready(policy()).then(1, restart(1), &[end(1)], "stopping 1: restart").then(
        2,
        exited(1, SESSION_END),
        &[answer(1, Answer::Superseded)],
        "down",
    );
}

#[test]
fn stop_after_the_session_says_that_nothing_runs() {
    Story::of_ready(policy()).quietly(5, exited(1, SESSION_END), "down").then(
        6,
        STOP,
        &[goal(Goal::Down)],
        "down",
    );
}
