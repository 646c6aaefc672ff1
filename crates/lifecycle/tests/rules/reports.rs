//! What runs do: end, fail, fall silent, collide.

use lifecycle::{Answer, Block, Event, Exit, Goal, Policy, Restart};

use crate::story::*;

#[test]
fn a_failure_is_followed_by_a_start_at_once() {
    let story = Story::of_ready(policy()).then(1_000, crash(1), &[spawn(2)], "spawning 2");
    assert_eq!((story.service.restarts(), story.service.failures()), (1, 1));
    assert_eq!(story.service.goal(), Goal::Up);
}

#[test]
fn a_clean_end_is_the_end_until_somebody_asks() {
    let story = Story::of_ready(policy())
        .quietly(1_000, exited(1, Exit::CLEAN), "finished")
        .due(None)
        .quietly(2_000, Event::SourceChanged, "finished")
        .quietly(2_000, Event::Unblocked, "finished");
    assert_eq!(story.service.goal(), Goal::Up);
    story.then(3_000, START, &[spawn(2)], "spawning 2");
}

#[test]
fn restart_always_means_a_clean_end_too() {
    Story::of_ready(Policy { restart: Restart::Always, ..policy() })
        .then(1_000, exited(1, Exit::CLEAN), &[spawn(2)], "spawning 2")
        .quietly(1_001, spawned(2), "starting 2")
        .quietly(2_000, exited(2, Exit::CLEAN), "backoff");
}

#[test]
fn restart_never_means_never() {
    let never = || Policy { restart: Restart::Never, ..policy() };
    Story::of_ready(never()).quietly(1_000, exited(1, Exit::CLEAN), "finished");
    Story::of_ready(never())
        .quietly(1_000, crash(1), "gave up")
        .due(None)
        .quietly(2_000, Event::SourceChanged, "gave up")
        .then(3_000, START, &[spawn(2)], "spawning 2");
    Story::of_ready(never()).quietly(1_000, dead(1), "unhealthy 1").quietly(2_000, ready(1), "ready 1");
}

#[test]
fn what_does_not_answer_is_shown_and_left_alone() {
    Story::of_ready(policy())
        .quietly(1_000, silent(1), "unhealthy 1")
        .due(None)
        .quietly(2_000, silent(1), "unhealthy 1")
        .quietly(900_000, Event::Deadline, "unhealthy 1")
        .quietly(901_000, ready(1), "ready 1");
}

#[test]
fn what_is_proven_dead_is_ended_and_restarted_as_a_failure() {
    let story = Story::of_ready(policy())
        .then(1_000, dead(1), &[end(1)], "stopping 1: dead")
        .quietly(1_001, dead(1), "stopping 1: dead")
        // Even when it then says goodbye politely.
        .then(1_500, exited(1, Exit::CLEAN), &[spawn(2)], "spawning 2");
    assert_eq!(story.service.failures(), 1);
    story
        .quietly(1_501, spawned(2), "starting 2")
        .quietly(1_502, ready(2), "ready 2")
        .quietly(1_503, silent(2), "unhealthy 2")
        .then(1_504, dead(2), &[end(2)], "stopping 2: dead")
        .quietly(1_600, crash(2), "backoff")
        .due(Some(1_850));
}

#[test]
fn nothing_is_proven_before_it_was_ready() {
    Story::of(policy())
        .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(1, dead(1), "spawning 1")
        .quietly(2, spawned(1), "starting 1")
        .quietly(3, dead(1), "starting 1")
        .quietly(10_002, Event::Deadline, "late 1")
        .then(10_003, dead(1), &[end(1)], "stopping 1: dead");
}

#[test]
fn nobody_waits_for_what_has_lost_what_would_have_answered() {
    let lost = || {
        Story::of(policy())
            .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
            .quietly(1, silent(1), "spawning 1")
            .quietly(2, spawned(1), "starting 1")
            .then(3, silent(1), &[answer(1, Answer::Timeout)], "late 1")
            .due(None)
    };
    lost().quietly(900, ready(1), "ready 1");
    lost().quietly(99_000, Event::Deadline, "late 1");
}

