//! The disk of the state: whatever may have to wait for it runs in threads of its own, so that a disk that stands still
//! holds up neither the loop nor the threads that look at ports and processes.
//!
//! While it stands still nothing waits for it that can do without: goals hold before they are recorded, a run is made in
//! the runtime folder, lines for the daemon's log wait in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tracing::{info, warn};

use crate::daemon::Daemon;
use crate::input::{Input, Inputs};

/// A disk that has not answered for so long stands still.
pub(crate) const STILL: Duration = Duration::from_secs(2);

/// The threads, from when there are some.
static POOL: OnceLock<Pool> = OnceLock::new();

struct Pool {
    threads: Handle,
    inputs: Inputs,
    /// Where the disk is mounted; looked up while it answers.
    mounted_at: Option<PathBuf>,
    /// What waits for the disk, since when.
    jobs: Mutex<Jobs>,
    still: AtomicBool,
}

#[derive(Default)]
struct Jobs {
    last: u64,
    running: BTreeMap<u64, Instant>,
}

impl Pool {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, job: Box<dyn FnOnce() + Send>) {
        drop(self.threads.spawn_blocking(job));
    }

    fn waits(&self) -> Option<Duration> {
        self.jobs().running.values().min().map(Instant::elapsed)
    }
}

/// Makes the threads; what is returned is to be shut down at the end.
pub(crate) fn begin(state: &Path, inputs: Inputs, threads: &mut Builder) -> io::Result<Runtime> {
    let runtime = threads.build()?;
    let threads = runtime.handle().clone();
    // The first of them, while there may be one.
    drop(threads.spawn_blocking(Box::new(|| ()) as Box<dyn FnOnce() + Send>));
    let mounted_at = os::disk::mounted_at(state);
    let pool = Pool { threads, inputs, mounted_at, jobs: Mutex::default(), still: AtomicBool::new(false) };
    let _ = POOL.set(pool);
    Ok(runtime)
}

/// Does something for which the disk may have to be waited for.
pub(crate) fn run(job: impl FnOnce() + Send + 'static) {
    let Some(pool) = POOL.get() else { return job() };
    let number = {
        let mut jobs = pool.jobs();
        jobs.last += 1;
        let number = jobs.last;
        jobs.running.insert(number, Instant::now());
        number
    };
    pool.begin(Box::new(move || {
        job();
        pool.jobs().running.remove(&number);
        if pool.still.load(Ordering::Relaxed) {
            let _ = pool.inputs.send(Input::Disk);
        }
    }));
}

/// The same for what says by itself when it had to wait; `false` where there are no threads for it yet.
pub(crate) fn run_aside(job: fn()) -> bool {
    POOL.get().map(|pool| pool.begin(Box::new(job))).is_some()
}

/// Does something for which the disk is not waited for long. What comes of it too late is given to `undo`.
pub(crate) fn attempt<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
    undo: impl FnOnce(T) + Send + 'static,
) -> io::Result<T> {
    if is_still() {
        return Err(no_answer());
    }
    let (done, outcome): (SyncSender<io::Result<T>>, _) = sync_channel(1);
    run(move || {
        if let Err(TrySendError::Disconnected(Ok(late)) | TrySendError::Full(Ok(late))) = done.try_send(job())
        {
            undo(late);
        }
    });
    match outcome.recv_timeout(STILL) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            outcome.try_recv().unwrap_or_else(|_| Err(no_answer()))
        }
    }
}

/// Whether the disk is known to stand still.
pub(crate) fn is_still() -> bool {
    POOL.get().is_some_and(|pool| pool.still.load(Ordering::Relaxed))
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer")
}

impl Daemon {
    /// Does something for which the disk may have to be waited for, and looks later whether it had to.
    pub(crate) fn on_disk(&mut self, job: impl FnOnce() + Send + 'static) {
        run(job);
        self.watch_the_disk();
    }

    /// Orders a look at the disk, once.
    pub(crate) fn watch_the_disk(&mut self) {
        if !std::mem::replace(&mut self.disk_looked_at, true) {
            let inputs = self.inputs.clone();
            crate::tasks::spawn(async move {
                tokio::time::sleep(STILL).await;
                let _ = inputs.send(Input::DiskDue);
            });
        }
    }

    pub(crate) fn on_disk_due(&mut self) {
        self.disk_looked_at = false;
        self.look_at_the_disk();
        if POOL.get().and_then(Pool::waits).is_some() {
            self.watch_the_disk();
        }
    }

    /// What is waited for says whether the disk answers.
    pub(crate) fn look_at_the_disk(&mut self) {
        let Some(pool) = POOL.get() else { return };
        let waits = pool.waits().filter(|waits| *waits >= STILL);
        pool.still.store(waits.is_some(), Ordering::Relaxed);
        let was = std::mem::replace(&mut self.disk_waits, waits);
        match (was, waits) {
            (None, Some(_)) => {
                warn!(path = %self.state_path().display(), "the disk does not answer");
                self.touch();
            }
            (Some(waited), None) => {
                info!(?waited, "the disk answers again");
                self.touch();
            }
            // Only the number that readers see is another.
            (Some(_), Some(_)) => self.refresh(),
            (None, None) => {}
        }
        if waits.is_some() {
            self.go_on_without_records();
        }
    }

    /// What people are to know of the disk.
    pub(crate) fn disk_warning(&self) -> Option<String> {
        let waited = self.disk_waits?.as_secs();
        let path = self.state_path();
        let disk = match POOL.get().and_then(|pool| pool.mounted_at.as_ref()) {
            Some(place) => format!("the disk mounted at {}", place.display()),
            None => "the disk".to_owned(),
        };
        Some(format!(
            "{disk} has not answered for {waited} s; {} is on it. Services go on and their output waits in memory; what \
             is asked for meanwhile is done, and recorded when the disk answers. Look at it: dmesg | tail",
            path.display()
        ))
    }

    fn state_path(&self) -> &Path {
        self.hosts.first().map_or(Path::new("/"), run::layout::HostDir::path)
    }
}
