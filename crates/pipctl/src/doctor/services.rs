//! The services that are wanted and not there, as the daemon knows them.

use wire::{Goal, Phase};

use super::context::Daemon;
use super::{Check, Context, Finding, Level};

pub(super) struct Services;

impl Check for Services {
    fn name(&self) -> &'static str {
        "services"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        match context.daemon() {
            Daemon::Mute(why) => {
                return vec![match why.split_once(" Look at it: ") {
                    // A folder or file that is not as it must be: a new daemon would not change that.
                    Some((why, look)) => Finding::new(self, Level::Problem, why).mend(look),
                    None => Finding::new(self, Level::Problem, why.clone()).verb(&["daemon", "restart"]),
                }];
            }
            Daemon::None => {
                let living = context.surroundings().locations().map(|l| l.living()).unwrap_or_default();
                if living.is_empty() {
                    let text = "pipd is not running; the next start has it started";
                    return vec![Finding::new(self, Level::Note, text).mend("pipctl start")];
                }
                let text =
                    format!("pipd is not running, and nobody looks after {} of your runs", living.len());
                return vec![Finding::new(self, Level::Problem, text).verb(&["daemon", "start"])];
            }
            Daemon::Runs(_) => {}
        }
        let Some(view) = context.view() else {
            if context.root().is_none() {
                return Vec::new();
            }
            return vec![
                Finding::new(self, Level::Note, "nothing was started here yet").mend("pipctl start"),
            ];
        };
        let mut found = Vec::new();
        let mut well = 0;
        for service in &view.services {
            let (level, state) = match (service.goal, service.phase) {
                (_, Phase::Ready | Phase::External | Phase::Finished) => {
                    well += 1;
                    continue;
                }
                (Goal::Down, _) => (Level::Note, "not wanted"),
                (Goal::Up, Phase::Spawning | Phase::Starting) => (Level::Note, "starting"),
                (Goal::Up, Phase::Quiet) => (Level::Note, "left to whoever ran it by hand"),
                (Goal::Up, Phase::Stopping) => (Level::Note, "stopping"),
                (Goal::Up, Phase::Blocked) => (Level::Problem, "blocked"),
                (Goal::Up, Phase::Unhealthy) => (Level::Problem, "lives and does not answer"),
                (Goal::Up, Phase::Backoff) => (Level::Problem, "fails, and is tried again"),
                (Goal::Up, Phase::GaveUp) => (Level::Problem, "failed too often and was given up"),
                (Goal::Up, Phase::Down | Phase::Unknown) => (Level::Problem, "wanted and not there"),
            };
            let mut text = format!("{}: {state}", service.name);
            if let Some(exit) = service.last_exit.as_ref().filter(|_| level == Level::Problem) {
                text.push_str(&format!(" ({})", exit.cause));
            }
            if let Some(detail) = service.detail.as_ref().and_then(|detail| detail.lines().last()) {
                text.push_str(&format!(": {detail}"));
            }
            let finding = Finding::new(self, level, text);
            found.push(match (level, &service.hint) {
                (Level::Problem, Some(hint)) => finding.mend(hint.clone()),
                (Level::Problem, None) => finding.mend(format!("pipctl why {}", service.name)),
                _ if service.goal == Goal::Down => finding.mend(format!("pipctl start {}", service.name)),
                _ => finding.mend("pipctl status"),
            });
        }
        if well > 0 {
            found.insert(0, Finding::new(self, Level::Ok, format!("{well} of {} up", view.services.len())));
        }
        found
    }
}
