//! The few styles there are.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};
use wire::{Phase, ServiceOutcome};

/// For headings and names.
pub(crate) const STRONG: Style = Style::new().bold();
/// For what is there on a second look.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// For addresses.
pub(crate) const LINK: Style = AnsiColor::Cyan.on_default();
/// For what is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// For what will be well or may be.
pub(crate) const WAITING: Style = AnsiColor::Yellow.on_default();
/// For what is not well.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// Text in a style.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Styled<T>(pub(crate) T, pub(crate) Style);

impl<T: Display> Display for Styled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.is_plain() {
            return self.0.fmt(f);
        }
        write!(f, "{}{}{}", self.1.render(), self.0, self.1.render_reset())
    }
}

/// The word for a phase.
pub(crate) const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Down => "down",
        Phase::Blocked => "blocked",
        Phase::Spawning => "spawning",
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Unhealthy => "unhealthy",
        Phase::Stopping => "stopping",
        Phase::Backoff => "backoff",
        Phase::Finished => "finished",
        Phase::GaveUp => "gave up",
        Phase::External => "external",
        Phase::Quiet => "quiet",
        Phase::Unknown => "unknown",
    }
}

/// The style of a phase.
pub(crate) const fn phase_style(phase: Phase) -> Style {
    match phase {
        Phase::Ready | Phase::External => GOOD,
        Phase::Spawning | Phase::Starting | Phase::Stopping | Phase::Blocked | Phase::Quiet => WAITING,
        Phase::Unhealthy | Phase::Backoff | Phase::GaveUp => BAD,
        Phase::Down | Phase::Finished | Phase::Unknown => FAINT,
    }
}

/// The words and style for what a request came to.
pub(crate) const fn outcome(outcome: ServiceOutcome) -> (&'static str, Style) {
    match outcome {
        ServiceOutcome::Ready => ("ready", GOOD),
        ServiceOutcome::Already => ("already", GOOD),
        ServiceOutcome::Stopped => ("stopped", GOOD),
        ServiceOutcome::Accepted => ("accepted", WAITING),
        ServiceOutcome::Failed => ("failed", BAD),
        ServiceOutcome::Blocked => ("blocked", WAITING),
        ServiceOutcome::Timeout => ("not yet", WAITING),
        ServiceOutcome::Superseded => ("superseded", WAITING),
        ServiceOutcome::Busy => ("busy", WAITING),
        ServiceOutcome::External => ("external", GOOD),
        ServiceOutcome::Absent => ("not started by hand", BAD),
        ServiceOutcome::Unknown => ("unknown", FAINT),
    }
}
