//! What is left of the services after logging out and after a reboot.

use super::context::Daemon;
use super::{Check, Context, Finding, Level};
use crate::survival;

pub(super) struct Login;

impl Check for Login {
    fn name(&self) -> &'static str {
        "login"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let running = match context.daemon() {
            Daemon::Runs(both) => Some((both.0.pid, survival::processes(&both.1))),
            Daemon::None | Daemon::Mute(_) => None,
        };
        let (daemon, services) = running.map_or((None, Vec::new()), |(pid, services)| (Some(pid), services));
        let manager = manager::of_this_user();
        let facts = manager::Facts::gather(manager.as_deref(), daemon, &services);
        facts.survival().advice.into_iter().map(|advice| self.finding(advice)).collect()
    }
}

impl Login {
    fn finding(&self, advice: manager::Advice) -> Finding {
        let level = if advice.survives { Level::Ok } else { Level::Note };
        let finding = Finding::new(self, level, format!("{}: {}", advice.event, advice.outcome));
        // What survives is well, even where it could be had otherwise.
        match advice.command.filter(|_| !advice.survives) {
            Some(command) if command == manager::ENABLE => finding.verb(&["autostart", "enable"]),
            Some(command) => finding.mend(command),
            None => finding,
        }
    }
}
