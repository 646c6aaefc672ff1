//! The service's output: two FIFOs and the log, as the loop sees them. Whatever may wait for the disk is done by a thread
//! of its own ([`crate::disk`]); the loop looks whether that hangs, and then reads the pipes into memory itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use run::layout::RunDir;
use run::log::{Fifo, Options, Spill, Stream, Writer};
use run::record::RunSpec;

use crate::disk::{self, Job, Shared, Turn, Worker};

/// A disk that has not answered for so long stands still: the pipes are read elsewhere, before they are full.
const STILL: Duration = Duration::from_millis(300);
/// How often it is looked at while it is at work.
const LOOK: Duration = Duration::from_millis(250);
/// After this time people are told.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// Reads in a row from a pipe before anything else is looked at.
const READS_IN_A_ROW: usize = 16;
/// Reads from a pipe at the end, which may never get empty: a person's process goes on writing to it.
const LAST_READS: usize = 4_096;
/// How long the end of a run waits for its last lines and its record.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);
/// Stack of the thread: little of it is ever touched.
const STACK: usize = 256 << 10;

/// Both ends of both FIFOs. The shim keeps the write ends, too: without a writer a FIFO is readable for ever
/// ("end of file"), and a service that closes its output must not keep the shim awake.
pub(crate) struct Pipes {
    pub(crate) out: Fifo,
    pub(crate) err: Fifo,
    pub(crate) write_out: OwnedFd,
    pub(crate) write_err: OwnedFd,
    /// The read ends for the thread, and how it and the loop wake each other: had before there is a service to lose.
    readers: [Fifo; 2],
    channel: (UnixStream, UnixStream),
}

impl Pipes {
    pub(crate) fn open(dir: &RunDir) -> io::Result<Self> {
        let (out, write_out) = open(&dir.out())?;
        let (err, write_err) = open(&dir.err())?;
        let copy = |pipe: &Fifo| pipe.as_fd().try_clone_to_owned().map(Fifo::new);
        let readers = [copy(&out)?, copy(&err)?];
        let channel = UnixStream::pair()?;
        channel.0.set_nonblocking(true)?;
        channel.1.set_nonblocking(true)?;
        Ok(Self { out, err, write_out, write_err, readers, channel })
    }
}

fn open(path: &Path) -> io::Result<(Fifo, OwnedFd)> {
    let read = match os::fifo::open_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            os::fifo::make(path)?;
            os::fifo::open_read(path)?
        }
        other => other?,
    };
    Ok((Fifo::new(read), os::fifo::open_write(path)?))
}

/// Where the log and what belongs to it lie.
struct Places {
    logs: PathBuf,
    spec: wire::LogSpec,
    spool: PathBuf,
    spills: Option<PathBuf>,
}

impl Places {
    fn open(&self) -> Writer {
        Writer::open(Options {
            dir: &self.logs,
            spec: self.spec,
            spool: &self.spool,
            spills: self.spills.as_deref(),
        })
    }
}

/// The pipes and where they lead.
pub(crate) struct Output {
    pipes: [Fifo; 2],
    /// Held, not written to.
    _write_ends: [OwnedFd; 2],
    places: Arc<Places>,
    shared: Arc<Shared>,
    /// Where no thread can be had the loop does its work, and waits for the disk where it must.
    inline: Option<Box<Worker>>,
    /// Since when the disk stands still, and where the output goes meanwhile.
    still: Option<(Instant, Spill)>,
    told: bool,
    look_at: Option<Instant>,
    /// Nothing is read any more.
    closed: bool,
}

impl Output {
    pub(crate) fn new(pipes: Pipes, dir: &RunDir, spec: &RunSpec) -> Self {
        let places = Arc::new(Places {
            logs: spec.log_dir.as_path().to_owned(),
            spec: spec.log,
            spool: dir.spool(),
            spills: Spill::folder(dir.path()),
        });
        let Pipes { out, err, write_out, write_err, readers, channel } = pipes;
        let shared = Arc::new(Shared::new(channel));
        shared.begin();
        // Taken by the thread, or by the loop where there is none.
        let readers = Arc::new(Mutex::new(Some(readers)));
        let worker = {
            let (places, shared, readers) = (Arc::clone(&places), Arc::clone(&shared), Arc::clone(&readers));
            move |hold| {
                let pipes = readers.lock().unwrap_or_else(PoisonError::into_inner).take()?;
                Some(Worker { log: places.open(), pipes, shared, hold })
            }
        };
        let thread = os::failpoint!("shim.thread").and_then(|()| {
            let (worker, logs) = (worker.clone(), places.logs.clone());
            std::thread::Builder::new().stack_size(STACK).spawn(move || {
                // A run before this one may still wait for the disk with its last lines: first those.
                let hold = std::fs::File::open(logs).ok().filter(|folder| folder.lock().is_ok());
                worker(hold).map(Worker::serve)
            })
        });
        let inline = match thread {
            Ok(_) => {
                disk::say_through(Arc::downgrade(&shared));
                None
            }
            Err(_) => worker(None).map(Box::new),
        };
        Self {
            pipes: [out, err],
            _write_ends: [write_out, write_err],
            places,
            shared,
            look_at: inline.is_none().then(|| Instant::now() + LOOK),
            inline,
            still: None,
            told: false,
            closed: false,
        }
    }

