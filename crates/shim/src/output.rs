//! The service's output: two FIFOs and the log.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use run::layout::RunDir;
use run::log::{Fifo, Options, Stream, Writer};
use run::record::RunSpec;

/// Reads in a row from one stream before anything else is looked at.
const READS_IN_A_ROW: usize = 16;
/// How much is read at the end from a pipe that never gets empty, because a person's process goes on
/// writing to it.
const LAST_BYTES: usize = 8 << 20;
const LAST_TIME: Duration = Duration::from_secs(1);

/// Both ends of both FIFOs. The shim keeps the write ends, too: without a writer a FIFO is readable for ever
/// ("end of file"), and a service that closes its output must not keep the shim awake.
pub(crate) struct Pipes {
    pub(crate) out: Fifo,
    pub(crate) err: Fifo,
    pub(crate) write_out: OwnedFd,
    pub(crate) write_err: OwnedFd,
}

impl Pipes {
    pub(crate) fn open(dir: &RunDir) -> io::Result<Self> {
        let (out, write_out) = open(&dir.out())?;
        let (err, write_err) = open(&dir.err())?;
        Ok(Self { out, err, write_out, write_err })
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

/// The pipes and where they lead.
pub(crate) struct Output {
    pipes: Pipes,
    pub(crate) log: Writer,
}

impl Output {
    pub(crate) fn new(pipes: Pipes, dir: &RunDir, spec: &RunSpec) -> Self {
        let options = Options { dir: spec.log_dir.as_path(), spec: spec.log, spool: &dir.spool() };
        Self { pipes, log: Writer::open(options) }
    }

    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.pipes.out.as_fd(), self.pipes.err.as_fd()]
    }

    /// Logs what is there, but not for ever; whether there was anything.
    pub(crate) fn read(&mut self) -> bool {
        let mut any = false;
        for (stream, pipe) in [(Stream::Stdout, &mut self.pipes.out), (Stream::Stderr, &mut self.pipes.err)] {
            for _ in 0..READS_IN_A_ROW {
                match self.log.read(stream, pipe) {
                    Ok(0) => break,
                    Ok(_) => any = true,
                    Err(error) => {
                        crate::say(&format_args!("the {} pipe cannot be read: {error}", stream.name()));
                        break;
                    }
                }
            }
        }
        any
    }

    /// Logs everything that is left. Nothing of the run writes any more, so empty means done; end of file is
    /// nothing to wait for, since others hold write ends.
    pub(crate) fn drain(&mut self) {
        let begun = Instant::now();
        for (stream, pipe) in [(Stream::Stdout, &mut self.pipes.out), (Stream::Stderr, &mut self.pipes.err)] {
            let mut bytes = 0;
            while bytes < LAST_BYTES && begun.elapsed() < LAST_TIME {
                match self.log.read(stream, pipe) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => bytes += read,
                }
            }
        }
    }
}
