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
        .quietly(9, GOES, "quiet")
        .due(Some(10_009))
        .then(10_009, Event::Deadline, &[spawn(1)], "spawning 1");
    Story::of(policy())
        .quietly(0, APPEARS, "external")
        .then(1, stop(1), &[answer(1, Answer::External)], "external")
        .quietly(9, GOES, "down");
}

#[test]
fn a_hand_started_server_ends_waiting() {
    failing().quietly(10_001, APPEARS, "external").due(None).quietly(99_000, GOES, "quiet").then(
        109_000,
        Event::Deadline,
        &[spawn(3)],
        "spawning 3",
    );
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(1, blocked(1, Block::After), "blocked: after")
        .then(2, APPEARS, &[answer(1, Answer::External)], "external")
        .then(3, stop(2), &[goal(Goal::Down), answer(2, Answer::External)], "external");
}

#[test]
fn a_hand_started_server_that_comes_and_goes_shortens_no_delay() {
    let at_once = Policy { takeover_ms: Some(0), ..policy() };
    Story::of(at_once)
        .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(0, crash(1), &[spawn(2)], "spawning 2")
        .quietly(10_000, crash(2), "backoff")
        .quietly(10_001, APPEARS, "external")
        .quietly(10_002, GOES, "quiet")
        .due(Some(10_250));
}

/// In the countdown after its end: quiet until 10,009.
fn ended_by_hand() -> Story {
    Story::of(policy())
        .quietly(0, APPEARS, "external")
        .then(1, START, &[goal(Goal::Up)], "external")
        .quietly(9, GOES, "quiet")
        .due(Some(10_009))
}

#[test]
fn whoever_ended_a_server_by_hand_may_start_it_again() {
    ended_by_hand()
        .quietly(3_000, APPEARS, "external")
        .due(None)
        .quietly(50_000, GOES, "quiet")
        .due(Some(60_000));
    // In use by anybody: quiet begins when that is over.
    ended_by_hand()
        .quietly(8_000, GOES, "quiet")
        .due(Some(18_000))
        .quietly(9_000, Event::SourceChanged, "quiet")
        .quietly(9_000, Event::Unblocked, "quiet")
        .due(Some(18_000))
        .then(18_000, Event::Deadline, &[spawn(1)], "spawning 1");
}

#[test]
fn a_person_need_not_wait_for_the_quiet_to_end() {
    ended_by_hand().then(3_000, start(2), &[spawn(1)], "spawning 1");
    ended_by_hand().then(3_000, restart(2), &[spawn(1)], "spawning 1");
    ended_by_hand().then(3_000, stop(2), &[goal(Goal::Down), answer(2, Answer::Stopped)], "down");
    ended_by_hand().quietly(3_000, Event::SessionEnding, "down").due(None);
}

#[test]
fn a_service_that_leaves_the_port_to_others_is_started_by_request_only() {
    Story::of(Policy { takeover_ms: None, ..policy() })
        .quietly(0, APPEARS, "external")
        .then(1, START, &[goal(Goal::Up)], "external")
        .quietly(9, GOES, "quiet")
        .due(None)
        .quietly(99_000, Event::Deadline, "quiet")
        .quietly(99_000, GOES, "quiet")
        .quietly(99_001, APPEARS, "external")
        .quietly(99_002, GOES, "quiet")
        .then(99_003, start(2), &[spawn(1)], "spawning 1");
}

#[test]
fn what_was_stopped_stays_down_after_a_hand_started_server() {
    ended_by_hand()
        .quietly(3_000, APPEARS, "external")
        .then(4_000, stop(2), &[goal(Goal::Down), answer(2, Answer::External)], "external")
        .quietly(5_000, GOES, "down")
        .due(None);
}

#[test]
fn a_hand_started_server_is_adopted_in_place() {
    Story::of(policy())
        .quietly(0, APPEARS, "external")
        .then(1, adopt(1), &[goal(Goal::Up), adopted(1)], "spawning 1")
        .quietly(2, spawned(1), "starting 1")
        .then(3, ready(1), &[answer(1, Answer::Ready)], "ready 1")
        .then(4, adopt(2), &[answer(2, Answer::Already)], "ready 1")
        // From here on it is a run like every other.
        .then(5, crash(1), &[spawn(2)], "spawning 2");
}

#[test]
fn an_adoption_that_fails_leaves_it_as_it_was() {
    Story::of(policy())
        .quietly(0, APPEARS, "external")
        .then(1, adopt(1), &[goal(Goal::Up), adopted(1)], "spawning 1")
        .quietly(2, APPEARS, "spawning 1")
        .then(3, blocked(1, Block::Machine), &[answer(1, Answer::External)], "external")
        .quietly(4, GOES, "quiet");
}

#[test]
fn where_nobody_runs_it_by_hand_there_is_nothing_to_adopt() {
    let story = Story::of(policy()).then(0, adopt(1), &[answer(1, Answer::Absent)], "down").due(None);
    assert_eq!(story.service.goal(), Goal::Down);
    failing().then(10_001, adopt(1), &[answer(1, Answer::Absent)], "backoff").due(Some(10_250));
    ended_by_hand().then(3_000, adopt(2), &[answer(2, Answer::Absent)], "quiet").due(Some(10_009));
    Story::of_ready(policy()).then(1, STOP, &[goal(Goal::Down), end(1)], "stopping 1: down").then(
        2,
        adopt(1),
        &[answer(1, Answer::Absent)],
        "stopping 1: down",
    );
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
        .quietly(3, GOES, "spawning 2")
        .quietly(4, exited(2, Exit::CLEAN), "finished")
        .quietly(5, GOES, "finished")
        .then(6, START, &[spawn(3)], "spawning 3");
}

#[test]
fn what_ended_by_itself_may_be_run_by_hand() {
    Story::of_ready(policy())
        .quietly(1, exited(1, Exit::CLEAN), "finished")
        .quietly(2, APPEARS, "external")
        .quietly(3, GOES, "quiet")
        .due(Some(10_003));
    Story::of_ready(Policy { start_limit: Some(1), ..policy() })
        .quietly(1, crash(1), "gave up")
        .quietly(2, APPEARS, "external");
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
