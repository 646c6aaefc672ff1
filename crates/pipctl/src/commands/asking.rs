//! What `start`, `stop` and `restart` share while they wait: the live lines, Ctrl-C, and asking again when the
//! daemon dies under them.

use std::path::Path;

use client::{CallError, Client};
use wire::VerbAnswer;

use super::find;
use crate::exit::Failure;
use crate::interrupt::Watch;
use crate::live::Live;
use crate::terminal::{Surroundings, Terminal};

/// One verb that wants an answer.
pub(super) struct Asking<'a> {
    pub(super) surroundings: &'a Surroundings,
    pub(super) root: &'a Path,
    pub(super) services: &'a [String],
    /// A program reads the answer: no lines for people.
    pub(super) json: bool,
    pub(super) no_wait: bool,
    /// What Ctrl-C says.
    pub(super) interrupted: String,
}

impl Asking<'_> {
    /// Asks `first`, or a daemon that is started for it; and when it dies without an answer, the next one. `ask` is
    /// told whether it is the first time, and must be idempotent.
    pub(super) fn until_answered(
        &self,
        mut first: Option<Client>,
        terminal: &mut Terminal<'_>,
        mut ask: impl FnMut(&mut Client, bool, &mut Live<'_>) -> Result<VerbAnswer, CallError>,
    ) -> Result<VerbAnswer, Failure> {
        let live = self.surroundings.interactive && !self.json && !self.no_wait;
        let catch = self.surroundings.catch_interrupts && !self.no_wait;
        let _watch = Watch::begin(catch, self.interrupted.clone());
        client::until_answered(|is_first| {
            let mut client = match first.take() {
                Some(client) => client,
                None => find::daemon_or_start(self.surroundings, terminal, self.json)?,
            };
            let mut lines = Live::new(terminal.err, self.root, self.services, live);
            if live {
                match client.subscribe(Some(self.root)) {
                    Ok(snapshot) => client::Progress::changed(&mut lines, &snapshot),
                    Err(error) => return Ok(Err(error)),
                }
            }
            let result = ask(&mut client, is_first, &mut lines);
            lines.clear();
            Ok(result)
        })
    }
}
