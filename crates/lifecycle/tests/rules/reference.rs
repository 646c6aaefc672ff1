//! A second opinion: the same rules thought from the other end.
//!
//! Where the core has phases, this has a process (none, asked for, alive) and, while there is none, a reason why
//! not. Where the core has counters, this keeps a ledger and counts anew each time. It is slow, it knows
//! nothing of [`lifecycle`]'s insides, and it must say the same.

use lifecycle::{Answer, Block, Event, Exit, Goal, Millis, Policy, RequestId, Restart, RunId};

use crate::ledger::Ledger;
use crate::story::{answer, end, goal, kill, spawn};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Why {
    Down,
    Restart,
    Dead,
    SessionEnd,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Rest {
    Down,
    Blocked(Block, Option<Millis>),
    Until(Millis),
    Finished,
    GaveUp,
    ByHand,
    Quiet(Option<Millis>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Health {
    NotYet { by: Millis },
    Late,
    Good,
    Silent,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Process {
    None(Rest),
    Asked { unwanted: Option<Why>, by_hand: bool },
    Alive { born: Millis, health: Health },
    Ending { why: Why, kill_at: Option<Millis> },
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    policy: Policy,
    wanted: bool,
    run: u64,
    process: Process,
    waiting: Vec<(u64, Option<Millis>)>,
    ledger: Ledger,
    answers: Vec<lifecycle::Action>,
    acts: Vec<lifecycle::Action>,
}

impl Model {
    pub(crate) fn new(policy: Policy) -> Self {
        let ledger = Ledger::new(policy.clone());
        Self {
            policy,
            wanted: false,
            run: 0,
            process: Process::None(Rest::Down),
            waiting: Vec::new(),
            ledger,
            answers: Vec::new(),
            acts: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, event: Event, now: Millis) -> Vec<lifecycle::Action> {
        let wanted = self.wanted;
        self.let_time_pass_for_readiness(now);
        match event {
            Event::Start { request } => self.wish(true, false, request, now),
            Event::Restart { request, seen } => {
                // What was restarted since is not restarted again, and whoever asked hears what came of it.
                let anew = seen.is_none_or(|seen| self.run <= seen.0);
                self.wish(true, anew, request, now);
                for action in &mut self.answers {
                    if let (false, lifecycle::Action::Answer { request: to, answer }) = (anew, action)
                        && Some(*to) == request
                        && *answer == Answer::Already
                    {
                        *answer = Answer::Ready;
                    }
                }
            }
            Event::Stop { request } => self.wish(false, false, request, now),
            Event::Adopt { request } => self.take(request, now),
            Event::Spawned { run }
            | Event::Blocked { run, .. }
            | Event::Ready { run }
            | Event::Silent { run }
            | Event::Dead { run }
            | Event::Exited { run, .. } => {
                if !matches!(self.process, Process::None(_)) && run == RunId(self.run) {
                    self.hear(event, now);
                }
            }
            Event::Unblocked | Event::SourceChanged | Event::External { .. } | Event::SessionEnding => {
                self.notice(event, now);
            }
            Event::Deadline => {}
        }
        self.let_time_pass(now);
        let mut actions = Vec::new();
        if self.wanted != wanted {
            actions.push(goal(if self.wanted { Goal::Up } else { Goal::Down }));
        }
        actions.append(&mut self.acts);
        actions.append(&mut self.answers);
        actions
    }

    fn take(&mut self, request: Option<RequestId>, now: Millis) {
        let reply = match self.process {
            Process::None(Rest::ByHand) => {
                if !self.wanted {
                    self.wanted = true;
                    self.tell(Answer::Superseded);
                }
                self.ledger.clean_slate();
                if let Some(RequestId(request)) = request {
                    self.waiting.push((request, Some(now + self.policy.start_timeout_ms)));
                }
                self.run += 1;
                self.acts.push(lifecycle::Action::Adopt { run: RunId(self.run) });
                self.process = Process::Asked { unwanted: None, by_hand: false };
                return;
            }
            Process::Asked { unwanted: None, .. } | Process::Alive { .. } => Answer::Already,
            Process::None(_) | Process::Asked { .. } | Process::Ending { .. } => Answer::Absent,
        };
        if let Some(RequestId(request)) = request {
            self.answers.push(answer(request, reply));
        }
    }

    fn wish(&mut self, up: bool, anew: bool, request: Option<RequestId>, now: Millis) {
        if self.wanted != up {
            self.wanted = up;
            self.tell(Answer::Superseded);
        }
        let (reply, patience) = match (self.process, up) {
            (Process::None(Rest::ByHand), _) => (Some(Answer::External), None),
            (Process::None(Rest::Blocked(..) | Rest::Until(_) | Rest::Quiet(_)), false) => {
                self.process = Process::None(Rest::Down);
                (Some(Answer::Stopped), None)
            }
            (Process::None(_), false) => {
                self.process = Process::None(Rest::Down);
                (Some(Answer::AlreadyStopped), None)
            }
            (Process::None(_), true) => {
                self.ledger.clean_slate();
                self.make();
                (None, Some(now + self.policy.start_timeout_ms))
            }
            (Process::Ending { why: Why::SessionEnd, .. }, true)
            | (Process::Asked { unwanted: Some(Why::SessionEnd), .. }, true) => {
                (Some(Answer::Superseded), None)
            }
            (Process::Alive { health: Health::Good | Health::Silent, .. }, true) if !anew => {
                (Some(Answer::Already), None)
            }
            (Process::Alive { health: Health::NotYet { by }, .. }, true) if !anew => (None, Some(by)),
            (Process::Alive { .. } | Process::Asked { unwanted: None, .. }, true) if !anew => {
                (None, Some(now + self.policy.start_timeout_ms))
            }
            (_, true) => {
                self.ledger.clean_slate();
                self.end_it(Why::Restart, now);
                let until = now + self.policy.stop_allowance_ms + self.policy.start_timeout_ms;
                self.waiting.iter_mut().for_each(|waiter| waiter.1 = Some(until));
                (None, Some(until))
            }
            (_, false) => {
                self.end_it(Why::Down, now);
                (None, None)
            }
        };
        let Some(RequestId(request)) = request else { return };
        match reply {
            Some(reply) => self.answers.push(answer(request, reply)),
            None => self.waiting.push((request, patience)),
        }
    }

    fn hear(&mut self, event: Event, now: Millis) {
        let by = now + self.policy.start_timeout_ms;
        let alive = |health| Process::Alive { born: now, health };
        match (event, self.process) {
            (Event::Spawned { .. } | Event::Ready { .. }, Process::Asked { unwanted: Some(why), .. }) => {
                self.process = alive(Health::Silent);
                self.end_it(why, now);
            }
            (Event::Spawned { .. }, Process::Asked { unwanted: None, .. }) if self.policy.probed => {
                self.process = alive(Health::NotYet { by });
                self.waiting.iter_mut().for_each(|waiter| waiter.1 = Some(by));
            }
            (Event::Spawned { .. } | Event::Ready { .. }, Process::Asked { unwanted: None, .. }) => {
                self.process = alive(Health::Good);
                self.tell(Answer::Ready);
            }
            (Event::Ready { .. }, Process::Alive { born, health }) if health != Health::Good => {
                self.process = Process::Alive { born, health: Health::Good };
                self.tell(Answer::Ready);
            }
            (Event::Silent { .. }, Process::Alive { born, health: Health::Good }) => {
                self.process = Process::Alive { born, health: Health::Silent };
            }
            // Whoever waits for it need not wait for the deadline.
            (Event::Silent { .. }, Process::Alive { born, health: Health::NotYet { .. } }) => {
                self.process = Process::Alive { born, health: Health::Late };
                self.tell(Answer::Timeout);
            }
            (Event::Dead { .. }, Process::Alive { health: Health::NotYet { .. }, .. }) => {}
            (Event::Dead { .. }, Process::Alive { born, health }) => {
                if self.policy.restart != Restart::Never {
                    self.ledger.judge_health(now - born);
                    self.end_it(Why::Dead, now);
                } else if health == Health::Good {
                    self.process = Process::Alive { born, health: Health::Silent };
                }
            }
            (Event::Blocked { why, .. }, Process::Asked { unwanted: None, by_hand }) => {
                self.obstruct(why, by_hand, now);
            }
            (Event::Blocked { why, .. }, Process::Alive { .. }) => self.obstruct(why, false, now),
            (
                Event::Blocked { .. },
                Process::Asked { unwanted: Some(why), .. } | Process::Ending { why, .. },
            ) => {
                self.over(why, Exit::FAILURE, now);
            }
            (
                Event::Exited { exit, .. },
                Process::Asked { unwanted: Some(why), .. } | Process::Ending { why, .. },
            ) => {
                self.over(why, exit, now);
            }
            (Event::Exited { exit, .. }, Process::Asked { unwanted: None, by_hand }) => {
                self.ended(exit, 0, by_hand, now);
            }
            (Event::Exited { exit, .. }, Process::Alive { born, .. }) => {
                self.ended(exit, now - born, false, now)
            }
            _ => {}
        }
    }

    fn ended(&mut self, exit: Exit, lived: Millis, by_hand: bool, now: Millis) {
        if exit.session_end {
            self.process = Process::None(Rest::Down);
            self.tell(Answer::Superseded);
        } else if exit.machine {
            self.obstruct(Block::Machine, by_hand, now);
        } else if exit.exec_failed {
            self.obstruct(Block::Exec, by_hand, now);
        } else if exit.collision {
            self.ledger.collided(now);
            self.obstruct(Block::Port, by_hand, now);
        } else {
            self.ledger.judge_health(lived);
            self.tell(Answer::Failed);
            match self.policy.restart {
                Restart::Never | Restart::OnFailure if exit.clean => {
                    self.process = Process::None(Rest::Finished)
                }
                Restart::Never => self.process = Process::None(Rest::GaveUp),
                Restart::OnFailure | Restart::Always => self.fail(now),
            }
        }
    }

    fn over(&mut self, why: Why, exit: Exit, now: Millis) {
        match why {
            Why::Down => {
                self.process = Process::None(Rest::Down);
                self.tell(Answer::Stopped);
            }
            Why::SessionEnd => self.process = Process::None(Rest::Down),
            _ if exit.session_end => {
                self.process = Process::None(Rest::Down);
                self.tell(Answer::Superseded);
            }
            Why::Restart => self.make(),
            Why::Dead => {
                self.tell(Answer::Failed);
                self.fail(now);
            }
        }
    }

    fn notice(&mut self, event: Event, now: Millis) {
        match (event, self.process) {
            (Event::Unblocked, Process::None(Rest::Blocked(why, retry))) => {
                let at = self.ledger.not_before().max(now);
                self.process =
                    Process::None(Rest::Blocked(why, Some(retry.map_or(at, |retry| retry.min(at)))));
            }
            (Event::SourceChanged, Process::None(Rest::Until(until))) => {
                let at = self.ledger.edited(now, until);
                self.process = Process::None(Rest::Until(at));
            }
            (
                Event::SourceChanged,
                Process::None(Rest::Blocked(why @ (Block::Exec | Block::Refused), retry)),
            ) => {
                let at = self.ledger.edited(now, retry.unwrap_or(Millis::MAX));
                self.process = Process::None(Rest::Blocked(why, Some(at)));
            }
            (Event::SourceChanged, Process::None(Rest::GaveUp)) if self.policy.restart != Restart::Never => {
                let at = self.ledger.edited(now, Millis::MAX);
                self.process = Process::None(Rest::Until(at));
            }
            (
                Event::External { present: true },
                Process::None(
                    Rest::Until(_) | Rest::Blocked(..) | Rest::Quiet(_) | Rest::Finished | Rest::GaveUp,
                ),
            ) => {
                self.process = Process::None(Rest::ByHand);
                self.tell(Answer::External);
            }
            (Event::External { present: true }, Process::None(Rest::Down)) if !self.wanted => {
                self.process = Process::None(Rest::ByHand);
            }
            (Event::External { present: false }, Process::None(Rest::ByHand | Rest::Quiet(_))) => {
                let back_at = |quiet: Millis| (now + quiet).max(self.ledger.not_before());
                let rest =
                    if self.wanted { Rest::Quiet(self.policy.takeover_ms.map(back_at)) } else { Rest::Down };
                self.process = Process::None(rest);
            }
            (Event::External { present }, Process::Asked { unwanted: None, .. }) => {
                self.process = Process::Asked { unwanted: None, by_hand: present };
            }
            (Event::SessionEnding, Process::None(Rest::Down | Rest::Finished)) => {}
            (Event::SessionEnding, Process::None(_)) => {
                self.process = Process::None(Rest::Down);
                self.tell(Answer::Superseded);
            }
            (
                Event::SessionEnding,
                Process::Asked { unwanted: Some(why), .. } | Process::Ending { why, .. },
            ) if why == Why::Down || why == Why::SessionEnd => {}
            (Event::SessionEnding, _) => {
                self.end_it(Why::SessionEnd, now);
                self.tell(Answer::Superseded);
            }
            _ => {}
        }
    }

    fn let_time_pass_for_readiness(&mut self, now: Millis) {
        if let Process::Alive { born, health: Health::NotYet { by } } = self.process
            && by <= now
        {
            self.process = Process::Alive { born, health: Health::Late };
        }
    }

    fn let_time_pass(&mut self, now: Millis) {
        self.let_time_pass_for_readiness(now);
        match self.process {
            Process::None(Rest::Until(at) | Rest::Blocked(_, Some(at)) | Rest::Quiet(Some(at)))
                if at <= now =>
            {
                self.make()
            }
            Process::Ending { why, kill_at: Some(at) } if at <= now => {
                self.acts.push(kill(self.run));
                self.process = Process::Ending { why, kill_at: None };
            }
            _ => {}
        }
        let (gone, waiting): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|(_, until)| until.is_some_and(|until| until <= now));
        self.waiting = waiting;
        self.answers.extend(gone.into_iter().map(|(request, _)| answer(request, Answer::Timeout)));
    }

    fn make(&mut self) {
        self.run += 1;
        self.acts.push(spawn(self.run));
        self.process = Process::Asked { unwanted: None, by_hand: false };
    }

    fn end_it(&mut self, reason: Why, now: Millis) {
        match &mut self.process {
            Process::None(_) => {}
            Process::Asked { unwanted, .. } => *unwanted = Some(reason),
            Process::Ending { why, .. } => *why = reason,
            Process::Alive { .. } => {
                self.acts.push(end(self.run));
                let kill_at = Some(now + self.policy.stop_allowance_ms);
                self.process = Process::Ending { why: reason, kill_at };
            }
        }
    }

    fn obstruct(&mut self, why: Block, by_hand: bool, now: Millis) {
        if by_hand {
            self.process = Process::None(Rest::ByHand);
            return self.tell(Answer::External);
        }
        let retry = match why {
            Block::Machine => Some(now + 1_000),
            Block::Exec => Some(now + self.ledger.not_executed()),
            Block::Port | Block::After | Block::Refused => None,
        };
        self.process = Process::None(Rest::Blocked(why, retry));
        if why != Block::After {
            self.tell(Answer::Blocked);
        }
    }

    fn fail(&mut self, now: Millis) {
        let given_up = self.ledger.failed(now);
        self.process =
            Process::None(if given_up { Rest::GaveUp } else { Rest::Until(self.ledger.not_before()) });
    }

    fn tell(&mut self, what: Answer) {
        for (request, _) in self.waiting.drain(..) {
            self.answers.push(answer(request, what));
        }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The run that lives or is asked for.
    pub(crate) fn present(&self) -> Option<u64> {
        (!matches!(self.process, Process::None(_))).then_some(self.run)
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        let process = match self.process {
            Process::None(Rest::Until(at)) => Some(at),
            Process::None(Rest::Quiet(at)) => at,
            Process::None(Rest::Blocked(_, at)) | Process::Ending { kill_at: at, .. } => at,
            Process::Alive { health: Health::NotYet { by }, .. } => Some(by),
            Process::None(_) | Process::Asked { .. } | Process::Alive { .. } => None,
        };
        self.waiting.iter().map(|(_, until)| *until).chain([process]).flatten().min()
    }
}
