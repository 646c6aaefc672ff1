//! From a login to JupyterLab and FastHTML that answer: brought back by pipd, and started by hand in that session as
//! soon as it is there, in turns.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Row;
use super::lab::Programs;
use super::machine::Machine;
use super::measure::{median, until};
use crate::{build, venv};

const PAIRS: usize = 7;
/// The Python of the machine that is booted.
const PACKAGES: &str = "lib/python3.11/site-packages";

/// Ends when both answer.
const ANSWERED: &str = r"
import http.client, time
waiting = {8888: '/api', 5001: '/'}
while waiting:
    for port, path in list(waiting.items()):
        try:
            connection = http.client.HTTPConnection('127.0.0.1', port, timeout=5)
            connection.request('GET', path)
            if connection.getresponse().status == 200:
                del waiting[port]
        except OSError:
            pass
    time.sleep(0.02)
";

const BY_HAND: &str = r#"
cd ws || exit 1
setsid .venv/bin/python -m jupyterlab --no-browser --ServerApp.port_retries=0 </dev/null >/dev/null 2>&1 &
setsid .venv/bin/python server.py </dev/null >/dev/null 2>&1 &
jobs -p >../by-hand
"#;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let environment = build::target().join("test-venvs/current");
    venv::ensure(&environment, &build::root().join("tests/requirements-current.txt"))?;
    let packages = environment.join(PACKAGES);
    ensure!(packages.is_dir(), "the machine has Python 3.11, and {} has not", environment.display());
    let machine = Machine::boot(programs)?;
    dev(
        &machine,
        &format!("mkdir ws && python3 -m venv --without-pip ws/.venv && rmdir ws/.venv/{PACKAGES}"),
    )?;
    machine.copy(&packages, &format!("/home/dev/ws/.venv/{PACKAGES}"), "dev")?;
    machine.copy(&build::root().join("examples/workspace/server.py"), "/home/dev/ws/server.py", "dev")?;
    machine.call(&["login", "dev"])?;
    dev(&machine, "cd ws && pipctl start --timeout 120 && pipctl autostart enable")?;
    let (mut ours, mut by_hand) = (Vec::new(), Vec::new());
    // The first of each warms the disk cache and does not count.
    for round in 0..=PAIRS {
        let brought = brought_back(&machine)?;
        let typed = started_by_hand(&machine)?;
        eprintln!("  {brought:.2} s, by hand {typed:.2} s");
        if round > 0 {
            ours.push(brought);
            by_hand.push(typed);
        }
    }
    let (ours, by_hand) = (median(&ours), median(&by_hand));
    Ok(vec![
        Row::plain("from login to both real servers ready ÷ by hand", format!("{:.2}", ours / by_hand)),
        Row::plain("… in seconds", format!("{ours:.2} ÷ {by_hand:.2} s")),
    ])
}

fn brought_back(machine: &Machine) -> Result<f64> {
    dev(machine, "pipctl start -w ws --timeout 120")?;
    logout(machine)?;
    let begin = Instant::now();
    machine.call(&["login", "dev"])?;
    machine.call(&["run", "python3", "-c", ANSWERED])?;
    Ok(begin.elapsed().as_secs_f64())
}

fn started_by_hand(machine: &Machine) -> Result<f64> {
    dev(machine, "pipctl stop -w ws")?;
    logout(machine)?;
    let begin = Instant::now();
    machine.call(&["login", "dev"])?;
    dev(machine, BY_HAND)?;
    machine.call(&["run", "python3", "-c", ANSWERED])?;
    let took = begin.elapsed().as_secs_f64();
    machine.call(&[
        "run",
        "bash",
        "-c",
        "for pid in $(cat /home/dev/by-hand); do kill -TERM -- -$pid; done",
    ])?;
    let free = "! ss -Hltn '( sport = :8888 or sport = :5001 )' | grep -q .";
    until("the servers started by hand to end", Duration::from_secs(30), || {
        machine.call(&["run", "bash", "-c", free]).ok()
    })?;
    Ok(took)
}

fn logout(machine: &Machine) -> Result<()> {
    machine.call(&["logout", "dev"])?;
    let gone = "! systemctl is-active --quiet user@1000.service && ! pgrep -u dev";
    until("the user's manager to end", Duration::from_secs(60), || {
        machine.call(&["run", "bash", "-c", gone]).ok().map(drop)
    })
}

fn dev(machine: &Machine, line: &str) -> Result<()> {
    machine.call(&["run-as", "dev", "bash", "-c", line]).map(drop)
}
