//! What a look at a port costs, for `cargo xtask bench ports`: prints medians in microseconds, one a line.
//!
//! `ports PORT HELD PID`: PORT is nobody's, HELD a stranger's; PID is a process that might have it.

#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

const ROUNDS: usize = 60;

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let mut number = || -> io::Result<i32> {
        let word = words.next().ok_or_else(|| io::Error::other("ports PORT HELD PID"))?;
        word.parse().map_err(io::Error::other)
    };
    let (free, held, ours) = (number()?, number()?, number()?);
    let port = |number: i32| u16::try_from(number).map_err(io::Error::other);
    let (free, held) = (port(free)?, port(held)?);
    println!("free {:.0}", median(|| stands(free).map(|found| assert!(found.is_empty())))?);
    println!("taken {:.0}", median(|| stands(held).map(|found| assert!(!found.is_empty())))?);
    let owner = |among: Option<&[i32]>| -> io::Result<()> {
        let listeners = stands(held)?;
        let found = os::ports::holders(&listeners, among)?;
        let &(pid, _) = found.first().ok_or_else(|| io::Error::other("nobody has it"))?;
        tell(pid)
    };
    let known = [ours];
    println!("ours {:.0}", median(|| owner(Some(&known)))?);
    println!("scan {:.0}", median(|| owner(None))?);
    let table = os::process::table()?;
    let descriptors: usize = table
        .iter()
        .filter_map(|process| std::fs::read_dir(format!("/proc/{}/fd", process.pid)).ok())
        .map(Iterator::count)
        .sum();
    println!("processes {}\ndescriptors {descriptors}", table.len());
    Ok(())
}

/// Taken or free, and by whose user: what is asked before a run.
fn stands(port: u16) -> io::Result<Vec<os::ports::Listener>> {
    for ip in
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
    {
        os::ports::bindable(SocketAddr::new(ip, port))?;
    }
    os::ports::listeners(port)
}

/// What people are told of a holder.
fn tell(pid: i32) -> io::Result<()> {
    let process = os::process::info(pid)?.ok_or_else(|| io::Error::other("it has ended"))?;
    let words = (os::process::command_line(pid), os::process::cwd(pid), os::process::started_ms(&process));
    let environ = os::process::environ(pid).map(|environ| environ.len());
    let _ = std::hint::black_box((words, environ, os::process::user_name(process.uid)));
    Ok(())
}

fn median(mut look: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        look()?;
        took.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    took.get(ROUNDS / 2).copied().ok_or_else(|| io::Error::other("nothing was measured"))
}
