//! The daemon's side of a run, as small as it can be.

#![allow(dead_code, unreachable_pub, reason = "every test program uses a part of it")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use os::lock::FileLock;
use run::layout::{HostDir, RunDir, ServiceDir};
use run::log::{Query, Stream};
use run::protocol::{CONNECTION_FD, LOCK_FD, Order, Report};
use run::record::{self, Durability, Exited, RunSpec, Started};
use wire::{LogSpec, StopSpec, Text};

pub const SOON: Duration = Duration::from_secs(15);

/// Waits until something is there.
pub fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn shim_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/shim");
    assert!(program.exists(), "{}: run `cargo test -p pipd-shim` or build the example", program.display());
    program
}

pub struct Run {
    pub tmp: tempfile::TempDir,
    pub host: HostDir,
    pub service: ServiceDir,
    pub dir: RunDir,
    pub spec: RunSpec,
    pub shim: i32,
    pub connection: Option<BufReader<UnixStream>>,
    /// What a shell does before it becomes the shim.
    pub before: Option<String>,
    /// As the daemon: read ends, never read.
    pipes: Vec<OwnedFd>,
}

/// A run of a shell script, to be changed before it is started.
pub fn script(text: &str) -> Run {
    command(&["/bin/sh", "-c", text])
}

pub fn python(text: &str) -> Run {
    command(&["python3", "-c", text])
}

pub fn command(argv: &[&str]) -> Run {
    // As the daemon: what a dead shim leaves behind becomes ours.
    os::process::become_subreaper(true).unwrap();
    let tmp = tempfile::tempdir().unwrap();
    let host = HostDir::new(tmp.path(), "host");
    let service = host.workspace("w").service("s");
    let dir = service.run(7);
    std::fs::create_dir_all(dir.path()).unwrap();
    std::fs::create_dir_all(host.shim_sockets()).unwrap();
    let marker = format!("w.s.7.{:x}", run::layout::fnv1a(tmp.path().as_os_str().as_encoded_bytes()));
    let path = std::env::var("PATH").unwrap();
    let spec = RunSpec {
        run: 7,
        workspace: "w".into(),
        service: "s".into(),
        argv: argv.iter().map(|&one| Text::from(one)).collect(),
        cwd: Text::from(tmp.path()),
        env: vec![
            ("PATH".into(), Text::from(path)),
            ("PIPD_RUN".into(), Text::from(marker.as_str())),
            ("PYTHONUNBUFFERED".into(), Text::from("1")),
        ],
        stop: StopSpec { sweep_ms: 400, ..StopSpec::web(600) },
        log: LogSpec::default(),
        log_dir: Text::from(service.logs().as_path()),
        socket: Text::from(host.shim_socket(&marker).as_path()),
        host_dir: Text::from(host.path()),
        port: None,
        spare_terminals: false,
        nofile: None,
        umask: None,
        adopted: false,
        token: None,
        at_ms: 0,
        marker,
    };
    Run { tmp, host, service, dir, spec, shim: 0, connection: None, before: None, pipes: Vec::new() }
}

impl Run {
    /// Everything the daemon does to make a run.
    pub fn start(mut self) -> Self {
        let lock = FileLock::try_acquire(&self.dir.lock()).unwrap().unwrap();
        os::fifo::make(&self.dir.out()).unwrap();
        os::fifo::make(&self.dir.err()).unwrap();
        self.pipes =
            [self.dir.out(), self.dir.err()].iter().map(|path| os::fifo::open_read(path).unwrap()).collect();
        record::write(&self.dir.spec(), &self.spec, Durability::Rename).unwrap();
        self.start_shim(&lock);
        self
    }

