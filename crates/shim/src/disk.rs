//! All that may have to wait for a disk, in a thread of its own: reading the pipes into the spool, writing the log, and
//! whatever else of files the loop gives it to do.
//!
//! A disk that stands still holds this thread up and nobody else. Then the loop takes the pipes over (`Turn`) and reads
//! them into memory; when the disk goes on this thread gets them back, with what was read meanwhile.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use run::log::{Fifo, Source, Stream, Writer};

/// Reads in a row from one stream before anything else is looked at.
const READS_IN_A_ROW: usize = 16;
/// How much is read at the end from a pipe that never gets empty, because a person's process goes on
/// writing to it.
const LAST_BYTES: usize = 8 << 20;
const LAST_TIME: Duration = Duration::from_secs(1);

/// Something to do where a disk may be waited for.
pub(crate) type Job = Box<dyn FnOnce(&mut Worker) + Send>;

/// Who reads the pipes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Disk,
    Loop,
}

struct State {
    turn: Turn,
    jobs: VecDeque<Job>,
    /// Jobs that are done.
    done: u64,
    /// Jobs that were given.
    given: u64,
}

/// What both sides know.
pub(crate) struct Shared {
    state: Mutex<State>,
    job_done: Condvar,
    /// Since when the thread is at work, in milliseconds after `began`, plus one; 0 while it rests.
    busy_since: AtomicU64,
    began: Instant,
    /// The loop looks at `busy_since` by itself and need not be woken for it.
    watched: AtomicBool,
    /// Lines lost and not yet told of.
    lost: AtomicU64,
    /// What the loop waits at. Whoever writes here wakes the thread.
    pub(crate) loop_end: UnixStream,
    /// What the thread waits at. Whoever writes here wakes the loop.
    thread_end: UnixStream,
}

