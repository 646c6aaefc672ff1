//! Ctrl-C while a verb waits: the daemon goes on, this process says so and leaves with its own exit code.
//!
//! The signal is blocked and a thread waits for it: no handler, so nothing runs at an unsafe moment.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use nix::sys::signal::{SigSet, Signal};

use crate::exit::Exit;

/// What Ctrl-C says now; nothing when nothing waits.
static MESSAGE: Mutex<Option<String>> = Mutex::new(None);

/// One thread for all that is waited for, one after the other.
static THREAD: Once = Once::new();

/// While this lives, Ctrl-C, a SIGTERM or a closed terminal sets a flag and ends nothing: for work that must be undone first.
pub(crate) struct Flag(Arc<AtomicBool>);

impl Flag {
    /// Begins to watch, when `on`.
    pub(crate) fn begin(on: bool) -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signals.add(signal);
        }
        if on && signals.thread_block().is_ok() {
            let raised = Arc::clone(&flag);
            let watch = move || {
                while signals.wait().is_ok() {
                    raised.store(true, Ordering::Relaxed);
                }
            };
            if std::thread::Builder::new().name("interrupt".into()).spawn(watch).is_err() {
                let _ = signals.thread_unblock();
            }
        }
        Self(flag)
    }

    /// Whether somebody wants this to end.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// While this lives, Ctrl-C prints a message and ends the process with [`Exit::Interrupted`]; afterwards it
/// ends it without a word.
pub(crate) struct Watch {
    on: bool,
}

impl Watch {
    /// Begins to watch, when `on`.
    pub(crate) fn begin(on: bool, message: impl Into<String>) -> Self {
        if on {
            say(Some(message.into()));
            THREAD.call_once(await_interrupt);
        }
        Self { on }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.on {
            say(None);
        }
    }
}

fn say(message: Option<String>) {
    *MESSAGE.lock().unwrap_or_else(PoisonError::into_inner) = message;
}

fn await_interrupt() {
    let mut interrupt = SigSet::empty();
    interrupt.add(Signal::SIGINT);
    // Without the block or the thread Ctrl-C ends the process as it always does.
    if interrupt.thread_block().is_err() {
        return;
    }
    let leave = move || {
        if interrupt.wait().is_ok() {
            if let Some(message) = &*MESSAGE.lock().unwrap_or_else(PoisonError::into_inner) {
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