    /// What to wait for.
    pub(crate) fn interests(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let reads = (self.inline.is_some() || self.still.is_some()) && !self.closed;
        let pipes = self.pipes.iter().filter(move |_| reads).map(Fifo::as_fd);
        std::iter::once(self.shared.loop_end.as_fd()).chain(pipes)
    }

    /// When [`Output::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let inline = self.inline.as_ref().and_then(|worker| worker.log.deadline());
        [self.look_at, inline].into_iter().flatten().min()
    }

    /// Something happened: output, or a word of the thread.
    pub(crate) fn work(&mut self, now: Instant) {
        disk::woken(&self.shared.loop_end);
        if let Some(worker) = &mut self.inline {
            worker.read();
        }
        self.look_at.get_or_insert(now + LOOK);
        if self.still.is_some() {
            self.look(now);
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let Some(worker) = &mut self.inline {
            worker.work();
            self.look_at = None;
        } else if self.look_at.is_some_and(|at| at <= now) {
            self.look(now);
        }
    }

    /// Looks whether the thread still gets on.
    fn look(&mut self, now: Instant) {
        let busy = self.shared.busy_for();
        self.look_at = Some(now + LOOK);
        match (&mut self.still, busy) {
            (Some(_), None) => self.give_back(),
            (Some(_), Some(_)) => self.read_aside(READS_IN_A_ROW),
            (None, Some(busy)) if busy >= STILL && !self.closed => {
                self.shared.set_turn(Turn::Loop);
                self.still = Some((now, Spill::begin(self.places.spills.as_deref())));
                self.read_aside(READS_IN_A_ROW);
            }
            (None, Some(_)) => {}
            (None, None) => {
                if self.shared.stop_watching() {
                    self.look_at = None;
                }
            }
        }
    }

    fn read_aside(&mut self, times: usize) {
        let Some((_, spill)) = &mut self.still else { return };
        for (stream, pipe) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.pipes) {
            for _ in 0..times {
                if !matches!(spill.read(stream, pipe), Ok(read) if read > 0) {
                    break;
                }
            }
        }
    }

    /// The disk goes on: what was read meanwhile is logged before anything else is read.
    fn give_back(&mut self) {
        let Some((_, spill)) = self.still.take() else { return };
        self.give(Box::new(move |worker| worker.log.absorb(spill)));
        self.shared.set_turn(Turn::Disk);
    }

    /// Whether people are to be told, now and once: that the disk stands still, or that it goes on.
    pub(crate) fn news(&mut self, now: Instant) -> Option<bool> {
        let still = self.still.as_ref().is_some_and(|(since, _)| now.duration_since(*since) >= TOLD_AFTER);
        // What hangs at the end of a run is told with that.
        let changed = still != self.told && !self.closed;
        self.told = still;
        changed.then_some(still)
    }

    /// Lines lost since the last call.
    pub(crate) fn take_lost(&self) -> u64 {
        self.shared.take_lost()
    }

    /// Has something done that may wait for the disk; the number under which it is done.
    pub(crate) fn give(&mut self, job: Job) -> u64 {
        let number = self.shared.give(job);
        if let Some(worker) = &mut self.inline {
            worker.work();
        }
        number
    }

    /// The same, waiting for it as long as may be, but not for a disk that is known to stand still.
    pub(crate) fn have_done(&mut self, job: Job) {
        let number = self.give(job);
        self.is_done(number, STILL);
    }

    /// Whether that is done, after waiting for it.
    pub(crate) fn is_done(&self, number: u64, patience: Duration) -> bool {
        self.shared.wait(number, if self.still.is_some() { Duration::ZERO } else { patience })
    }

    /// A number that a predecessor kept; 0 where the disk does not tell.
    pub(crate) fn note(&mut self) -> u64 {
        let slot = Arc::new(Mutex::new(0));
        let filled = Arc::clone(&slot);
        let number = self.give(Box::new(move |worker| {
            *filled.lock().unwrap_or_else(PoisonError::into_inner) = worker.log.note();
        }));
        self.is_done(number, 2 * PATIENCE);
        let note = slot.lock().unwrap_or_else(PoisonError::into_inner);
        *note
    }

    /// See [`Output::note`].
    pub(crate) fn set_note(&mut self, note: u64) {
        self.give(Box::new(move |worker| worker.log.set_note(note)));
    }

    /// Marks where the run begins.
    pub(crate) fn started(&mut self, run: u64, pid: i32) {
        self.give(Box::new(move |worker| worker.log.started(run, pid)));
    }

    /// A line of pipd's own.
    pub(crate) fn say(&mut self, text: String) {
        self.give(Box::new(move |worker| worker.log.say(&text)));
    }

    /// Nothing of the run writes any more: has all that is left logged, and where it ended.
    pub(crate) fn ended(&mut self, run: u64, how: String) -> u64 {
        if self.still.is_some() {
            self.read_aside(LAST_READS);
            self.give_back();
        }
        self.closed = true;
        self.give(Box::new(move |worker| {
            worker.drain();
            worker.log.ended(run, &how);
            worker.hold = None;
        }))
    }
}
