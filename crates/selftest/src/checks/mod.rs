//! One file per promise.

mod both_killed;
mod crash;
mod daemon_killed;
mod daemon_restarted;
mod environment;
mod exits;
mod logs;
mod port_taken;
mod private;
mod readiness;
mod shim_killed;
mod stop;
mod suspended;
mod ten_starts;
mod terminal_closed;
mod tree;

use crate::Check;

/// All, in the order in which they are made: what others rest on first.
pub(crate) const ALL: &[&dyn Check] = &[
    &private::Private,
    &environment::Environment,
    &logs::Logs,
    &exits::Exits,
    &readiness::Readiness,
    &ten_starts::TenStarts,
    &terminal_closed::TerminalClosed,
    &daemon_killed::DaemonKilled,
    &daemon_restarted::DaemonRestarted,
    &shim_killed::ShimKilled,
    &both_killed::BothKilled,
    &crash::Crash,
    &suspended::Suspended,
    &port_taken::PortTaken,
    &tree::Tree,
    &stop::Stop,
];
