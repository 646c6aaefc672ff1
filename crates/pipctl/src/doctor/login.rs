//! What is left of the services after logging out and after a reboot.

use super::context::Daemon;
use super::{Check, Context, Finding, Level};

pub(super) struct Login;

impl Check for Login {
    fn name(&self) -> &'static str {
        "login"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let Daemon::Runs(both) = context.daemon() else { return Vec::new() };
        if both.0.manager != "none" {
            return Vec::new();
        }
        let text = "pipd was started by hand: after a reboot nothing is there until the next start";
        vec![Finding::new(self, Level::Note, text).mend("pipctl start, after a reboot")]
    }
}
