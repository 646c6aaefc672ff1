//! `pipctl logs`: reads the files themselves, so it works without a daemon and costs it nothing.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use client::Locations;
use run::log::{Entry, Follower, Position, Query, Stamp, Stream};

use super::find;
use crate::cli::{self, Since};
use crate::clock::now_ms;
use crate::exit::{Exit, Failure};
use crate::render::log::{self as render, Prefix};
use crate::terminal::{Surroundings, Terminal};

/// How often a person gets news.
const POLL: Duration = Duration::from_millis(100);

/// Lines shown before following, when the person names no number.
const BEFORE_FOLLOWING: usize = 10;

/// Entries read ahead of the merge, for each service.
const READ_AHEAD: usize = 256;

/// One service's log.
struct Log {
    service: String,
    dir: PathBuf,
}

/// How lines are written.
struct Writer<'a> {
    out: &'a mut dyn Write,
    logs: &'a [Log],
    prefix: Prefix,
    json: bool,
}

pub(crate) fn run(
    args: &cli::Logs,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let root = find::kept_root(&args.workspace, surroundings)?.path;
    let logs = logs_of(&root, args, &surroundings.locations()?)?;
    let last = args.lines.or(args.follow.then_some(BEFORE_FOLLOWING).filter(|_| args.since.is_none()));
    let query =
        Query { last, since: since(args), streams: streams(args), join: true, hide_probes: !args.probes };
    let names = logs.iter().map(|log| log.service.chars().count()).max().unwrap_or(0);
    let prefix = Prefix { names: if logs.len() > 1 { names } else { 0 }, times: args.timestamps };
    let mut out = std::io::BufWriter::with_capacity(64 << 10, &mut *terminal.out);
    let mut writer = Writer { out: &mut out, logs: &logs, prefix, json: args.json };
    let positions = print(&query, &mut writer)?;
    writer.out.flush()?;
    if args.follow {
        follow(&query, &positions, &mut writer)?;
    }
    Ok(Exit::Ok)
}

impl Writer<'_> {
    fn write(&mut self, index: usize, entry: &Entry) -> Result<(), Failure> {
        let service = &self.logs[index].service;
        let line = if self.json {
            render::json(entry, service)?
        } else {
            render::line(entry, service, index, self.prefix)
        };
        Ok(self.out.write_all(line.as_bytes())?)
    }
}

fn since(args: &cli::Logs) -> Option<Stamp> {
    args.since.as_ref().map(|since| match since {
        Since::At(ms) => Stamp::from_ms(*ms),
        Since::Ago(ago) => Stamp::from_ms(now_ms() - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
    })
}

fn streams(args: &cli::Logs) -> Vec<Stream> {
    args.stream
        .map(|stream| match stream {
            cli::Stream::Stdout => Stream::Stdout,
            cli::Stream::Stderr => Stream::Stderr,
            cli::Stream::Pipd => Stream::Pipd,
        })
        .into_iter()
        .collect()
}

/// The logs asked for: by name, or all the workspace has.
fn logs_of(root: &Path, args: &cli::Logs, locations: &Locations) -> Result<Vec<Log>, Failure> {
    let id = run::workspace::id_of(locations.hosts(), root);
    let mut there: Vec<Log> = Vec::new();
    for host in locations.hosts() {
        let workspace = host.workspace(&id);
        let Ok(entries) = std::fs::read_dir(workspace.services()) else { continue };
        for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            let dir = workspace.service(&name).logs();
            if dir.is_dir() {
                newest(&mut there, Log { service: name, dir });
            }
        }
    }
    there.sort_by(|a, b| a.service.cmp(&b.service));
    if args.services.is_empty() {
        if there.is_empty() {
            return Err(Failure::new(
                Exit::Failed,
                format!("{}: nothing has run here yet; start it: pipctl start", root.display()),
            ));
        }
        return Ok(there);
    }
    let known: Vec<String> = there.iter().map(|log| log.service.clone()).collect();
    args.services
        .iter()
        .map(|name| match there.iter().position(|log| log.service == *name) {
            Some(index) => Ok(Log { service: name.clone(), dir: there[index].dir.clone() }),
            // It may be about to begin.
            None if args.follow && !locations.hosts().is_empty() => Ok(Log {
                service: name.clone(),
                dir: locations.hosts()[0].workspace(&id).service(name).logs(),
            }),
            None => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Err(find::unknown_service(name, &known, &root.to_string_lossy()))
            }
        })
        .collect()
}

