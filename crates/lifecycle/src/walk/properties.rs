//! What must hold in every state and on every edge.

use alloc::vec::Vec;

use super::world::{NOW, Process, World};
use crate::{Action, Answer, Event, Exit, Goal, Millis, Phase, Policy, RequestId, StopReason};

/// On every edge: what a step may do, and what it must leave behind.
pub(super) fn of_edge(
    before: &World,
    event: Event,
    now: Millis,
    actions: &[Action],
    after: &World,
    policy: &Policy,
) {
    let told = || std::format!("{before:?}\n  {event:?} at +{}\n  {actions:?}\n  {after:?}", now - NOW);
    let service = &after.service;

    assert_eq!(service.run(), after.process.run(), "core and world disagree about the run\n{}", told());
    let makes = |action: &Action| matches!(action, Action::Spawn { .. } | Action::Adopt { .. });
    if service.goal == Goal::Down {
        assert!(!actions.iter().any(makes), "spawned unwanted\n{}", told());
    }
    assert!(
        matches!(
            (event, service.goal),
            (Event::Start { .. } | Event::Restart { .. } | Event::Adopt { .. }, Goal::Up)
        ) || matches!((event, service.goal), (Event::Stop { .. }, Goal::Down))
            || service.goal == before.service.goal,
        "the goal is the user's\n{}",
        told()
    );
    let changed = (service.goal != before.service.goal).then_some(Action::GoalChanged(service.goal));
    let said: Vec<_> = actions.iter().copied().filter(|a| matches!(a, Action::GoalChanged(_))).collect();
    assert_eq!(said, changed.into_iter().collect::<Vec<_>>(), "goal and record disagree\n{}", told());

    // Record, act, answer.
    let rank = |action: &Action| match action {
        Action::GoalChanged(_) => 0,
        Action::Spawn { .. } | Action::Adopt { .. } | Action::Stop { .. } | Action::Kill { .. } => 1,
        Action::Answer { .. } => 2,
    };
    assert!(actions.is_sorted_by_key(rank), "out of order\n{}", told());

    answers(before, event, actions, after, &told);
    by_hand(before, event, now, actions, after, policy, &told);

    // Nothing is due that was not done; in particular no circle that takes no time.
    assert!(service.deadline().is_none_or(|at| at > now), "due and not done\n{}", told());
    let mut again = after.clone();
    assert!(again.step(Event::Deadline, now, policy).is_empty(), "a second look did something\n{}", told());
    assert_eq!(&again, after, "a second look changed something\n{}", told());
}

/// What somebody started by hand is never fought: while it is there nothing is started, it is taken over only when
/// somebody asks, and after its end the port stays quiet for as long as the policy says.
fn by_hand(
    before: &World,
    event: Event,
    now: Millis,
    actions: &[Action],
    after: &World,
    policy: &Policy,
    told: &dyn Fn() -> std::string::String,
) {
    let adopted = actions.iter().any(|action| matches!(action, Action::Adopt { .. }));
    let asked = matches!(event, Event::Adopt { .. }) && before.service.phase == Phase::External;
    assert_eq!(adopted, asked, "adopted unasked, or not when asked\n{}", told());
    let spawned = actions.iter().any(|action| matches!(action, Action::Spawn { .. }));
    if before.service.phase == Phase::External && before.service.unsettled.is_none() {
        let over = event == Event::External { present: false };
        assert!(!spawned || over, "started beside a server started by hand\n{}", told());
    }
    if let Phase::Quiet { until } = before.service.phase
        && spawned
    {
        let asked = matches!(event, Event::Start { .. } | Event::Restart { .. });
        let by_itself = policy.takeover_ms.is_some();
        assert!(asked || by_itself, "started though nothing is to start by itself\n{}", told());
        // Known for how long it was quiet; a new daemon that was not there begins anew.
        let over = until.is_some_and(|until| until <= now) || policy.takeover_ms == Some(0);
        assert!(asked || over, "started before its port was quiet\n{}", told());
    }
    if matches!(event, Event::Adopt { .. }) && !asked {
        let waits = |world: &World| world.service.waiting.0.len();
        assert!(waits(after) <= waits(before), "an adoption of nothing waits\n{}", told());
    }
}

