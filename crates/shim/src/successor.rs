//! A shim that takes over from one that died: not the service's parent, and there to log and bury it.

use std::time::{Duration, Instant};

use run::log::Stamp;
use run::protocol::Report;
use run::record::Started;

use crate::begin::Beginning;
use crate::error::BeginError;
use crate::main_process::MainProcess;
use crate::memory::Kills;
use crate::note::Note;
use crate::output::{Output, Pipes};
use crate::serve::Shim;

pub(crate) fn adopt(mut beginning: Beginning, started: Started) -> Result<Shim, BeginError> {
    os::failpoint!("shim.succeed").map_err(BeginError::at("succession"))?;
    let at = beginning.dir.path().display().to_string();
    let pipes = Pipes::open(&beginning.dir).map_err(BeginError::at(at))?;
    let mut output = Output::new(pipes, &beginning.dir, &beginning.spec);
    // The first shim may have died before it had marked the beginning; then it had read nothing either.
    output.started(beginning.spec.run, started.main.pid);
    // The process that began the run leads its group; one that replaced it says which it is in.
    let group = os::process::info(started.main.pid)
        .ok()
        .flatten()
        .filter(|found| found.start == started.main.start)
        // One that was started by hand may be in the group of its shell or editor, which is none of ours.
        .filter(|_| !beginning.spec.adopted)
        .map_or(started.main.pid, |found| found.pgid);
    let main = MainProcess::watched(started.main, group, started.at_ms);
    let report = Report::Started { pid: main.identity.pid, at_ms: main.started_ms };
    // Of a process that is gone only its end is told: its number may be a stranger's by now.
    if main.end().is_none() {
        beginning.clients.tell(&report);
        beginning.clients.set_news(vec![report]);
    }
    let note = Note::unpack(output.note());
    let kills = Kills::since(note.kills_before);
    let ran = u64::try_from(Stamp::now().as_ms() - started.at_ms).unwrap_or(0);
    let began = Instant::now().checked_sub(Duration::from_millis(ran)).unwrap_or_else(Instant::now);
    Ok(Shim::new(beginning, main, output, kills, began, note.asked))
}
