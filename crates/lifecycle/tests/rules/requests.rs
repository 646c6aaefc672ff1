//! Start, stop, restart: from everywhere, together, against each other.

use lifecycle::{Answer, Block, Event, Exit, Goal, Policy};

use crate::story::*;

#[test]
fn a_start_is_answered_when_it_is_ready() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(5, spawned(1), &[], "starting 1")
        .due(Some(10_005))
        .then(900, ready(1), &[answer(1, Answer::Ready)], "ready 1")
        .due(None);
}

#[test]
fn without_a_probe_running_is_ready() {
    Story::of(Policy { probed: false, ..policy() })
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .then(5, spawned(1), &[answer(1, Answer::Ready)], "ready 1")
        .due(None);
}

#[test]
fn a_start_where_it_runs_changes_nothing() {
    let before = Story::of_ready(policy());
    let service = before.service.clone();
    let after = before.then(99, start(2), &[answer(2, Answer::Already)], "ready 1");
    assert_eq!(after.service, service);

    Story::of_ready(policy()).quietly(50, silent(1), "unhealthy 1").then(
        99,
        start(2),
        &[answer(2, Answer::Already)],
        "unhealthy 1",
    );
}

#[test]
fn many_starts_wait_for_one_run() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(1, start(2), "spawning 1")
        .quietly(2, spawned(1), "starting 1")
        .quietly(3, start(3), "starting 1")
        .then(
            4,
            ready(1),
            &[answer(1, Answer::Ready), answer(2, Answer::Ready), answer(3, Answer::Ready)],
            "ready 1",
        )
        .quietly(5, ready(1), "ready 1");
}

#[test]
fn a_start_fails_with_the_first_end_and_the_service_goes_on() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(5, spawned(1), "starting 1")
        .then(90, crash(1), &[spawn(2), answer(1, Answer::Failed)], "spawning 2")
        .quietly(95, spawned(2), "starting 2")
        .quietly(180, crash(2), "backoff")
        .due(Some(430))
        .then(430, Event::Deadline, &[spawn(3)], "spawning 3")
        .quietly(440, spawned(3), "starting 3")
        .quietly(500, ready(3), "ready 3");
}

#[test]
fn a_clean_end_before_it_was_ready_fails_the_start_too() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(5, spawned(1), "starting 1")
        .then(90, exited(1, Exit::CLEAN), &[answer(1, Answer::Failed)], "finished");
}

#[test]
fn a_start_that_takes_too_long_is_told_so_and_goes_on() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(5, spawned(1), "starting 1")
        .quietly(10_004, Event::Deadline, "starting 1")
        .then(10_005, Event::Deadline, &[answer(1, Answer::Timeout)], "late 1")
        .due(None)
        // Whoever asks again waits again.
        .quietly(15_000, start(2), "late 1")
        .due(Some(25_000))
        .then(20_000, ready(1), &[answer(2, Answer::Ready)], "ready 1");
}

#[test]
fn a_start_of_a_late_service_times_out_again_or_fails_with_it() {
    let late = |story: Story| {
        story
            .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
            .quietly(0, spawned(1), "starting 1")
            .quietly(10_000, Event::Deadline, "late 1")
            .quietly(11_000, start(2), "late 1")
    };
    late(Story::of(policy())).then(21_000, Event::Deadline, &[answer(2, Answer::Timeout)], "late 1");
    late(Story::of(policy())).then(12_000, crash(1), &[spawn(2), answer(2, Answer::Failed)], "spawning 2");
}

#[test]
fn a_spawn_that_is_not_answered_lets_nobody_wait_for_ever() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .due(Some(10_000))
        .then(10_000, Event::Deadline, &[answer(1, Answer::Timeout)], "spawning 1")
        .due(None)
        .quietly(12_000, spawned(1), "starting 1");
}

#[test]
fn a_report_that_comes_with_its_deadline_wins() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(0, spawned(1), "starting 1")
        // The daemon was stopped for a minute.
        .then(60_000, ready(1), &[answer(1, Answer::Ready)], "ready 1")
        .then(60_000, stop(2), &[goal(Goal::Down), end(1)], "stopping 1: down")
        .then(120_000, exited(1, Exit::CLEAN), &[answer(2, Answer::Stopped)], "down");
}

#[test]
fn a_start_tries_at_once_wherever_it_waits() {
    let failing = |policy| {
        Story::of(policy).then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1").quietly(
            0,
            spawned(1),
            "starting 1",
        )
    };
    failing(policy())
        .then(1, crash(1), &[spawn(2)], "spawning 2")
        .quietly(1, spawned(2), "starting 2")
        .quietly(2, crash(2), "backoff")
        .then(3, start(1), &[spawn(3)], "spawning 3")
        .quietly(3, spawned(3), "starting 3")
        .then(4, ready(3), &[answer(1, Answer::Ready)], "ready 3");
    failing(policy()).quietly(1, exited(1, Exit::CLEAN), "finished").then(
        9,
        start(1),
        &[spawn(2)],
        "spawning 2",
    );
    failing(Policy { start_limit: Some(1), ..policy() }).quietly(1, crash(1), "gave up").then(
        9,
        start(1),
        &[spawn(2)],
        "spawning 2",
    );
    for why in [Block::Port, Block::Exec, Block::Machine, Block::After, Block::Refused] {
        let mut story = Story::of(policy()).then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1");
        story.service.step(blocked(1, why), 1, &policy());
        story.then(2, start(1), &[spawn(2)], "spawning 2");
    }
}