/// Every request is answered exactly once: it is answered by this step or it waits, never both, never neither.
fn answers(
    before: &World,
    event: Event,
    actions: &[Action],
    after: &World,
    told: &dyn Fn() -> std::string::String,
) {
    let waiting =
        |world: &World| world.service.waiting.0.iter().map(|w| w.request).collect::<Vec<RequestId>>();
    let mut asked = waiting(before);
    if let Event::Start { request }
    | Event::Stop { request }
    | Event::Restart { request, .. }
    | Event::Adopt { request } = event
    {
        asked.extend(request);
    }
    let mut accounted = waiting(after);
    accounted.extend(actions.iter().filter_map(|action| match action {
        Action::Answer { request, .. } => Some(*request),
        Action::GoalChanged(_)
        | Action::Spawn { .. }
        | Action::Adopt { .. }
        | Action::Stop { .. }
        | Action::Kill { .. } => None,
    }));
    asked.sort_unstable();
    accounted.sort_unstable();
    assert_eq!(asked, accounted, "a request was lost or answered twice\n{}", told());
}

/// In every state.
pub(super) fn of_state(world: &World, policy: &Policy) {
    // A restored service draws its conclusions first; after that it is like every other.
    let mut settled = world.clone();
    settled.step(Event::Deadline, NOW, policy);
    stale_reports_change_nothing(&settled, policy);
    too_early_is_no_deadline(&settled, policy);
    deadlines_run_out(&settled, policy);
    stop_settles(world, policy, Manners::Obeys);
    stop_settles(world, policy, Manners::NeedsTheKill);
    start_settles(world, policy, Event::Start { request: Some(world.new_request()) });
    for seen in [None, Some(world.older_run()), Some(world.service.last_run())] {
        start_settles(world, policy, Event::Restart { request: Some(world.new_request()), seen });
    }
    session_end_settles(world, policy);
}

fn stale_reports_change_nothing(world: &World, policy: &Policy) {
    for event in world.stale() {
        let mut next = world.clone();
        assert_eq!(next.step(event, NOW, policy), [], "{world:?}\n{event:?}");
        assert_eq!(&next, world, "{event:?}");
    }
}

/// A timer that fires too early is harmless.
fn too_early_is_no_deadline(world: &World, policy: &Policy) {
    if let Some(at) = world.service.deadline() {
        let mut next = world.clone();
        assert_eq!(next.step(Event::Deadline, at - 1, policy), [], "{world:?}");
        assert_eq!(&next, world);
    }
}

/// Left alone, a service comes to rest: it waits for an answer or for an event, not for the clock.
fn deadlines_run_out(world: &World, policy: &Policy) {
    let mut next = world.clone();
    for _ in 0..6 {
        let Some(at) = next.service.deadline() else { return };
        let before = next.clone();
        let actions = next.step(Event::Deadline, at, policy);
        assert!(!actions.is_empty() || next != before, "a deadline without effect: {before:?}");
        assert!(next.service.deadline().is_none_or(|next| next > at), "no progress: {before:?}");
    }
    panic!("it never comes to rest: {world:?}");
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manners {
    Obeys,
    NeedsTheKill,
}

/// Does what the service asks for, as a world that works would, until nothing is left to do.
fn cooperate(world: &mut World, manners: Manners, policy: &Policy) -> Vec<Action> {
    let mut all = Vec::new();
    let mut now = NOW;
    for _ in 0..12 {
        let event = match (world.process, world.service.phase) {
            (Process::Asked(run), _) => Event::Spawned { run },
            (Process::Alive { run, stop_asked: true, killed }, _) => {
                if killed || manners == Manners::Obeys {
                    Event::Exited { run, exit: Exit::FAILURE }
                } else {
                    now = world.service.deadline().expect("a stop that is ignored has a deadline");
                    Event::Deadline
                }
            }
            (Process::Alive { run, .. }, Phase::Starting { .. } | Phase::Unhealthy { .. }) => {
                Event::Ready { run }
            }
            (Process::Alive { .. } | Process::None, _) => return all,
        };
        all.extend(world.step(event, now, policy));
    }
    panic!("it never settles: {world:?}\n{all:?}");
}

fn answer_to(request: RequestId, actions: &[Action]) -> Vec<Answer> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Answer { request: to, answer } if *to == request => Some(*answer),
            Action::GoalChanged(_)
            | Action::Spawn { .. }
            | Action::Adopt { .. }
            | Action::Stop { .. }
            | Action::Kill { .. }
            | Action::Answer { .. } => None,
        })
        .collect()
}

