//! The slow look at what is ready: no log lines, no user code. A listener that is gone or whose accept queue
//! stands still is a reason to ask; nothing else is.

use std::time::{Duration, SystemTime};

use lifecycle::Phase;

use crate::companion::examine;
use crate::daemon::Daemon;
use crate::input::Input;

/// How often, while anything that serves is ready.
const PERIOD: Duration = Duration::from_secs(10);

impl Daemon {
    /// Orders the next look, once.
    pub(crate) fn order_liveness(&mut self) {
        if self.liveness_due {
            return;
        }
        self.liveness_due = true;
        let inputs = self.inputs.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(PERIOD).await;
            let _ = inputs.send(Input::LivenessDue);
        });
    }

    pub(crate) fn on_liveness_due(&mut self) {
        self.liveness_due = false;
        let Ok(listeners) = os::ports::all_listeners() else { return self.order_liveness() };
        let mut anybody = false;
        for key in self.keys() {
            let Some(service) = self.service(&key) else { continue };
            let Phase::Ready { run, .. } = *service.core.phase() else { continue };
            let Some(target) = self.target(&key).filter(|_| service.probed()) else { continue };
            anybody = true;
            let queues: Vec<_> =
                listeners.iter().filter(|l| l.addr.port() == target.port).map(|l| l.accept_queue).collect();
            let waiting = queues.iter().flatten().copied().max();
            let suspicious = match waiting {
                // Where the system does not tell, the question is the only way.
                None => true,
                Some(0) => false,
                Some(now) => self.accept_queues.get(&key).is_some_and(|&before| before > 0 && now >= before),
            };
            self.accept_queues.insert(key.clone(), waiting.unwrap_or_default());
            if suspicious {
                let inputs = self.inputs.clone();
                tokio::task::spawn_local(async move {
                    // Without a death among its members only a missing listener proves anything.
                    let verdict = examine(&target, &Default::default(), &[], SystemTime::now()).await;
                    let _ = inputs.send(Input::Probed { key, run, verdict });
                });
            }
        }
        if anybody {
            self.order_liveness();
        }
    }
}
