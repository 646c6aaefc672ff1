//! Ctrl-C while a verb waits: the daemon goes on, this process says so and leaves with its own exit code.
//!
//! The signal is blocked and a thread waits for it: no handler, so nothing runs at an unsafe moment.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

use crate::exit::Exit;

/// While this lives, Ctrl-C prints a message and ends the process with [`Exit::Interrupted`]; afterwards it
/// ends it without a word.
pub(crate) struct Watch {
    waiting: Arc<AtomicBool>,
}

impl Watch {
    /// Begins to watch, when `on`.
    pub(crate) fn begin(on: bool, message: impl Into<String>) -> Self {
        let waiting = Arc::new(AtomicBool::new(on));
        let mut interrupt = SigSet::empty();
        interrupt.add(Signal::SIGINT);
        // Without the block or the thread Ctrl-C ends the process as it always does.
        if on && interrupt.thread_block().is_ok() {
            let (waiting, message) = (Arc::clone(&waiting), message.into());
            let leave = move || {
                if interrupt.wait().is_ok() {
                    if waiting.load(Ordering::Relaxed) {
                        // Below the live lines, which are left as they are.
                        let _ = writeln!(std::io::stderr().lock(), "\n{message}");
                    }
                    std::process::exit(Exit::Interrupted.number().into());
                }
            };
            if std::thread::Builder::new().name("interrupt".into()).spawn(leave).is_err() {
                let _ = interrupt.thread_unblock();
            }
        }
        Self { waiting }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.waiting.store(false, Ordering::Relaxed);
    }
}