/// Stop settles from every state, whatever was going on, and nothing starts again.
fn stop_settles(world: &World, policy: &Policy, manners: Manners) {
    let mut next = world.clone();
    let request = next.new_request();
    let mut all = next.step(Event::Stop { request: Some(request) }, NOW, policy);
    all.extend(cooperate(&mut next, manners, policy));
    assert_eq!(next.process, Process::None, "{world:?}\n{all:?}");
    assert_eq!(next.service.goal, Goal::Down);
    assert_eq!(next.service.waiting(), 0, "somebody waits for ever: {world:?}\n{all:?}");
    assert_eq!(next.service.deadline(), None);
    assert!(!all.iter().any(|a| matches!(a, Action::Spawn { .. })), "{world:?}\n{all:?}");
    match answer_to(request, &all)[..] {
        [Answer::Stopped | Answer::AlreadyStopped] => assert_eq!(next.service.phase, Phase::Down),
        [Answer::External] => assert_eq!(next.service.phase, Phase::External),
        ref other => panic!("{other:?}: {world:?}\n{all:?}"),
    }
}

/// Start and restart settle from every state: in a world that works the service becomes ready and all who waited
/// are told; where somebody runs it by hand or the session ends, that is the answer.
fn start_settles(world: &World, policy: &Policy, event: Event) {
    let mut next = world.clone();
    let request = next.new_request();
    let mut all = next.step(event, NOW, policy);
    // With no time at all a start is answered before the world can do anything.
    let patient = policy.start_timeout_ms > 0;
    all.extend(cooperate(&mut next, Manners::Obeys, policy));
    assert_eq!(next.service.goal, Goal::Up);
    assert_eq!(next.service.waiting(), 0, "somebody waits for ever: {world:?}\n{all:?}");
    match answer_to(request, &all)[..] {
        [Answer::Ready | Answer::Already] => {
            assert!(matches!(
                next.service.phase,
                Phase::Ready { .. } | Phase::Unhealthy { was_ready: true, .. }
            ));
        }
        [Answer::Timeout] if !patient => {}
        [Answer::External] => assert_eq!(next.service.phase, Phase::External),
        [Answer::Superseded] => {
            assert!(matches!(world.service.phase, Phase::Stopping { why: StopReason::SessionEnd, .. }));
            assert_eq!(next.service.phase, Phase::Down);
        }
        ref other => panic!("{other:?}: {world:?}\n{all:?}"),
    }
    let Event::Restart { seen, .. } = event else { return };
    let (lived, lives) = (world.process.run(), next.process.run());
    if lived.is_none() || lives.is_none() {
        return;
    }
    if seen.is_none_or(|seen| world.service.last_run <= seen) {
        assert_ne!(lived, lives, "a restart that kept the run: {world:?}\n{all:?}");
    } else if !matches!(world.service.phase, Phase::Stopping { .. }) {
        assert_eq!(lived, lives, "restarted twice: {world:?}\n{all:?}");
    }
}

/// The end of a session settles from every state: nothing lives, nobody waits, the goal is as it was.
fn session_end_settles(world: &World, policy: &Policy) {
    let mut next = world.clone();
    let mut all = next.step(Event::SessionEnding, NOW, policy);
    all.extend(cooperate(&mut next, Manners::Obeys, policy));
    assert_eq!(next.service.goal, world.service.goal);
    assert!(matches!(next.service.phase, Phase::Down | Phase::Finished), "{world:?}\n{all:?}");
    assert_eq!((next.process, next.service.waiting()), (Process::None, 0), "{world:?}\n{all:?}");
    assert!(!all.iter().any(|a| matches!(a, Action::Spawn { .. })), "{world:?}\n{all:?}");
    for event in [Event::Unblocked, Event::SourceChanged, Event::Deadline] {
        assert_eq!(next.step(event, NOW, policy), [], "something starts after the session: {world:?}");
    }
}