#[test]
fn the_time_a_dead_service_takes_to_end_is_no_health() {
    let brief = Policy { healthy_after_ms: 2_000, stop_allowance_ms: 60_000, ..policy() };
    let story = Story::of_ready(brief)
        .then(1_000, dead(1), &[end(1)], "stopping 1: dead")
        .then(40_000, crash(1), &[spawn(2)], "spawning 2")
        .quietly(40_000, spawned(2), "starting 2")
        .quietly(40_100, crash(2), "backoff");
    assert_eq!(story.service.failures(), 2);
}

#[test]
fn a_stop_or_a_start_takes_over_what_is_being_ended_as_dead() {
    let dying = || Story::of_ready(policy()).then(1_000, dead(1), &[end(1)], "stopping 1: dead");
    dying().then(1_001, stop(1), &[goal(Goal::Down)], "stopping 1: down").then(
        1_002,
        crash(1),
        &[answer(1, Answer::Stopped)],
        "down",
    );
    let story = dying().quietly(1_001, start(1), "stopping 1: restart").then(
        1_002,
        crash(1),
        &[spawn(2)],
        "spawning 2",
    );
    assert_eq!(story.service.failures(), 0);
}

#[test]
fn those_who_wait_for_a_late_service_fail_with_its_death() {
    Story::of(policy())
        .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(0, spawned(1), "starting 1")
        .quietly(10_000, Event::Deadline, "late 1")
        .quietly(11_000, start(1), "late 1")
        .then(12_000, dead(1), &[end(1)], "stopping 1: dead")
        .then(12_100, crash(1), &[spawn(2), answer(1, Answer::Failed)], "spawning 2");
}

#[test]
fn a_fast_report_may_overtake_a_slow_one() {
    // Ended before it was known to live.
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(3, crash(1), &[spawn(2), answer(1, Answer::Failed)], "spawning 2")
        .quietly(4, spawned(1), "spawning 2");
    // Ready before it was known to live.
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(3, ready(1), &[answer(1, Answer::Ready)], "ready 1")
        .quietly(4, spawned(1), "ready 1");
    Story::of(policy())
        .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(1, stop(2), &[goal(Goal::Down)], "stopping 1: down")
        .then(2, ready(1), &[end(1)], "stopping 1: down")
        .quietly(3, spawned(1), "stopping 1: down");
}

#[test]
fn a_taken_port_is_told_and_waited_for() {
    let story = Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(1, blocked(1, Block::Port), &[answer(1, Answer::Blocked)], "blocked: port")
        .due(None)
        .quietly(5, Event::SourceChanged, "blocked: port")
        .then(9_000, Event::Unblocked, &[spawn(2)], "spawning 2")
        .quietly(9_001, blocked(2, Block::Port), "blocked: port")
        .then(9_002, Event::Unblocked, &[spawn(3)], "spawning 3");
    assert_eq!((story.service.failures(), story.service.restarts()), (0, 0));
}

#[test]
fn a_late_collision_is_a_taken_port_and_no_failure() {
    let story = Story::of(Policy { start_limit: Some(1), ..policy() })
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(1, spawned(1), "starting 1")
        .then(700, exited(1, COLLISION), &[answer(1, Answer::Blocked)], "blocked: port")
        .due(None);
    assert_eq!(story.service.failures(), 0);
    // A check that calls the port free and a server that cannot bind it do not chase each other.
    story
        .then(701, Event::Unblocked, &[spawn(2)], "spawning 2")
        .quietly(702, spawned(2), "starting 2")
        .quietly(1_400, exited(2, COLLISION), "blocked: port")
        .quietly(1_401, Event::Unblocked, "blocked: port")
        .due(Some(1_650))
        .then(1_650, Event::Deadline, &[spawn(3)], "spawning 3")
        .quietly(1_651, spawned(3), "starting 3")
        .quietly(2_400, exited(3, COLLISION), "blocked: port")
        // Free for good, later: at once.
        .then(60_000, Event::Unblocked, &[spawn(4)], "spawning 4");
}

