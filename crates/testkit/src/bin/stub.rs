//! A service that behaves as it is told: the counterpart of every test that needs no real server.
//!
//! Times are in milliseconds. Signals are taken by one waiting thread, so nothing here runs in a handler.

#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

const USAGE: &str = "\
stub: a service that misbehaves on request

  --listen ADDR:PORT|PORT  serve HTTP there (PORT alone: 127.0.0.1); may be repeated
  --ready-after MS         listen only then
  --status CODE            answer with this status (200)
  --sse                    answers never end
  --silent-after MS        from then on accept, never answer
  --exit-code N            how it ends by itself, and on TERM (0)
  --exit-after MS          end by itself
  --ignore SIGNAL          TERM, INT or HUP has no effect; may be repeated
  --child ARGS             start a stub of one's own with these arguments; may be repeated
  --setsid                 lead a session of one's own
  --group                  lead a process group of one's own
  --print N                print `line 0` … `line N-1` on stdout
  --print-err N            the same on stderr
  --flood                  print numbered lines as fast as they are taken
  --tick MS                print one numbered line at this interval
  --say TEXT               print this on stdout at the start
  --last-words BYTES       print so much right before the exit
  --env-file FILE          write the environment there, NUL separated
  --witness FILE           append one line per event
";

#[derive(Default)]
struct Options {
    listen: Vec<SocketAddr>,
    ready_after: Duration,
    status: u16,
    sse: bool,
    silent_after: Option<Duration>,
    exit_code: i32,
    exit_after: Option<Duration>,
    ignore: Vec<Signal>,
    children: Vec<String>,
    setsid: bool,
    group: bool,
    print: u64,
    print_err: u64,
    flood: bool,
    tick: Option<Duration>,
    say: Option<String>,
    last_words: usize,
    env_file: Option<PathBuf>,
    witness: Option<PathBuf>,
}

fn main() {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => Arc::new(options),
        Err(message) => {
            eprintln!("stub: {message}\n\n{USAGE}");
            exit(2)
        }
    };
    if let Err(error) = run(&options) {
        eprintln!("stub: {error}");
        exit(3)
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { status: 200, ..Options::default() };
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--listen" => options.listen.push(address(&value()?)?),
            "--ready-after" => options.ready_after = milliseconds(&value()?)?,
            "--status" => options.status = number(&value()?)?,
            "--sse" => options.sse = true,
            "--silent-after" => options.silent_after = Some(milliseconds(&value()?)?),
            "--exit-code" => options.exit_code = number(&value()?)?,
            "--exit-after" => options.exit_after = Some(milliseconds(&value()?)?),
            "--ignore" => options.ignore.push(signal(&value()?)?),
            "--child" => options.children.push(value()?),
            "--setsid" => options.setsid = true,
            "--group" => options.group = true,
            "--print" => options.print = number(&value()?)?,
            "--print-err" => options.print_err = number(&value()?)?,
            "--flood" => options.flood = true,
            "--tick" => options.tick = Some(milliseconds(&value()?)?),
            "--say" => options.say = Some(value()?),
            "--last-words" => options.last_words = number(&value()?)?,
            "--env-file" => options.env_file = Some(value()?.into()),
            "--witness" => options.witness = Some(value()?.into()),
            _ => return Err(format!("unknown argument {flag}")),
        }
    }
    Ok(options)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    number(text).map(Duration::from_millis)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.contains(':') { text.to_owned() } else { format!("127.0.0.1:{text}") };
    full.parse().map_err(|_| format!("{text} is not an address"))
}

fn signal(text: &str) -> Result<Signal, String> {
    format!("SIG{text}").parse().map_err(|_| format!("{text} is not a signal"))
}

