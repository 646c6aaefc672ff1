//! Random histories: the core and the reference model say the same, and what users were promised holds.

use lifecycle::{Action, Block, Event, Exit, Millis, Policy, RequestId, Restart, RunId, Service};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::reference::Model;
use crate::story::{self, COLLISION, MACHINE, NOT_EXECUTED, SESSION_END};

/// What happens; which run a report speaks of is decided when it does.
#[derive(Clone, Debug)]
enum Happening {
    Outside(Event),
    Start(bool),
    Stop(bool),
    Restart(bool, Option<u64>),
    Adopt(bool),
    /// A report, and how many runs ago its run was.
    Spawned(u64),
    Blocked(u64, Block),
    Ready(u64),
    Silent(u64),
    Dead(u64),
    Exited(u64, Exit),
}

/// When it happens.
#[derive(Clone, Copy, Debug)]
enum Pause {
    For(Millis),
    UntilDue,
}

fn policies() -> impl Strategy<Value = Policy> {
    let restart = prop_oneof![
        1 => Just(Restart::Never),
        4 => Just(Restart::OnFailure),
        2 => Just(Restart::Always),
    ];
    (
        restart,
        prop_oneof![3 => Just(0), 1 => 0..12_000_u64],
        prop_oneof![Just(60_000), 0..70_000_u64],
        prop_oneof![Just(30_000), 0..60_000_u64],
        prop_oneof![4 => Just(None), 1 => (0..6_u32).prop_map(Some)],
        0..90_000_u64,
        0..12_000_u64,
        prop::bool::weighted(0.8),
        prop_oneof![3 => (0..12_000_u64).prop_map(Some), 1 => Just(None)],
    )
        .prop_map(
            |(restart, first_ms, healthy_after_ms, cap_ms, start_limit, start, stop, probed, takeover_ms)| {
                Policy {
                    restart,
                    first_ms,
                    healthy_after_ms,
                    cap_ms,
                    start_limit,
                    start_timeout_ms: start,
                    stop_allowance_ms: stop,
                    probed,
                    takeover_ms,
                }
            },
        )
}

fn happenings() -> impl Strategy<Value = Happening> {
    // Nearly always the present run.
    let ago = || prop_oneof![12 => Just(0_u64), 1 => 1..3_u64];
    let block = prop_oneof![
        Just(Block::Port),
        Just(Block::Exec),
        Just(Block::Machine),
        Just(Block::After),
        Just(Block::Refused),
    ];
    let exit = prop_oneof![
        8 => Just(Exit::FAILURE),
        2 => Just(Exit::CLEAN),
        2 => Just(COLLISION),
        1 => Just(NOT_EXECUTED),
        1 => Just(MACHINE),
        1 => Just(SESSION_END),
    ];
    prop_oneof![
        4 => any::<bool>().prop_map(Happening::Start),
        2 => any::<bool>().prop_map(Happening::Stop),
        2 => (any::<bool>(), prop::option::of(0..2_u64)).prop_map(|(asked, seen)| Happening::Restart(asked, seen)),
        2 => any::<bool>().prop_map(Happening::Adopt),
        20 => ago().prop_map(Happening::Spawned),
        4 => (ago(), block).prop_map(|(ago, why)| Happening::Blocked(ago, why)),
        8 => ago().prop_map(Happening::Ready),
        2 => ago().prop_map(Happening::Silent),
        2 => ago().prop_map(Happening::Dead),
        20 => (ago(), exit).prop_map(|(ago, exit)| Happening::Exited(ago, exit)),
        4 => Just(Happening::Outside(Event::Unblocked)),
        2 => Just(Happening::Outside(Event::SourceChanged)),
        2 => any::<bool>().prop_map(|present| Happening::Outside(Event::External { present })),
        1 => Just(Happening::Outside(Event::SessionEnding)),
        16 => Just(Happening::Outside(Event::Deadline)),
    ]
}

fn pauses() -> impl Strategy<Value = Pause> {
    prop_oneof![
        4 => Just(Pause::For(0)),
        6 => (0..2_000_u64).prop_map(Pause::For),
        1 => (0..100_000_u64).prop_map(Pause::For),
        6 => Just(Pause::UntilDue),
    ]
}

fn event(happening: &Happening, last_run: RunId, requests: &mut u64) -> Event {
    let run = |ago: u64| RunId(last_run.0.saturating_sub(ago));
    let mut request = |asked: bool| {
        *requests += 1;
        asked.then_some(RequestId(*requests))
    };
    match *happening {
        Happening::Outside(event) => event,
        Happening::Start(asked) => Event::Start { request: request(asked) },
        Happening::Stop(asked) => Event::Stop { request: request(asked) },
        Happening::Restart(asked, seen) => Event::Restart { request: request(asked), seen: seen.map(run) },
        Happening::Adopt(asked) => Event::Adopt { request: request(asked) },
        Happening::Spawned(ago) => Event::Spawned { run: run(ago) },
        Happening::Blocked(ago, why) => Event::Blocked { run: run(ago), why },
        Happening::Ready(ago) => Event::Ready { run: run(ago) },
        Happening::Silent(ago) => Event::Silent { run: run(ago) },
        Happening::Dead(ago) => Event::Dead { run: run(ago) },
        Happening::Exited(ago, exit) => Event::Exited { run: run(ago), exit },
    }
}

/// What a budget must answer for: the starts of one series, the edits that asked for some of them.
#[derive(Default)]
struct Series {
    starts: Vec<Millis>,
    edits: Vec<Millis>,
    /// The present run: when it was started, and when it was known to live.
    present: Option<(Millis, Option<Millis>)>,
}

