//! The slow look at what is ready: no log lines, no user code. A listener that is gone or whose accept queue
//! stands still is a reason to ask; nothing else is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lifecycle::Phase;

use crate::companion::{examine, tell_facts};
use crate::daemon::Daemon;
use crate::edited::Sources;
use crate::input::{Input, Key};
use crate::members;
use crate::truth::sockets;

/// How often, while anything that serves is ready.
const PERIOD: Duration = Duration::from_secs(10);
/// The next look after one that was the first to see a connection wait: what hangs is noticed at the second look, and
/// that is known within 15 s.
const SECOND_LOOK: Duration = Duration::from_secs(2);

impl Daemon {
    /// Orders the next look, once.
    pub(crate) fn order_liveness(&mut self) {
        self.order_liveness_in(PERIOD);
    }

    fn order_liveness_in(&mut self, pause: Duration) {
        if self.liveness_due {
            return;
        }
        self.liveness_due = true;
        let inputs = self.inputs.clone();
        crate::tasks::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = inputs.send(Input::LivenessDue);
        });
    }

    /// All that an idle daemon does, every time: it is kept to a few small steps over the services, so that little of
    /// this program has to be in memory for it.
    pub(crate) fn on_liveness_due(&mut self) {
        self.liveness_due = false;
        self.look_after_memory();
        let Ok(listeners) = os::ports::all_listeners() else { return self.order_liveness() };
        let mut anybody = self.look_at_shims();
        let mut waits = false;
        let (mut suspects, mut altered) = (Vec::new(), Vec::new());
        for workspace in self.workspaces.values_mut() {
            for (name, service) in workspace.services.iter_mut() {
                let Phase::Ready { run, .. } = *service.core.phase() else { continue };
                let Some(port) = service.probed_port() else { continue };
                anybody = true;
                let key = || Key { workspace: Arc::clone(&workspace.id), service: Arc::clone(name) };
                let known = service.live.as_ref().map_or(0, |live| live.facts.sockets);
                if known != 0 && known != sockets(&listeners, port) {
                    altered.push((key(), run));
                }
                let queues = listeners.iter().filter(|listener| listener.addr.port() == port);
                let waiting = queues.filter_map(|listener| listener.accept_queue).max();
                let before = std::mem::replace(&mut service.accept_queue, waiting.unwrap_or_default());
                waits |= before == 0 && service.accept_queue > 0;
                let suspicious = match waiting {
                    // Where the system does not tell, the question is the only way.
                    None => true,
                    Some(0) => false,
                    Some(now) => before > 0 && now >= before,
                };
                if suspicious {
                    suspects.push((key(), run));
                }
            }
        }
        for key in self.labs() {
            self.watch_kernels(&key);
        }
        // Somebody listens there too, or no longer.
        for (key, run) in altered {
            let Some(target) = self.target(&key) else { continue };
            let inputs = self.inputs.clone();
            crate::tasks::spawn(async move {
                let members = members::of(&target).await;
                tell_facts(&target, &members, &inputs, &key, run).await;
            });
        }
        for (key, run) in suspects {
            let Some(target) = self.target(&key) else { continue };
            let inputs = self.inputs.clone();
            crate::tasks::spawn(async move {
                // Without a death among its members only a missing listener proves anything.
                let verdict =
                    examine(&target, &Default::default(), &Sources::default(), run, SystemTime::now()).await;
                let _ = inputs.send(Input::Probed { key, run, verdict });
            });
        }
        if anybody {
            self.order_liveness_in(if waits { SECOND_LOOK } else { PERIOD });
        }
    }
}
