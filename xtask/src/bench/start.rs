//! The real servers: ready after `pipctl start`, and ready when started by hand, in turns.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{median, until};
use crate::{build, venv};

const PAIRS: usize = 15;
const JUPYTER: u16 = 29_888;
const SERVER: u16 = 29_501;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let environment = build::target().join("test-venvs/current");
    venv::ensure(&environment, &build::root().join("tests/requirements-current.txt"))?;
    let lab = Lab::new(programs)?;
    std::os::unix::fs::symlink(&environment, lab.workspace().join(".venv"))?;
    std::fs::copy(build::root().join("examples/workspace/server.py"), lab.workspace().join("server.py"))?;
    lab.config(&format!("[services.jupyter]\nport = {JUPYTER}\n\n[services.server]\nport = {SERVER}\n"))?;
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    // The first of each warms the disk cache and does not count.
    for round in 0..=PAIRS {
        let pair = if round % 2 == 0 {
            (managed(&lab)?, manual(&lab)?)
        } else {
            swap(manual(&lab)?, managed(&lab)?)
        };
        eprintln!("  {:.2} s, by hand {:.2} s", pair.0, pair.1);
        if round > 0 {
            ours.push(pair.0);
            by_hand.push(pair.1);
        }
    }
    let (ours, by_hand) = (median(&ours), median(&by_hand));
    Ok(vec![
        Row::at_most("both real servers ready ÷ by hand", ours / by_hand, "", 1.05, "≤ 1.05"),
        Row::plain("… in seconds", format!("{ours:.2} ÷ {by_hand:.2} s")),
    ])
}

fn swap(by_hand: f64, ours: f64) -> (f64, f64) {
    (ours, by_hand)
}

fn managed(lab: &Lab<'_>) -> Result<f64> {
    let begin = Instant::now();
    lab.pipctl(&["start"])?;
    let took = begin.elapsed().as_secs_f64();
    ensure!(answers(JUPYTER, "/api") && answers(SERVER, "/"), "pipctl said ready too early");
    lab.end()?;
    Ok(took)
}

fn manual(lab: &Lab<'_>) -> Result<f64> {
    let python = lab.workspace().join(".venv/bin/python");
    let spawn = |arguments: &[&str]| -> Result<Child> {
        let mut command = lab.command(&python);
        command.args(arguments).env("PORT", SERVER.to_string()).env("JUPYTER_TOKEN", "measured");
        Ok(command.env("PYTHONUNBUFFERED", "1").stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    };
    let begin = Instant::now();
    let port = JUPYTER.to_string();
    let jupyter =
        ["-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port_retries=0", "--port", &port];
    let mut children = [spawn(&jupyter)?, spawn(&["server.py"])?];
    let ready = until("the servers started by hand", Duration::from_secs(60), || {
        (answers(JUPYTER, "/api") && answers(SERVER, "/")).then(|| begin.elapsed().as_secs_f64())
    });
    for child in &mut children {
        Command::new("kill").arg(child.id().to_string()).status()?;
        child.wait()?;
    }
    ready
}

fn answers(port: u16, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n")?;
        let mut start = [0; 5];
        stream.read_exact(&mut start)?;
        Ok(&start == b"HTTP/")
    };
    ask().unwrap_or(false)
}