impl Series {
    /// The budget is full again; a run that lives is the first of the new series.
    fn refilled(&mut self) {
        self.starts.clear();
        self.edits.clear();
    }

    /// The minute that ends with the latest start; the others were looked at when they were the latest.
    fn check(&self) {
        let Some(&last) = self.starts.last() else { return };
        let starts = self.starts.iter().filter(|at| **at + 60_000 > last).count();
        // An edit is acted on within a second, so one from just before the minute counts too.
        let edits = self.edits.iter().filter(|at| **at + 61_000 > last).count();
        assert!(
            starts <= 12 + edits,
            "{starts} starts in a minute: {:?}, edits {:?}",
            self.starts,
            self.edits
        );
    }

    /// Follows one step. Starts that never became a process are not counted: nothing was started.
    fn follow(&mut self, event: Event, now: Millis, actions: &[Action], concerns: bool, policy: &Policy) {
        match event {
            Event::Start { .. } | Event::Restart { .. } | Event::Adopt { .. } => {
                self.refilled();
            }
            Event::SourceChanged => self.edits.push(now),
            Event::Spawned { .. } | Event::Ready { .. } if concerns => {
                if let Some((_, lives)) = &mut self.present {
                    lives.get_or_insert(now);
                }
            }
            Event::Exited { exit, .. } if concerns => {
                let Some((started, lives)) = self.present.take() else { panic!("what ends was not started") };
                if !(exit.exec_failed || exit.machine || exit.session_end) {
                    self.starts.push(started);
                    self.check();
                    let lived = lives.map_or(0, |since| now - since);
                    if lived >= policy.healthy_after_ms && !exit.collision {
                        self.refilled();
                    }
                }
            }
            Event::Blocked { .. } if concerns => self.present = None,
            _ => {}
        }
        if actions.iter().any(|action| matches!(action, Action::Spawn { .. } | Action::Adopt { .. })) {
            self.present = Some((now, None));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order, the core does what the reference model does.
    #[test]
    fn the_core_and_the_reference_agree(
        policy in policies(),
        history in vec((pauses(), happenings()), 1..80),
    ) {
        let mut service = Service::new();
        let mut model = Model::new(policy.clone());
        let (mut now, mut requests) = (0, 0);
        for (pause, happening) in &history {
            now = match pause {
                Pause::For(time) => now + time,
                Pause::UntilDue => service.deadline().unwrap_or(now),
            };
            let event = event(happening, service.last_run(), &mut requests);
            let before = story::name(&service);
            let actions = service.step(event, now, &policy);
            let expected = model.step(event, now);
            prop_assert_eq!(actions, expected, "{:?} at {} in {}", event, now, before);
            prop_assert_eq!(service.run().map(|run| run.0), model.present());
            prop_assert_eq!(service.goal() == lifecycle::Goal::Up, model.is_wanted());
            prop_assert_eq!(service.deadline(), model.deadline(), "{:?} at {} in {}", event, now, before);
            prop_assert!(service.deadline().is_none_or(|at| at > now));
        }
    }

    /// In no minute without a healthy stretch or a person's wish more than 12 starts, edits aside.
    #[test]
    fn restarts_are_bounded_in_every_minute(
        policy in policies(),
        history in vec((pauses(), happenings()), 1..200),
    ) {
        let mut service = Service::new();
        let mut series = Series::default();
        let (mut now, mut requests) = (0, 0);
        service.step(Event::Start { request: None }, now, &policy);
        series.present = Some((0, None));
        for (pause, happening) in &history {
            // Nobody interferes for long: people refill budgets.
            let happening = match happening {
                Happening::Start(_) | Happening::Stop(_) | Happening::Restart(..) | Happening::Adopt(_)
                | Happening::Outside(Event::SessionEnding) => &Happening::Outside(Event::Deadline),
                other => other,
            };
            now = match pause {
                Pause::For(time) => now + time,
                Pause::UntilDue => service.deadline().unwrap_or(now),
            };
            let event = event(happening, service.last_run(), &mut requests);
            let concerns = service.run() == Some(service.last_run()) && of_run(event) == service.run();
            let dead = matches!(event, Event::Dead { .. }) && concerns;
            let actions = service.step(event, now, &policy);
            // Health is judged when a service is proven dead, not when it has ended.
            if dead && actions.iter().any(|action| matches!(action, Action::Stop { .. })) {
                let lived = series.present.and_then(|(_, lives)| lives).map_or(0, |since| now - since);
                if lived >= policy.healthy_after_ms {
                    series.refilled();
                }
            }
            series.follow(event, now, &actions, concerns, &policy);
        }
    }

    /// The same history twice is the same life twice: nothing but event, time and policy decides.
    #[test]
    fn a_life_can_be_lived_again(
        policy in policies(),
        history in vec((0..5_000_u64, happenings()), 1..60),
    ) {
        let live = || {
            let mut service = Service::new();
            let (mut now, mut requests, mut all) = (0, 0, Vec::new());
            for (pause, happening) in &history {
                now += pause;
                let event = event(happening, service.last_run(), &mut requests);
                all.extend(service.step(event, now, &policy));
            }
            (service, all)
        };
        prop_assert_eq!(live(), live());
    }
}

fn of_run(event: Event) -> Option<RunId> {
    match event {
        Event::Spawned { run }
        | Event::Blocked { run, .. }
        | Event::Ready { run }
        | Event::Silent { run }
        | Event::Dead { run }
        | Event::Exited { run, .. } => Some(run),
        Event::Start { .. }
        | Event::Stop { .. }
        | Event::Restart { .. }
        | Event::Adopt { .. }
        | Event::Unblocked
        | Event::SourceChanged
        | Event::External { .. }
        | Event::SessionEnding
        | Event::Deadline => None,
    }
}