impl Shared {
    pub(crate) fn new((loop_end, thread_end): (UnixStream, UnixStream)) -> Self {
        Self {
            state: Mutex::new(State { turn: Turn::Disk, jobs: VecDeque::new(), done: 0, given: 0 }),
            job_done: Condvar::new(),
            busy_since: AtomicU64::new(0),
            began: Instant::now(),
            watched: AtomicBool::new(true),
            lost: AtomicU64::new(0),
            loop_end,
            thread_end,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the next read on.
    pub(crate) fn set_turn(&self, turn: Turn) {
        self.state().turn = turn;
    }

    /// Gives the thread something to do; the number under which it is done.
    pub(crate) fn give(&self, job: Job) -> u64 {
        let mut state = self.state();
        state.jobs.push_back(job);
        state.given += 1;
        let number = state.given;
        drop(state);
        wake(&self.loop_end);
        number
    }

    /// Whether the job of this number is done, after waiting for it.
    pub(crate) fn wait(&self, number: u64, patience: Duration) -> bool {
        let state = self.state();
        if state.done >= number || patience.is_zero() {
            return state.done >= number;
        }
        let waited = self.job_done.wait_timeout_while(state, patience, |state| state.done < number);
        waited.map_or_else(|poisoned| poisoned.into_inner().0.done, |(state, _)| state.done) >= number
    }

    /// For how long the thread has been at one piece of work; `None` while it rests.
    pub(crate) fn busy_for(&self) -> Option<Duration> {
        let since = self.busy_since.load(Ordering::SeqCst).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    /// Begins a piece of work. Whoever watches is told that there is something to watch.
    pub(crate) fn begin(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        self.busy_since.store(since, Ordering::SeqCst);
        if !self.watched.swap(true, Ordering::SeqCst) {
            wake(&self.thread_end);
        }
    }

    fn rest(&self) -> Turn {
        self.busy_since.store(0, Ordering::SeqCst);
        self.state().turn
    }

    /// Whether the loop need not look any more, and is woken when it has to.
    pub(crate) fn stop_watching(&self) -> bool {
        self.watched.store(false, Ordering::SeqCst);
        self.busy_for().is_none() || self.watched.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

fn wake(whom: &UnixStream) {
    // Full means that it is being woken already.
    let mut whom = whom;
    let _ = whom.write(&[1]);
}

/// Takes in what woke somebody.
pub(crate) fn woken(by: &UnixStream) {
    let mut by = by;
    while matches!(by.read(&mut [0; 64]), Ok(read) if read > 0) {}
}

/// Where words for the daemon's log go, once there is a thread that may wait for it.
static OUTLET: OnceLock<Weak<Shared>> = OnceLock::new();

/// From now on [`say`] waits for no disk.
pub(crate) fn say_through(shared: Weak<Shared>) {
    let _ = OUTLET.set(shared);
}

/// Writes a line to the daemon's log, which our standard error is.
pub(crate) fn say(line: String) {
    match OUTLET.get().and_then(Weak::upgrade) {
        Some(shared) => drop(shared.give(Box::new(move |_| print(&line)))),
        None => print(&line),
    }
}

fn print(line: &str) {
    let _ = io::stderr().write_all(line.as_bytes());
}

/// The log, and the pipes it is made from.
pub(crate) struct Worker {
    pub(crate) log: Writer,
    pub(crate) pipes: [Fifo; 2],
    pub(crate) shared: std::sync::Arc<Shared>,
    /// The folder of the log, locked while this run writes to it.
    pub(crate) hold: Option<std::fs::File>,
}

/// A pipe that is read only while it is the thread's turn.
struct Ours<'a> {
    pipe: &'a mut Fifo,
    shared: &'a Shared,
}

impl Source for Ours<'_> {
    fn available(&mut self) -> io::Result<usize> {
        if self.shared.state().turn == Turn::Loop {
            return Ok(0);
        }
        // Slow is not still.
        self.shared.begin();
        self.pipe.available()
    }

    fn read(&mut self, place: &mut [u8]) -> io::Result<usize> {
        let state = self.shared.state();
        if state.turn == Turn::Loop {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.pipe.read(place);
        drop(state);
        read
    }
}

impl Worker {
    /// Logs what is there, but not for ever.
    pub(crate) fn read(&mut self) {
        for (stream, pipe) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.pipes) {
            for _ in 0..READS_IN_A_ROW {
                match self.log.read(stream, &mut Ours { pipe, shared: &self.shared }) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) => {
                        crate::say(&format_args!("the {} pipe cannot be read: {error}", stream.name()));
                        break;
                    }
                }
            }
        }
    }

    /// Logs everything that is left. Nothing of the run writes any more, so empty means done; end of file is
    /// nothing to wait for, since others hold write ends.
    pub(crate) fn drain(&mut self) {
        let begun = Instant::now();
        for (stream, pipe) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut self.pipes) {
            let mut bytes = 0;
            while bytes < LAST_BYTES && begun.elapsed() < LAST_TIME {
                match self.log.read(stream, &mut Ours { pipe, shared: &self.shared }) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => bytes += read,
                }
            }
        }
    }

    /// Does what was given, and what is due; whether anything was given.
    pub(crate) fn work(&mut self) -> bool {
        let mut any = false;
        loop {
            let job = self.shared.state().jobs.pop_front();
            let Some(job) = job else { break };
            self.shared.begin();
            job(self);
            self.shared.state().done += 1;
            self.shared.job_done.notify_all();
            any = true;
        }
        if self.log.deadline().is_some_and(|at| at <= Instant::now()) {
            self.log.tick(Instant::now());
        }
        let lost = self.log.take_lost();
        if lost > 0 {
            self.shared.lost.fetch_add(lost, Ordering::Relaxed);
            wake(&self.shared.thread_end);
        }
        any
    }

    /// The thread's life; it ends with the process.
    pub(crate) fn serve(mut self) {
        loop {
            let done = self.work();
            self.read();
            let turn = self.shared.rest();
            if done || turn == Turn::Loop {
                // It may wait for the end of a job, or for this: the pipes can be given back.
                wake(&self.shared.thread_end);
            }
            let timeout = self.log.deadline().map_or(PollTimeout::NONE, until);
            let mut waits = vec![PollFd::new(self.shared.thread_end.as_fd(), PollFlags::POLLIN)];
            if turn == Turn::Disk {
                waits.extend(self.pipes.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
            }
            let _ = poll(&mut waits, timeout);
            self.shared.begin();
            woken(&self.shared.thread_end);
        }
    }
}

/// Rounded up: a millisecond too early would mean to spin through it.
pub(crate) fn until(at: Instant) -> PollTimeout {
    let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}