/// Keeps, of the same service below two roots, the log that was written to last.
fn newest(there: &mut Vec<Log>, log: Log) {
    let written = |dir: &Path| std::fs::metadata(dir).and_then(|data| data.modified()).ok();
    match there.iter_mut().find(|other| other.service == log.service) {
        Some(other) if written(&log.dir) > written(&other.dir) => *other = log,
        Some(_) => {}
        None => there.push(log),
    }
}

/// Prints what is there, ordered by time over all services, and says where each log ended.
fn print(query: &Query, writer: &mut Writer<'_>) -> Result<Vec<Position>, Failure> {
    if let [log] = writer.logs {
        let mut failed = None;
        let end = run::log::read(&log.dir, query, |entry| match writer.write(0, &entry) {
            Ok(()) => true,
            Err(failure) => {
                failed = Some(failure);
                false
            }
        });
        return match failed {
            Some(failure) => Err(failure),
            None => Ok(vec![end.map_err(|error| unreadable(log, &error))?]),
        };
    }
    let (receivers, readers): (Vec<_>, Vec<_>) = writer.logs.iter().map(|log| reader(log, query)).unzip();
    // The last lines of all services together, not of each.
    let mut tail = query.last.map(Tail::of);
    let mut heads: Vec<Option<Entry>> = receivers.iter().map(|entries| entries.recv().ok()).collect();
    while let Some(index) = earliest(&heads) {
        let next = receivers[index].recv().ok();
        if let Some(entry) = std::mem::replace(&mut heads[index], next) {
            match &mut tail {
                Some(tail) => tail.push(index, entry),
                None => writer.write(index, &entry)?,
            }
        }
    }
    for (index, entry) in tail.into_iter().flat_map(|tail| tail.entries) {
        writer.write(index, &entry)?;
    }
    drop(receivers);
    readers
        .into_iter()
        .zip(writer.logs)
        .map(|(reader, log)| match reader.join() {
            Ok(result) => result.map_err(|error| unreadable(log, &error)),
            Err(_) => Err(Failure::new(Exit::Failed, format!("{}: cannot be read", log.dir.display()))),
        })
        .collect()
}

/// The last lines of several logs. The parts of a line that is too long to be put together count as one.
struct Tail {
    entries: VecDeque<(usize, Entry)>,
    whole: usize,
    last: usize,
}

impl Tail {
    fn of(last: usize) -> Self {
        Self { entries: VecDeque::new(), whole: 0, last }
    }

    fn push(&mut self, index: usize, entry: Entry) {
        self.whole += usize::from(!entry.partial);
        self.entries.push_back((index, entry));
        while self.whole > self.last
            && let Some((_, entry)) = self.entries.pop_front()
        {
            self.whole -= usize::from(!entry.partial);
        }
    }
}

fn earliest(heads: &[Option<Entry>]) -> Option<usize> {
    let there = heads.iter().enumerate().filter_map(|(index, head)| Some((index, head.as_ref()?.at)));
    there.min_by_key(|&(_, at)| at).map(|(index, _)| index)
}

type Reader = (Receiver<Entry>, JoinHandle<std::io::Result<Position>>);

/// Reads one log on a thread of its own, never far ahead of the merge.
fn reader(log: &Log, query: &Query) -> Reader {
    let (sender, receiver) = mpsc::sync_channel(READ_AHEAD);
    let (dir, query) = (log.dir.clone(), query.clone());
    let thread = std::thread::spawn(move || run::log::read(&dir, &query, |entry| sender.send(entry).is_ok()));
    (receiver, thread)
}

fn follow(query: &Query, from: &[Position], writer: &mut Writer<'_>) -> Result<(), Failure> {
    let mut followers: Vec<Follower> = writer
        .logs
        .iter()
        .zip(from)
        .map(|(log, position)| Follower::new(&log.dir, query.clone(), *position))
        .collect();
    loop {
        let mut news: Vec<(usize, Entry)> = Vec::new();
        for (index, follower) in followers.iter_mut().enumerate() {
            follower
                .poll(|entry| {
                    news.push((index, entry));
                    true
                })
                .map_err(|error| unreadable(&writer.logs[index], &error))?;
        }
        news.sort_by_key(|(_, entry)| entry.at);
        for (index, entry) in &news {
            writer.write(*index, entry)?;
        }
        if !news.is_empty() {
            writer.out.flush()?;
        }
        std::thread::sleep(POLL);
    }
}

fn unreadable(log: &Log, error: &std::io::Error) -> Failure {
    let dir = log.dir.display();
    Failure::new(
        Exit::Failed,
        format!("{dir}: cannot read the log of {}: {error}; look at it: ls -l {dir}", log.service),
    )
}