    fn start_shim(&mut self, lock: &FileLock) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let descriptors = [(theirs.as_fd(), CONNECTION_FD), (lock.as_fd(), LOCK_FD)];
        let (mut program, mut arguments) = (shim_program(), vec![self.dir.path().as_os_str().to_owned()]);
        if let Some(before) = &self.before {
            let script = format!("{before}; exec \"$0\" \"$1\"");
            arguments = ["-c".into(), script.into(), program.into()].into_iter().chain(arguments).collect();
            program = "/bin/sh".into();
        }
        let stderr = std::io::stderr();
        self.shim = os::spawn::child(&program, &arguments, &env, &descriptors, stderr.as_fd()).unwrap();
        ours.set_read_timeout(Some(SOON)).unwrap();
        self.connection = Some(BufReader::new(ours));
    }

    /// As a daemon that finds the shim dead.
    pub fn replace_shim(&mut self) {
        let lock =
            wait_for("the lock of a dead shim", SOON, || FileLock::try_acquire(&self.dir.lock()).unwrap());
        self.start_shim(&lock);
    }

    pub fn kill_shim(&mut self) {
        kill(Pid::from_raw(self.shim), Signal::SIGKILL).unwrap();
        self.reap_shim();
    }

    pub fn reap_shim(&self) {
        wait_for("the end of the shim", SOON, || os::wait::reap(self.shim).unwrap());
    }

    /// A second connection, as a later daemon's.
    pub fn connect(&self) -> BufReader<UnixStream> {
        let stream =
            wait_for("the shim's socket", SOON, || UnixStream::connect(self.spec.socket.as_path()).ok());
        stream.set_read_timeout(Some(SOON)).unwrap();
        BufReader::new(stream)
    }

    pub fn send(&mut self, order: &Order) {
        let mut line = serde_json::to_vec(order).unwrap();
        line.push(b'\n');
        self.connection.as_mut().unwrap().get_mut().write_all(&line).unwrap();
    }

    pub fn report(&mut self) -> Report {
        report(self.connection.as_mut().unwrap())
    }

    /// Past the greeting; the pid of the service.
    pub fn started(&mut self) -> i32 {
        assert!(matches!(self.report(), Report::Hello { run: 7, .. }));
        match self.report() {
            Report::Started { pid, .. } => pid,
            other => panic!("{other:?}"),
        }
    }

    pub fn exited(&mut self) -> Exited {
        loop {
            match self.report() {
                Report::Exited(exited) => {
                    let recorded: Exited = record::read(&self.dir.exited()).unwrap().unwrap();
                    assert_eq!(recorded, exited, "the record is there before the report");
                    return exited;
                }
                Report::Hello { .. } | Report::Started { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn stop(&mut self) {
        self.send(&Order::Stop { all_processes: false });
    }

    pub fn recorded(&self) -> Started {
        record::read(&self.dir.started()).unwrap().unwrap()
    }

    /// Lines of a stream, joined.
    pub fn lines(&self, stream: Stream) -> Vec<String> {
        let query = Query { streams: vec![stream], join: true, ..Query::default() };
        let mut lines = Vec::new();
        run::log::read(&self.service.logs(), &query, |entry| {
            lines.push(String::from_utf8_lossy(&entry.text).into_owned());
            true
        })
        .unwrap();
        lines
    }

    /// A file that the service writes a pid into.
    pub fn pid_in(&self, name: &str) -> i32 {
        wait_for(name, SOON, || {
            let text = std::fs::read_to_string(self.tmp.path().join(name)).ok()?;
            text.strip_suffix('\n')?.trim().parse().ok()
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Only when a test failed on the way is anything left. Our child, not reaped: still the one we made.
        if matches!(os::wait::peek(self.shim), Ok(None)) {
            let _ = kill(Pid::from_raw(self.shim), Signal::SIGKILL);
        }
        if let Ok(Some(started)) = record::read::<Started>(&self.dir.started())
            && record::read::<Exited>(&self.dir.exited()).is_ok_and(|exited| exited.is_none())
        {
            let _ = started.main.signal(Signal::SIGKILL);
        }
    }
}

pub fn report(connection: &mut BufReader<UnixStream>) -> Report {
    let mut line = String::new();
    connection.read_line(&mut line).expect("a report in time");
    assert!(!line.is_empty(), "the shim closed the connection");
    serde_json::from_str(&line).unwrap()
}

pub fn is_alive(pid: i32) -> bool {
    os::process::info(pid).unwrap().is_some_and(|info| info.state.is_alive())
}
