//! From `pipctl start` with no daemon to the first instruction of two services, where the user's systemd starts the
//! daemon: in a machine with a real one, that the tool `systemd-box` boots in namespaces of this machine.

use anyhow::{Context as _, Result, ensure};

use super::Row;
use super::lab::Programs;
use super::machine::Machine;
use super::measure::quantile;

/// Prints begin and end of each round, in nanoseconds of one clock. The first round makes the folders.
const ROUNDS: &str = r#"
cd ws || exit 1
for round in $(seq 21); do
  rm -f stamps begin
  service exec begin pipctl start >/dev/null 2>&1 || exit 1
  until [ "$(wc -l <stamps)" = 2 ]; do :; done 2>/dev/null
  systemctl --user is-active --quiet pipd || exit 1
  echo "$(cut -d' ' -f2 begin) $(cut -d' ' -f2 stamps | sort -n | tail -n 1)"
  pipctl stop >/dev/null && pipctl daemon stop >/dev/null || exit 1
done
"#;

const CONFIG: &str = r#"
[services.one]
command = ["/usr/local/bin/service", "wait", "/home/dev/ws/stamps"]
ready = "none"

[services.two]
command = ["/usr/local/bin/service", "wait", "/home/dev/ws/stamps"]
ready = "none"

[services.jupyter]
enabled = false
"#;

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let machine = Machine::boot(programs)?;
    let config = programs.path("pipd.toml");
    std::fs::write(&config, CONFIG)?;
    machine.call(&["run-as", "dev", "mkdir", "ws"])?;
    machine.copy(&config, "/home/dev/ws/pipd.toml", "dev")?;
    machine.call(&["login", "dev"])?;
    let output = machine.call(&["run-as", "dev", "bash", "-c", ROUNDS])?;
    let mut took = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines().skip(1) {
        let (begin, end) = line.split_once(' ').context("no stamps")?;
        took.push((end.parse::<i64>()? - begin.parse::<i64>()?) as f64 / 1e6);
    }
    ensure!(took.len() == 20, "{} rounds of 20: {}", took.len(), String::from_utf8_lossy(&output.stderr));
    Ok(vec![
        Row::at_most("2 services from cold, daemon by systemd", quantile(&took, 0.5), "ms", 150.0, "≤ 150"),
        Row::plain("… p95", format!("{:.2} ms", quantile(&took, 0.95))),
    ])
}