#[test]
fn a_fault_of_the_machine_is_tried_again_within_two_seconds() {
    let story = Story::of(Policy { start_limit: Some(1), ..policy() })
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(1, blocked(1, Block::Machine), &[answer(1, Answer::Blocked)], "blocked: machine")
        .due(Some(1_001))
        .then(1_001, Event::Deadline, &[spawn(2)], "spawning 2")
        .quietly(1_002, exited(2, MACHINE), "blocked: machine")
        .then(1_500, Event::Unblocked, &[spawn(3)], "spawning 3")
        .quietly(1_501, spawned(3), "starting 3");
    assert_eq!((story.service.failures(), story.service.restarts()), (0, 0));
}

#[test]
fn what_cannot_be_executed_is_tried_ever_more_rarely_and_after_an_edit_at_once() {
    let mut story = Story::of(Policy { start_limit: Some(1), ..policy() })
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(0, blocked(1, Block::Exec), &[answer(1, Answer::Blocked)], "blocked: exec");
    let mut now = 0;
    for (run, delay) in (2..).zip([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
        story = story.due(Some(now + delay));
        now += delay;
        story = story
            .then(now, Event::Deadline, &[spawn(run)], &format!("spawning {run}"))
            .quietly(now, spawned(run), &format!("starting {run}"))
            .quietly(now, exited(run, NOT_EXECUTED), "blocked: exec");
    }
    assert_eq!(story.service.failures(), 0);
    story
        .then(now + 10, Event::SourceChanged, &[spawn(9)], "spawning 9")
        .quietly(now + 11, spawned(9), "starting 9")
        // From then on it is a service like others.
        .quietly(now + 12, crash(9), "gave up");
}

#[test]
fn a_start_waits_for_the_services_before_it() {
    let waiting = || {
        Story::of(policy())
            .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
            .quietly(1, blocked(1, Block::After), "blocked: after")
            .due(Some(10_000))
    };
    waiting()
        .then(8_000, Event::Unblocked, &[spawn(2)], "spawning 2")
        .quietly(8_001, spawned(2), "starting 2")
        .due(Some(18_001))
        .then(15_000, ready(2), &[answer(1, Answer::Ready)], "ready 2");
    waiting().then(10_000, Event::Deadline, &[answer(1, Answer::Timeout)], "blocked: after").due(None).then(
        20_000,
        Event::Unblocked,
        &[spawn(2)],
        "spawning 2",
    );
}

#[test]
fn what_a_rule_forbids_waits_for_the_rule_to_change() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(1, blocked(1, Block::Refused), &[answer(1, Answer::Blocked)], "blocked: refused")
        .due(None)
        .then(2, Event::SourceChanged, &[spawn(2)], "spawning 2")
        .quietly(3, blocked(2, Block::Refused), "blocked: refused")
        .then(4, Event::Unblocked, &[spawn(3)], "spawning 3");
}

#[test]
fn it_is_given_up_only_where_there_is_a_limit() {
    let story = Story::of_ready(Policy { start_limit: Some(2), ..policy() })
        .then(1_000, crash(1), &[spawn(2)], "spawning 2")
        .quietly(1_001, spawned(2), "starting 2")
        .quietly(2_000, crash(2), "gave up")
        .due(None);
    assert_eq!(story.service.goal(), Goal::Up);
    // An edit is worth a try, a person's start a new beginning.
    story
        .then(3_000, Event::SourceChanged, &[spawn(3)], "spawning 3")
        .quietly(3_001, spawned(3), "starting 3")
        .quietly(4_000, crash(3), "gave up")
        .then(5_000, START, &[spawn(4)], "spawning 4")
        .then(5_001, crash(4), &[spawn(5)], "spawning 5")
        .quietly(5_002, crash(5), "gave up");
}