fn run(options: &Arc<Options>) -> io::Result<()> {
    if options.setsid {
        nix::unistd::setsid()?;
    }
    if options.group {
        nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0))?;
    }
    // Before any thread: all of them are to have the mask, so that only the waiting one takes signals.
    let taken: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGCONT]
        .into_iter()
        .collect();
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_BLOCK, Some(&taken), None)?;
    witness(options, &format!("started {}", std::process::id()));
    if let Some(path) = &options.env_file {
        std::fs::write(path, environment())?;
    }
    for arguments in &options.children {
        start_child(arguments)?;
    }
    let waiting = Arc::clone(options);
    std::thread::spawn(move || take_signals(&waiting, taken));
    if let Some(text) = &options.say {
        println!("{text}");
    }
    print_lines(options)?;
    if let Some(after) = options.exit_after {
        let options = Arc::clone(options);
        std::thread::spawn(move || {
            std::thread::sleep(after);
            end(&options, "exited by itself")
        });
    }
    std::thread::sleep(options.ready_after);
    let listening = Instant::now();
    for &address in &options.listen {
        let listener = bind(address)?;
        witness(options, &format!("listening {address}"));
        let options = Arc::clone(options);
        std::thread::spawn(move || serve(&listener, &options, listening));
    }
    if options.flood {
        flood(options)
    } else if let Some(interval) = options.tick {
        tick(interval)
    } else {
        loop {
            std::thread::park();
        }
    }
}

/// A worker that outlives a predecessor's socket by an instant is normal; std sets `SO_REUSEADDR`.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

fn start_child(arguments: &str) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    // The mask of this process is not the child's business.
    let empty = SigSet::empty();
    let mut old = SigSet::empty();
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&empty), Some(&mut old))?;
    let child = command.spawn();
    nix::sys::signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&old), None)?;
    let mut child = child?;
    std::thread::spawn(move || child.wait());
    Ok(())
}

fn take_signals(options: &Options, taken: SigSet) {
    while let Ok(signal) = taken.wait() {
        witness(options, &format!("signal {signal}"));
        let harmless = matches!(signal, Signal::SIGUSR1 | Signal::SIGCONT);
        if !harmless && !options.ignore.contains(&signal) {
            end(options, "ended")
        }
    }
}

fn end(options: &Options, how: &str) -> ! {
    if options.last_words > 0 {
        let mut out = io::stdout().lock();
        let mut left = options.last_words;
        let mut count = 0_u64;
        while left > 0 {
            let line = format!("word {count:08}\n");
            let take = line.len().min(left);
            let _ = out.write_all(&line.as_bytes()[..take]);
            left -= take;
            count += 1;
        }
        let _ = out.flush();
    }
    witness(options, how);
    exit(options.exit_code)
}

fn print_lines(options: &Options) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for number in 0..options.print {
        writeln!(out, "line {number}")?;
    }
    out.flush()?;
    let mut err = BufWriter::new(io::stderr().lock());
    for number in 0..options.print_err {
        writeln!(err, "line {number}")?;
    }
    err.flush()
}

/// Lines of 100 bytes, numbered, so that a reader can tell a lost one from a doubled one.
fn flood(options: &Options) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    for number in 0_u64.. {
        writeln!(out, "{number:020} {:x<78}", "")?;
    }
    witness(options, "flooded");
    Ok(())
}

fn tick(interval: Duration) -> io::Result<()> {
    for number in 0_u64.. {
        let mut out = io::stdout().lock();
        writeln!(out, "tick {number}")?;
        out.flush()?;
        drop(out);
        std::thread::sleep(interval);
    }
    Ok(())
}

fn serve(listener: &TcpListener, options: &Arc<Options>, since: Instant) {
    for stream in listener.incoming().flatten() {
        let options = Arc::clone(options);
        std::thread::spawn(move || answer(stream, &options, since));
    }
}

fn answer(mut stream: TcpStream, options: &Options, since: Instant) {
    if options.silent_after.is_some_and(|after| since.elapsed() >= after) {
        // Kept open, never answered: the thread stays for the client's patience.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        return;
    }
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 64 << 10 {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let status = options.status;
    if options.sse {
        let _ = stream
            .write_all(format!("HTTP/1.1 {status} S\r\nContent-Type: text/event-stream\r\n\r\n").as_bytes());
        while stream.write_all(b"data: x\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
        return;
    }
    let body = format!("pid {}\n", std::process::id());
    let _ = stream.write_all(
        format!("HTTP/1.1 {status} S\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
            .as_bytes(),
    );
}

fn witness(options: &Options, event: &str) {
    let Some(path) = &options.witness else { return };
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).mode(0o600).open(path) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let _ = file.write_all(format!("{} {} {event}\n", now.as_millis(), std::process::id()).as_bytes());
    }
}

fn environment() -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut bytes = Vec::new();
    for (name, value) in std::env::vars_os() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    bytes
}
