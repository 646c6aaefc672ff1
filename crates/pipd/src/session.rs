//! The end of the session, and the beginning of the next one.
//!
//! When the session or the machine ends, every service ends in its own way and every goal stays. In the next one, what
//! is wanted comes back: all of it, or only the workspaces that were chosen for that.

use std::io;

use lifecycle::{Event, Millis, Restored};
use run::layout::HostDir;
use run::record::{self, AutostartRecord, DaemonGoal, DaemonRecord, Exited};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};
use wire::{ErrorObject, code};

use crate::clock::wall_ms;
use crate::daemon::Daemon;
use crate::input::{Input, Inputs};
use crate::mend;
use crate::workspace::Workspace;

/// How long services are waited for; a little less than what the service manager gives to the daemon.
const PATIENCE_MS: Millis = 105_000;

/// What a daemon that begins knows of the session it begins in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    /// When the first daemon of this session began; 0 when no session ended before.
    began_ms: i64,
    choices: Option<AutostartRecord>,
}

impl Session {
    /// By what the daemon before has left.
    pub(crate) fn find(host: &HostDir, warnings: &mut Vec<String>) -> Self {
        let before: Option<DaemonRecord> = record::read(&host.daemon_record()).ok().flatten();
        let boot = os::host::boot_id().ok();
        let began_ms = before.map_or(0, |before| {
            let of_boot = before.process.map(|process| process.boot);
            let is_new = before.session_ended || (of_boot.is_some() && of_boot != boot);
            if is_new { wall_ms() } else { before.session_began_ms }
        });
        let choices = record::read(&host.autostart_record()).unwrap_or_else(|error| {
            let kept = mend::keep_away(&host.autostart_record(), &error);
            warnings.push(format!(
                "which workspaces come back at login is forgotten, all do: {kept}; choose anew: pipctl autostart enable --workspace"
            ));
            None
        });
        Self { began_ms, choices }
    }

    pub(crate) fn began_ms(&self) -> i64 {
        self.began_ms
    }

    /// How a service comes back that last ran before this session: how it ended then does not matter any more.
    pub(crate) fn brings_back(&self, workspace: &Workspace) -> Restored {
        // What was said of it where it was before holds until something is said where it is.
        let places = std::iter::once(&workspace.root).chain(workspace.former.iter().map(|place| &place.root));
        match &self.choices {
            Some(choices) if !choices.covers_any(places) => Restored::Resting,
            _ => Restored::Nothing,
        }
    }

    /// Whether this is an end of before this session.
    pub(crate) fn is_after(&self, exited: &Exited) -> bool {
        exited.at_ms < self.began_ms
    }
}

/// SIGTERM and SIGINT end the daemon; a service only if the session ends with it, of which SIGINT is no sign.
pub(crate) fn end_on_signals(inputs: Inputs, manager: &'static str) -> io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    crate::tasks::spawn(async move {
        loop {
            let session_ends = tokio::select! {
                _ = int.recv() => false,
                // Asked once; off the loop, since another program answers.
                _ = term.recv() => {
                    crate::tasks::blocking(move || manager::session_is_ending(manager)).await.unwrap_or(false)
                }
            };
            let _ = inputs.send(Input::Terminate { session_ends });
        }
    });
    Ok(())
}

impl Daemon {
    pub(crate) fn on_terminate(&mut self, session_ends: bool) {
        match (session_ends, self.session_ends_by) {
            (true, None) => {
                info!("the session ends: services end with it, their goals stay");
                self.session_ends_by = Some(self.clock.now().saturating_add(PATIENCE_MS));
                for key in self.keys() {
                    self.step(&key, Event::SessionEnding);
                }
            }
            (true, Some(_)) => {}
            (false, _) => {
                info!("asked to end by a signal; services keep running");
                self.ending = Some(DaemonGoal::Down);
            }
        }
    }

    /// Ends this daemon when the session ends and nothing lives any more, or when it takes too long.
    pub(crate) fn end_with_session(&mut self) {
        let Some(by) = self.session_ends_by else { return };
        let living = self
            .keys()
            .iter()
            .filter(|key| self.service(key).is_some_and(|s| s.core.run().is_some()))
            .count();
        let overdue = by <= self.clock.now();
        if living > 0 && overdue {
            warn!(living, "the session ends before its services have");
        }
        if living == 0 || overdue {
            self.ending = Some(DaemonGoal::Down);
        }
    }

    /// Nothing is begun any more once the session ends.
    pub(crate) fn refusal(&self) -> Option<ErrorObject> {
        self.session_ends_by.map(|_| {
            let text = "your session is ending; start it in the next one: pipctl start";
            ErrorObject::new(code::GOING_AWAY, text)
        })
    }
}
