//! Those who asked and have no answer yet. All of them wait for the present goal.

use alloc::vec::Vec;

use crate::action::Turn;
use crate::{Answer, Millis, RequestId};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Waiter {
    pub(crate) request: RequestId,
    /// When it is told `Timeout`; a stop waits for as long as it takes.
    pub(crate) until: Option<Millis>,
}

/// All of them, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Waiting(pub(crate) Vec<Waiter>);

impl Waiting {
    pub(crate) fn join(&mut self, request: Option<RequestId>, until: Option<Millis>) {
        if let Some(request) = request {
            self.0.push(Waiter { request, until });
        }
    }

    /// Everybody gets the same answer.
    pub(crate) fn answer(&mut self, answer: Answer, turn: &mut Turn<'_>) {
        for waiter in self.0.drain(..) {
            turn.answer(Some(waiter.request), answer);
        }
    }

    /// Everybody waits until then.
    pub(crate) fn wait_until(&mut self, until: Millis) {
        for waiter in &mut self.0 {
            waiter.until = Some(until);
        }
    }

    /// Whoever has waited long enough is told so.
    pub(crate) fn expire(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now;
        self.0.retain(|waiter| {
            let patient = waiter.until.is_none_or(|until| until > now);
            if !patient {
                turn.answer(Some(waiter.request), Answer::Timeout);
            }
            patient
        });
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.0.iter().filter_map(|waiter| waiter.until).min()
    }
}
