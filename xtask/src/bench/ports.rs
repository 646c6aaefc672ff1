//! Looks at ports: taken or free, held by a run of ours, and the scan of everything, with a machine full of processes
//! and descriptors; and what that scan does to whoever asks or crashes meanwhile.

use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{quantile, until};
use super::{restart, status};
use crate::build;

/// On the whole machine.
const PROCESSES: usize = 500;
const DESCRIPTORS: usize = 10_000;
const FREE: u16 = 29_886;
const OURS: u16 = 29_883;
const HELD: u16 = 29_885;
const KILLS: usize = 30;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let built = build::cargo()
        .args(["build", "--quiet", "--release", "--locked", "-p", "pipd-os", "--example", "ports"])
        .status()?;
    if !built.success() {
        bail!("the build failed: cargo build --release -p pipd-os --example ports");
    }
    let lab = Lab::new(programs)?;
    let crowd = Crowd::gather(&lab)?;
    let stranger = TcpListener::bind(("127.0.0.1", HELD)).context("failed to hold a port")?;
    let ready = "restart = { healthy_after = \"200ms\" }";
    lab.config(
        &[
            lab.service("one", "serve", &OURS.to_string(), &format!("port = {OURS}")),
            lab.service("victim", "wait", "", &format!("ready = \"none\"\n{ready}")),
            lab.service("blocked", "serve", &HELD.to_string(), &format!("port = {HELD}")),
        ]
        .concat(),
    )?;
    lab.pipctl(&["start", "one"])?;
    let one = lab.stamps().last().context("the service left no stamp")?.pid;
    let look = |port: u16, held: u16, pid: i32| -> Result<String> {
        let example = build::target().join("release/examples/ports");
        let output =
            lab.command(&example).args([port.to_string(), held.to_string(), pid.to_string()]).output()?;
        if !output.status.success() {
            bail!("{}: {}", example.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let looked = look(FREE, OURS, one)?;
    let value = |name: &str| -> Result<f64> {
        let line = looked.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name} in {looked}"))?.parse()?)
    };
    let taken = value("free")?.max(value("taken")?) / 1e3;

    // The same again and again, as somebody who cannot wait would have it, while others ask and crash.
    lab.forget_stamps();
    lab.pipctl(&["start", "victim"])?;
    let (quiet, ..) = status::compare(&lab)?;
    let calm = restart::kill(&lab, KILLS)?;
    let over = AtomicBool::new(false);
    let pipctl = programs.path("pipctl");
    let (scanned, shaken, scans) = std::thread::scope(|scope| {
        let scanner = scope.spawn(|| {
            let mut scans = 0;
            while !over.load(Ordering::Relaxed) {
                let mut command = lab.command(&pipctl);
                let asked =
                    command.args(["start", "blocked"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
                scans += u32::from(asked.is_ok());
            }
            scans
        });
        let measured = status::compare(&lab).and_then(|(ratio, ..)| Ok((ratio, restart::kill(&lab, KILLS)?)));
        over.store(true, Ordering::Relaxed);
        let scans = scanner.join().unwrap_or_default();
        measured.map(|(ratio, shaken)| (ratio, shaken, scans))
    })?;
    drop((stranger, crowd));
    let p50 = |times: &[f64]| quantile(times, 0.5);
    Ok(vec![
        Row::at_most("port: taken or free, with its user", taken, "ms", 0.5, "≤ 0.5"),
        Row::at_most("… held by a run of ours", value("ours")? / 1e3, "ms", 3.0, "≤ 3"),
        Row::at_most("… all processes looked into", value("scan")? / 1e3, "ms", 40.0, "≤ 40"),
        Row::plain(
            "… of them",
            format!("{} with {} descriptors", value("processes")?, value("descriptors")?),
        ),
        Row::plain(
            "pipctl status ÷ /bin/true, and while ports are scanned",
            format!("{quiet:.2}, {scanned:.2}"),
        ),
        Row::plain(
            "restart after SIGKILL, p50, and while ports are scanned",
            format!("{:.2} ms, {:.2} ms ({scans} scans)", p50(&calm), p50(&shaken)),
        ),
    ])
}

/// Many processes with many descriptors, ended with this value.
struct Crowd(Vec<Child>);

impl Crowd {
    fn gather(lab: &Lab<'_>) -> Result<Self> {
        let mut crowd = Self(Vec::with_capacity(PROCESSES));
        let stamps = lab.workspace().join("crowd");
        let (processes, descriptors) = there_already()?;
        let more = PROCESSES.saturating_sub(processes).max(1);
        // Each has its three beside them.
        let each = (DESCRIPTORS.saturating_sub(descriptors) / more).saturating_sub(3);
        for _ in 0..more {
            let mut command = lab.command(&lab.programs.path("service"));
            command.arg("hold").arg(&stamps).arg(each.to_string()).stdout(Stdio::null());
            crowd.0.push(command.spawn()?);
        }
        until("the processes to be there", Duration::from_secs(30), || {
            let text = std::fs::read_to_string(&stamps).unwrap_or_default();
            (text.lines().count() == more).then_some(())
        })?;
        Ok(crowd)
    }
}

/// Processes of this machine, and their descriptors.
fn there_already() -> Result<(usize, usize)> {
    let (mut processes, mut descriptors) = (0, 0);
    for entry in std::fs::read_dir("/proc")?.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.parse::<i32>().is_ok()) {
            processes += 1;
            descriptors += std::fs::read_dir(entry.path().join("fd")).map_or(0, Iterator::count);
        }
    }
    Ok((processes, descriptors))
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
