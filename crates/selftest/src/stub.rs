//! The stub service, a hidden verb of `pipctl`: it serves, prints, ends and has children as it is told.
//!
//! It ends by itself after a while: whatever becomes of a selftest, no stub stays for ever.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::STUB_VERB;

/// Longest life of a stub.
const LIFE: Duration = Duration::from_secs(600);

#[derive(Default)]
struct Options {
    /// Serve HTTP on this port of the loopback.
    listen: Option<u16>,
    /// Print a numbered line at this interval.
    tick: Option<Duration>,
    /// Print so many lines on each stream.
    print: u64,
    /// Then end with this code.
    exit: Option<u8>,
    /// TERM and INT have no effect.
    deaf: bool,
    /// Lead a session of one's own.
    session: bool,
    /// Have a child in a session of its own, and write its number there.
    grandchild: Option<PathBuf>,
    /// Write the environment there, NUL separated.
    environment: Option<PathBuf>,
    /// Lead a session on the terminal that is standard input, run the command, then make this file.
    terminal: Option<PathBuf>,
    /// That command.
    command: Vec<OsString>,
}

/// Behaves as told; returns when it is to end, with its exit code.
pub fn main(arguments: &[OsString]) -> u8 {
    parse(arguments).and_then(|options| run(&options)).unwrap_or_else(|error| {
        eprintln!("{STUB_VERB}: {error}");
        2
    })
}

fn parse(arguments: &[OsString]) -> io::Result<Options> {
    let mut options = Options::default();
    let mut words = arguments.iter();
    let wrong = |what: &str| io::Error::other(format!("{what} makes no sense"));
    while let Some(flag) = words.next() {
        let flag = flag.to_str().unwrap_or_default();
        if flag == "--" {
            options.command = words.cloned().collect();
            break;
        }
        let mut value = || words.next().ok_or_else(|| wrong(flag));
        let number = |word: &OsString| word.to_str().and_then(|word| word.parse::<u64>().ok());
        match flag {
            "--listen" => options.listen = number(value()?).and_then(|port| u16::try_from(port).ok()),
            "--tick" => options.tick = number(value()?).map(Duration::from_millis),
            "--print" => options.print = number(value()?).ok_or_else(|| wrong(flag))?,
            "--exit" => options.exit = number(value()?).and_then(|code| u8::try_from(code).ok()),
            "--deaf" => options.deaf = true,
            "--session" => options.session = true,
            "--grandchild" => options.grandchild = Some(value()?.into()),
            "--environment" => options.environment = Some(value()?.into()),
            "--terminal" => options.terminal = Some(value()?.into()),
            _ => return Err(wrong(flag)),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> io::Result<u8> {
    if options.session {
        nix::unistd::setsid()?;
    }
    if options.deaf {
        let deaf: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        deaf.thread_block()?;
    }
    if let Some(path) = &options.environment {
        std::fs::write(path, environment())?;
    }
    if let Some(path) = &options.grandchild {
        let child = Command::new(crate::own_program().map_err(io::Error::other)?)
            .args([STUB_VERB, "--session"])
            .spawn()?;
        std::fs::write(path, child.id().to_string())?;
    }
    if let Some(path) = &options.terminal {
        return in_terminal(path, &options.command);
    }
    print(options.print)?;
    if let Some(code) = options.exit {
        return Ok(code);
    }
    if let Some(port) = options.listen {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        std::thread::Builder::new().spawn(move || serve(&listener))?;
    }
    match options.tick {
        Some(interval) => tick(interval)?,
        None => std::thread::sleep(LIFE),
    }
    Ok(0)
}

/// What a shell in a terminal window does: run the command, then wait for the window to be closed.
fn in_terminal(done: &PathBuf, command: &[OsString]) -> io::Result<u8> {
    os::terminal::lead(io::stdin())?;
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
    let status = Command::new(program).args(arguments).arg0(program).status()?;
    std::fs::write(done, status.code().unwrap_or(-1).to_string())?;
    std::thread::sleep(LIFE);
    Ok(0)
}

fn print(lines: u64) -> io::Result<()> {
    for (name, stream) in [("out", &mut io::stdout() as &mut dyn io::Write), ("err", &mut io::stderr())] {
        let mut stream = io::BufWriter::new(stream);
        for number in 0..lines {
            writeln!(stream, "{name} {number}")?;
        }
        stream.flush()?;
    }
    Ok(())
}

fn tick(interval: Duration) -> io::Result<()> {
    let ticks = LIFE.as_millis() / interval.as_millis().max(1);
    for number in 0..ticks {
        let mut out = io::stdout().lock();
        writeln!(out, "tick {number}")?;
        out.flush()?;
        drop(out);
        std::thread::sleep(interval);
    }
    Ok(())
}

fn serve(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        // One that says nothing must not keep the others waiting for long.
        let _ = answer(stream);
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16 << 10 && stream.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let body = format!("{}\n", std::process::id());
    let length = body.len();
    stream.write_all(
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").as_bytes(),
    )
}

fn environment() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in std::env::vars_os() {
        bytes.extend_from_slice(name.as_encoded_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_encoded_bytes());
        bytes.push(0);
    }
    bytes
}