#[test]
fn stop_from_everywhere_where_nothing_lives() {
    Story::of(policy()).then(0, stop(1), &[answer(1, Answer::AlreadyStopped)], "down");
    let stopped = [goal(Goal::Down), answer(1, Answer::Stopped)];
    let already = [goal(Goal::Down), answer(1, Answer::AlreadyStopped)];
    let up = |policy| Story::of(policy).then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1");
    up(policy()).quietly(1, blocked(1, Block::Port), "blocked: port").then(2, stop(1), &stopped, "down");
    up(policy())
        .quietly(1, blocked(1, Block::Machine), "blocked: machine")
        .then(2, stop(1), &stopped, "down")
        .due(None);
    up(Policy { first_ms: 500, ..policy() }).quietly(1, crash(1), "backoff").then(
        2,
        stop(1),
        &stopped,
        "down",
    );
    up(policy()).quietly(1, exited(1, Exit::CLEAN), "finished").then(2, stop(1), &already, "down");
    up(Policy { start_limit: Some(1), ..policy() }).quietly(1, crash(1), "gave up").then(
        2,
        stop(1),
        &already,
        "down",
    );
}

#[test]
fn a_stop_that_comes_with_a_retry_wins() {
    Story::of(Policy { first_ms: 500, ..policy() })
        .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(1, crash(1), "backoff")
        .then(9_000, stop(1), &[goal(Goal::Down), answer(1, Answer::Stopped)], "down");
}

#[test]
fn a_stop_is_answered_when_nothing_is_left() {
    Story::of_ready(policy())
        .then(100, stop(1), &[goal(Goal::Down), end(1)], "stopping 1: down")
        .due(Some(5_100))
        .quietly(101, stop(2), "stopping 1: down")
        .quietly(102, ready(1), "stopping 1: down")
        .then(900, exited(1, Exit::CLEAN), &[answer(1, Answer::Stopped), answer(2, Answer::Stopped)], "down")
        .due(None);
}

#[test]
fn a_stop_before_the_process_lives_is_asked_for_when_it_does() {
    let story = || {
        Story::of(policy())
            .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
            .then(1, stop(2), &[goal(Goal::Down), answer(1, Answer::Superseded)], "stopping 1: down")
            .due(None)
    };
    story().then(50, spawned(1), &[end(1)], "stopping 1: down").due(Some(5_050)).then(
        60,
        crash(1),
        &[answer(2, Answer::Stopped)],
        "down",
    );
    story().then(50, blocked(1, Block::Port), &[answer(2, Answer::Stopped)], "down");
    story().then(50, crash(1), &[answer(2, Answer::Stopped)], "down").quietly(51, spawned(1), "down");
}

#[test]
fn a_stop_supersedes_those_who_wait_for_it_to_start() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(1, spawned(1), "starting 1")
        .quietly(2, start(2), "starting 1")
        .then(
            3,
            stop(3),
            &[goal(Goal::Down), end(1), answer(1, Answer::Superseded), answer(2, Answer::Superseded)],
            "stopping 1: down",
        )
        .then(4, crash(1), &[answer(3, Answer::Stopped)], "down");
}

#[test]
fn a_start_while_it_stops_supersedes_the_stop_and_follows_it() {
    Story::of_ready(policy())
        .then(100, stop(1), &[goal(Goal::Down), end(1)], "stopping 1: down")
        .then(101, start(2), &[goal(Goal::Up), answer(1, Answer::Superseded)], "stopping 1: restart")
        .then(900, exited(1, Exit::CLEAN), &[spawn(2)], "spawning 2")
        .quietly(901, spawned(2), "starting 2")
        .then(950, ready(2), &[answer(2, Answer::Ready)], "ready 2");
}

#[test]
fn a_ladder_that_does_not_help_ends_in_one_kill() {
    Story::of_ready(policy())
        .then(0, stop(1), &[goal(Goal::Down), end(1)], "stopping 1: down")
        .quietly(4_999, Event::Deadline, "stopping 1: down")
        .then(5_000, Event::Deadline, &[kill(1)], "killed 1: down")
        // It waits for ever; that it is stuck is for the shell to tell.
        .due(None)
        .quietly(99_000, Event::Deadline, "killed 1: down")
        .then(99_500, START, &[goal(Goal::Up), answer(1, Answer::Superseded)], "killed 1: restart")
        .then(99_600, stop(2), &[goal(Goal::Down)], "killed 1: down")
        .then(100_000, crash(1), &[answer(2, Answer::Stopped)], "down");
}

