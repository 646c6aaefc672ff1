//! What the calls of this crate cost here: `cargo run --release -p pipd-os --example cost`.

#![expect(clippy::unwrap_used, reason = "a measurement ends at the first surprise")]

use std::ffi::OsString;
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use os::process::{ProcessIdentity, Signal};
use os::spawn::{self, Program};
use os::{ports, process, wait};

fn main() {
    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let own = i32::try_from(std::process::id()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let rows = ports::listeners(port).unwrap();
    let identity = ProcessIdentity::current().unwrap();

    measure("process::info", 2000, || process::info(own).unwrap());
    measure("identity.liveness", 2000, || identity.liveness().unwrap());
    measure("identity.signal", 2000, || identity.signal(Signal::SIGCONT).unwrap());
    measure(&format!("process::table ({} processes)", process::table().unwrap().len()), 100, || {
        process::table().unwrap()
    });
    measure("process::own_children", 2000, || process::own_children().unwrap());
    measure("ports::listeners", 2000, || ports::listeners(port).unwrap());
    measure("ports::all_listeners", 500, || ports::all_listeners().unwrap());
    measure("ports::holders among one", 2000, || ports::holders(&rows, Some(&[own])).unwrap());
    measure("ports::holders among all", 100, || ports::holders(&rows, None).unwrap());
    measure("ports::bindable", 2000, || ports::bindable(rows[0].addr).unwrap());

    let argv: Vec<OsString> = vec!["sleep".into(), "1000".into()];
    let env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let start = || {
        let program = Program {
            path: Path::new("/bin/sleep"),
            argv: &argv,
            env: &env,
            cwd: Path::new("/"),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
            keep: &[null.as_fd()],
            rlimit_nofile: None,
            umask: None,
        };
        let pending = spawn::fork_waiting(program).unwrap();
        let identity = ProcessIdentity::of(pending.pid()).unwrap().unwrap();
        pending.go().unwrap();
        identity
    };
    let mut current = start();
    measure("kill, reap, fork, identity, exec", 500, || {
        let watch = wait::ExitWatch::new(&current).unwrap().unwrap();
        current.signal(Signal::SIGKILL).unwrap();
        while !watch.has_ended().unwrap() {}
        wait::reap(current.pid).unwrap().unwrap();
        current = start();
    });
    end(&current);
    measure("spawn::child, kill, reap", 500, || {
        let pid = spawn::child(Path::new("/bin/sleep"), &argv[1..], &env, &[], null.as_fd()).unwrap();
        end(&ProcessIdentity::of(pid).unwrap().unwrap());
    });
}

fn end(child: &ProcessIdentity) {
    child.signal(Signal::SIGKILL).unwrap();
    while wait::reap(child.pid).unwrap().is_none() {}
}

fn measure<T>(what: &str, times: usize, mut call: impl FnMut() -> T) {
    let mut taken: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(call());
            start.elapsed()
        })
        .collect();
    taken.sort_unstable();
    let (half, most) = (taken[times / 2], taken[times * 99 / 100]);
    println!("{what:40} p50 {half:>10.1?}   p99 {most:>10.1?}");
}