#[test]
fn a_restart_stops_and_starts() {
    Story::of_ready(policy())
        .then(0, restart(1), &[end(1)], "stopping 1: restart")
        .quietly(1, start(2), "stopping 1: restart")
        .quietly(2, restart(3), "stopping 1: restart")
        .then(700, exited(1, Exit::CLEAN), &[spawn(2)], "spawning 2")
        .quietly(701, spawned(2), "starting 2")
        .then(
            800,
            ready(2),
            &[answer(1, Answer::Ready), answer(2, Answer::Ready), answer(3, Answer::Ready)],
            "ready 2",
        );
}

#[test]
fn a_restart_of_what_does_not_run_starts_it() {
    Story::of(policy()).then(0, restart(1), &[goal(Goal::Up), spawn(1)], "spawning 1");
}

#[test]
fn those_who_wait_for_a_run_that_is_restarted_wait_for_the_next() {
    Story::of(policy())
        .then(0, start(1), &[goal(Goal::Up), spawn(1)], "spawning 1")
        .quietly(0, restart(2), "stopping 1: restart")
        .then(10, spawned(1), &[end(1)], "stopping 1: restart")
        // Ladder and start have their time one after the other.
        .then(5_010, Event::Deadline, &[kill(1)], "killed 1: restart")
        .due(Some(15_000))
        .then(6_000, crash(1), &[spawn(2)], "spawning 2")
        .quietly(6_001, spawned(2), "starting 2")
        .due(Some(16_001))
        .then(7_000, ready(2), &[answer(1, Answer::Ready), answer(2, Answer::Ready)], "ready 2");
}

#[test]
fn a_restart_of_what_will_not_die_is_told_so() {
    Story::of_ready(policy())
        .then(0, restart(1), &[end(1)], "stopping 1: restart")
        .then(5_000, Event::Deadline, &[kill(1)], "killed 1: restart")
        .then(15_000, Event::Deadline, &[answer(1, Answer::Timeout)], "killed 1: restart")
        .due(None)
        .then(80_000, crash(1), &[spawn(2)], "spawning 2");
}

#[test]
fn a_hundred_restarts_in_a_row_end_in_one_run() {
    let mut story = Story::of_ready(policy());
    let mut spawns = 0;
    for n in 0..100 {
        let actions = story.service.step(restart(n), n, &policy());
        spawns += actions.iter().filter(|action| matches!(action, lifecycle::Action::Spawn { .. })).count();
    }
    assert_eq!(spawns, 0);
    let story = story.then(200, exited(1, Exit::CLEAN), &[spawn(2)], "spawning 2").quietly(
        201,
        spawned(2),
        "starting 2",
    );
    assert_eq!(story.service.waiting(), 100);
    let mut story = story;
    assert_eq!(story.service.step(ready(2), 300, &policy()).len(), 100);
}

#[test]
fn an_older_run_changes_nothing() {
    let mut story = Story::of_ready(policy())
        .then(1, RESTART, &[end(1)], "stopping 1: restart")
        .then(2, crash(1), &[spawn(2)], "spawning 2")
        .quietly(3, spawned(2), "starting 2");
    let before = story.service.clone();
    for late in [spawned(1), ready(1), silent(1), dead(1), crash(1), blocked(1, Block::Port), ready(3)] {
        assert_eq!(story.service.step(late, 4, &policy()), []);
        assert_eq!(story.service, before, "{late:?}");
    }
}

#[test]
fn a_restart_that_is_asked_for_again_restarts_once() {
    let again =
        |seen| Event::Restart { request: Some(lifecycle::RequestId(2)), seen: Some(lifecycle::RunId(seen)) };
    let ready_once = || {
        Story::of(policy())
            .then(0, START, &[goal(Goal::Up), spawn(1)], "spawning 1")
            .quietly(5, spawned(1), "starting 1")
            .quietly(90, ready(1), "ready 1")
    };
    // Nothing had come of it.
    ready_once().then(100, again(1), &[end(1)], "stopping 1: restart");
    // It had begun; a new daemon goes on with the end of the old run, or with the new one.
    ready_once()
        .then(100, RESTART, &[end(1)], "stopping 1: restart")
        .quietly(101, again(1), "stopping 1: restart")
        .then(200, exited(1, Exit::CLEAN), &[spawn(2)], "spawning 2")
        .quietly(205, spawned(2), "starting 2")
        .then(290, ready(2), &[answer(2, Answer::Ready)], "ready 2")
        // It was done, and only the answer was lost.
        .then(300, again(1), &[answer(2, Answer::Ready)], "ready 2")
        .then(310, again(2), &[end(2)], "stopping 2: restart");
    ready_once()
        .then(100, RESTART, &[end(1)], "stopping 1: restart")
        .then(200, exited(1, Exit::CLEAN), &[spawn(2)], "spawning 2")
        .quietly(205, again(1), "spawning 2");
}
