//! Whole calls of `pipctl` against a daemon made of one thread: what is asked, what is printed, which exit code.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "../../client/tests/fake/mod.rs"]
mod fake;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::Locations;
use fake::{Fake, Host, no, ok};
use pipctl::{Exit, Surroundings, Terminal};
use serde_json::{Value, json};
use tempfile::TempDir;
use wire::{Request, RequestFrame, Text, code};

/// A folder with a `pipd.toml` and whatever it takes to call `pipctl` in it.
struct Place {
    dir: TempDir,
    surroundings: Surroundings,
}

struct Said {
    exit: Exit,
    out: String,
    err: String,
}

impl Place {
    fn new(locations: Locations) -> Self {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let cwd = dir.path().canonicalize().unwrap();
        std::fs::write(
            cwd.join("pipd.toml"),
            "[services.server]\ncommand = [\"sleep\", \"1\"]\nport = 5001\n\n\
             [services.jupyter]\ncommand = [\"sleep\", \"1\"]\nport = 8888\n",
        )
        .unwrap();
        let surroundings = Surroundings {
            cwd,
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            home: None,
            is_root: false,
            umask: None,
            locations: Some(locations),
            interactive: false,
            catch_interrupts: false,
        };
        Self { dir, surroundings }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap()
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn run(&self, line: &str) -> Said {
        self.type_and_answer(line, "")
    }

    fn type_and_answer(&self, line: &str, typed: &str) -> Said {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut input = typed.as_bytes();
        let mut terminal = Terminal { out: &mut out, err: &mut err, input: &mut input };
        let arguments = std::iter::once("pipctl").chain(line.split_whitespace()).map(OsString::from);
        let exit = pipctl::run(arguments, &self.surroundings, &mut terminal);
        let text =
            |bytes: Vec<u8>| anstream::adapter::strip_str(&String::from_utf8(bytes).unwrap()).to_string();
        Said { exit, out: text(out), err: text(err) }
    }
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// A place whose daemon answers; `{root}` of the workspace stands in the shared cell once it is known.
fn place(answer: impl Fn(&RequestFrame, &Path) -> Vec<Vec<u8>> + Clone + Send + 'static) -> (Place, Fake) {
    let root: Arc<Mutex<PathBuf>> = Arc::default();
    let shared = Arc::clone(&root);
    let fake = Fake::greeting(move |frame| {
        let root = shared.lock().unwrap().clone();
        answer(frame, &root)
    });
    let place = Place::new(fake.locations());
    *root.lock().unwrap() = place.root();
    (place, fake)
}

fn nowhere() -> (Place, Host) {
    let host = Host::new();
    (Place::new(host.locations()), host)
}

fn service(name: &str, phase: &str) -> Value {
    json!({ "name": name, "goal": "up", "phase": phase, "pid": 4211, "started_ms": 1, "port": 8888,
        "address": format!("http://127.0.0.1/{name}"), "url": format!("http://127.0.0.1/{name}?token=5eed") })
}

fn snapshot(root: &Path, services: Value) -> Value {
    json!({ "generation": 3, "workspaces": [{ "id": "x", "root": Text::from(root), "services": services }] })
}

fn results(results: Value) -> Value {
    json!({ "services": results })
}

fn last(fake: &Fake) -> Request {
    fake.asked.lock().unwrap().last().unwrap().clone()
}

#[test]
fn without_a_daemon_status_says_so_quickly_and_starts_none() {
    let (place, host) = nowhere();
    let begun = Instant::now();
    let said = place.run("status");
    assert!(begun.elapsed() < Duration::from_millis(100));
    assert_eq!(said.exit, Exit::Unreachable);
    assert_eq!(said.err, "error: pipd is not running, so nothing is; start it: pipctl start\n");
    assert_eq!(said.out, "");
    let said = place.run("status --json");
    assert_eq!(said.exit, Exit::Unreachable);
    assert_eq!(said.json()["running"], false);
    assert_eq!(std::fs::read_dir(host.host.path()).unwrap().count(), 0);
    for line in ["stop", "why server", "url", "open", "list", "daemon status"] {
        assert_eq!(place.run(line).exit, Exit::Unreachable, "{line}");
    }
    assert_eq!(place.run("daemon stop").exit, Exit::Ok);
}

#[test]
fn status_has_the_exit_code_of_the_worst_service() {
    let cases = [
        (vec!["ready", "external"], Exit::Ok),
        (vec!["ready", "finished"], Exit::Ok),
        (vec!["ready", "starting"], Exit::Timeout),
        (vec!["starting", "blocked"], Exit::Blocked),
        (vec!["blocked", "backoff"], Exit::Failed),
        (vec!["unhealthy"], Exit::Failed),
        (vec!["gaveup"], Exit::Failed),
    ];
    for (phases, exit) in cases {
        let services: Vec<Value> = phases.iter().map(|phase| service(phase, phase)).collect();
        let (place, fake) = place(move |frame, root| vec![ok(frame, &snapshot(root, json!(services)))]);
        let said = place.run("status");
        assert_eq!(said.exit, exit, "{phases:?}");
        assert!(said.out.starts_with(&format!("{}\nSERVICE", place.root().display())), "{}", said.out);
        assert!(!said.out.contains("token"), "{}", said.out);
        assert!(
            matches!(last(&fake), Request::Status(params) if params.root == Some((&*place.root()).into()))
        );
    }
}

#[test]
fn what_is_not_wanted_up_does_not_count() {
    let (place, _fake) = place(|frame, root| {
        let mut down = service("server", "down");
        down["goal"] = json!("down");
        vec![ok(frame, &snapshot(root, json!([down])))]
    });
    assert_eq!(place.run("status").exit, Exit::Ok);
}

#[test]
fn status_as_json_is_the_snapshot_with_the_daemon() {
    let (place, fake) = place(|frame, root| vec![ok(frame, &snapshot(root, json!([service("a", "ready")])))]);
    let json = place.run("status --json --all").json();
    assert_eq!(json["running"], true);
    assert_eq!(json["daemon"]["pid"], 4711);
    assert_eq!(json["generation"], 3);
    assert_eq!(json["workspaces"][0]["services"][0]["phase"], "ready");
    assert!(matches!(last(&fake), Request::Status(params) if params.root.is_none()));
}

#[test]
fn status_of_some_services_shows_and_weighs_only_these() {
    let (place, _fake) = place(|frame, root| {
        vec![ok(frame, &snapshot(root, json!([service("good", "ready"), service("bad", "backoff")])))]
    });
    assert_eq!(place.run("status").exit, Exit::Failed);
    let said = place.run("status good");
    assert_eq!(said.exit, Exit::Ok);
    assert!(said.out.contains("good") && !said.out.contains("bad"), "{}", said.out);
    let json = place.run("status good --json").json();
    assert_eq!(json["workspaces"][0]["services"].as_array().unwrap().len(), 1);
    let said = place.run("status god");
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.err.contains("no service `god`") && said.err.contains("good, bad"), "{}", said.err);
}

#[test]
fn start_sends_the_workspace_and_prints_what_came_of_it() {
    let (place, fake) = place(|frame, _| {
        vec![ok(frame, &results(json!([{ "outcome": "ready", "service": service("server", "ready") }])))]
    });
    let said = place.run("start server --timeout 1m30s");
    assert_eq!(said.exit, Exit::Ok);
    assert!(
        said.out.starts_with("server  ready  http://127.0.0.1/server?token=5eed  pid 4211"),
        "{}",
        said.out
    );
    assert!(said.err.contains(&place.root().display().to_string()), "{}", said.err);
    let Request::Start(params) = last(&fake) else { panic!() };
    assert_eq!(params.workspace.root, Text::from(&*place.root()));
    assert_eq!(params.workspace.services.len(), 2);
    assert_eq!(params.services, ["server"]);
    assert_eq!(params.timeout_ms, Some(90_000));
    assert!(!params.no_wait && !params.force && !params.refresh_env);
}

#[test]
fn the_outcome_is_the_exit_code() {
    let cases = [
        ("already", Exit::Ok),
        ("accepted", Exit::Ok),
        ("external", Exit::Ok),
        ("failed", Exit::Failed),
        ("superseded", Exit::Failed),
        ("blocked", Exit::Blocked),
        ("timeout", Exit::Timeout),
        ("busy", Exit::Busy),
        ("of a newer daemon", Exit::Failed),
    ];
    for (outcome, exit) in cases {
        let (place, _fake) = place(move |frame, _| {
            vec![ok(
                frame,
                &results(json!([
                    { "outcome": "ready", "service": service("jupyter", "ready") },
                    { "outcome": outcome, "service": service("server", "starting") },
                ])),
            )]
        });
        assert_eq!(place.run("start").exit, exit, "{outcome}");
        let said = place.run("start --json");
        assert_eq!(said.exit, exit, "{outcome}");
        assert_eq!(said.err, "");
        assert_eq!(said.json()["services"][0]["outcome"], "ready");
    }
}

#[test]
fn a_failed_start_shows_the_traceback_and_what_to_type() {
    let (place, _fake) = place(|frame, _| {
        let mut failed = service("server", "backoff");
        failed["last_exit"] = json!({ "cause": { "code": 1 }, "uptime_ms": 300 });
        vec![ok(
            frame,
            &results(json!([{ "outcome": "failed", "service": failed,
            "last_words": ["Traceback (most recent call last):", "NameError: name 'x' is not defined"] }])),
        )]
    });
    let said = place.run("start");
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.out.contains("\n    NameError: name 'x' is not defined\n"), "{}", said.out);
    assert!(said.out.ends_with("→ pipctl why server    pipctl logs server\n"), "{}", said.out);
}

#[test]
fn a_start_that_loses_its_daemon_tries_the_next_one() {
    let fake = Fake::new(|number| {
        Box::new(move |frame| match &frame.request {
            Request::Hello(_) => fake::greet(frame).map(|line| vec![line]),
            _ if number == 0 => None,
            _ => Some(vec![ok(frame, &results(json!([])))]),
        })
    });
    assert_eq!(Place::new(fake.locations()).run("start").exit, Exit::Ok);
}

#[test]
fn names_are_checked_before_anything_is_started() {
    let (place, host) = nowhere();
    let said = place.run("start serve");
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.err.contains("no service `serve`") && said.err.contains("server"), "{}", said.err);
    assert_eq!(std::fs::read_dir(host.host.path()).unwrap().count(), 0);
}

#[test]
fn a_broken_configuration_stops_start_and_nothing_else() {
    let (place, fake) = place(|frame, root| match &frame.request {
        Request::Stop(_) => vec![ok(frame, &results(json!([])))],
        Request::Why(_) => {
            vec![ok(frame, &json!({ "service": service("server", "ready"), "runs": [], "next": "" }))]
        }
        _ => vec![ok(frame, &snapshot(root, json!([service("server", "ready")])))],
    });
    std::fs::write(place.root().join("pipd.toml"), "[services.server\n").unwrap();
    let said = place.run("start");
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.err.contains("pipd.toml"), "{}", said.err);
    for line in ["status", "stop", "why server", "url"] {
        let said = place.run(line);
        assert_eq!(said.exit, Exit::Ok, "{line}: {}", said.err);
    }
    assert!(!fake.asked.lock().unwrap().iter().any(|request| matches!(request, Request::Start(_))));
}

#[test]
fn stop_asks_before_work_is_lost() {
    let (mut place, fake) = place(|frame, root| match &frame.request {
        Request::Stop(params) if params.force => {
            vec![ok(
                frame,
                &results(json!([{ "outcome": "stopped", "service": service("jupyter", "down") }])),
            )]
        }
        Request::Stop(_) => vec![ok(
            frame,
            &results(json!([
                { "outcome": "busy", "service": service("jupyter", "ready"), "would_lose": ["a.ipynb: kernel is busy"] },
                { "outcome": "stopped", "service": service("server", "down") },
            ])),
        )],
        _ => vec![ok(frame, &snapshot(root, json!([])))],
    });
    // Nobody is there to ask: nothing is lost, and what to type is said.
    let said = place.run("stop");
    assert_eq!(said.exit, Exit::Busy);
    assert!(said.out.contains("would be lost: a.ipynb: kernel is busy"), "{}", said.out);
    assert_eq!(said.err, "to lose that work: pipctl stop --force jupyter\n");

    place.surroundings.interactive = true;
    for (typed, exit) in [("\n", Exit::Busy), ("no\n", Exit::Busy), ("", Exit::Busy), ("y\n", Exit::Ok)] {
        let said = place.type_and_answer("stop", typed);
        assert_eq!(said.exit, exit, "{typed:?}");
        assert!(said.err.contains("  a.ipynb: kernel is busy\n"), "{}", said.err);
        assert!(said.err.contains("[y/N]"), "{}", said.err);
    }
    let Request::Stop(params) = last(&fake) else { panic!() };
    assert_eq!((params.force, params.services), (true, vec!["jupyter".to_owned()]));
}

#[test]
fn restart_says_whose_environment_it_means() {
    let (place, fake) = place(|frame, root| match &frame.request {
        Request::Restart(_) => vec![ok(frame, &results(json!([])))],
        _ => vec![ok(frame, &snapshot(root, json!([])))],
    });
    assert_eq!(place.run("restart server --env --force").exit, Exit::Ok);
    let Request::Restart(params) = last(&fake) else { panic!() };
    assert!(params.refresh_env && params.force);
    assert!(params.seen_runs.is_empty(), "the first time nothing can have been restarted for it");
    assert_eq!(params.services, ["server"]);
}

#[test]
fn url_prints_what_logs_in() {
    let (place, _fake) = place(|frame, root| {
        vec![ok(frame, &snapshot(root, json!([service("jupyter", "ready"), service("server", "backoff")])))]
    });
    assert_eq!(place.run("url jupyter").out, "http://127.0.0.1/jupyter?token=5eed\n");
    assert_eq!(place.run("url").out, "http://127.0.0.1/jupyter?token=5eed\n");
    assert_eq!(place.run("url --json").json()[0]["service"], "jupyter");
    let said = place.run("url server");
    assert_eq!(said.exit, Exit::Failed);
    assert_eq!(said.err, "error: server is backoff; see: pipctl why server\n");
    let said = place.run("url nothing");
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.err.contains("it has: jupyter, server"), "{}", said.err);
}

#[test]
fn open_checks_the_browser_and_tells_the_token_to_nobody_else() {
    let (mut place, _fake) =
        place(|frame, root| vec![ok(frame, &snapshot(root, json!([service("jupyter", "ready")])))]);
    let seen = place.root().join("seen");
    let browser = place.root().join("browser.sh");
    std::fs::write(&browser, format!("#!/bin/sh\necho \"$1\" > {}\n", seen.display())).unwrap();
    std::fs::set_permissions(&browser, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    place.surroundings.env.push(("BROWSER".into(), browser.into()));
    let said = place.run("open");
    assert_eq!((said.exit, said.out.as_str()), (Exit::Ok, "opened http://127.0.0.1/jupyter\n"));
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), "http://127.0.0.1/jupyter?token=5eed\n");
    // It fails, and says why.
    place.script("browser.sh", "echo 'no such profile' >&2; exit 3");
    let said = place.run("open");
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("exit status: 3: no such profile"), "{}", said.err);
    assert!(said.err.contains("open it yourself, or set BROWSER: http://127.0.0.1/jupyter;"), "{}", said.err);
    assert!(said.err.contains("pipctl url jupyter") && !said.err.contains("5eed"), "{}", said.err);
}

#[test]
#[cfg(target_os = "linux")]
fn in_tmux_the_display_is_that_of_the_terminal_in_front() {
    let (mut place, _fake) =
        place(|frame, root| vec![ok(frame, &snapshot(root, json!([service("jupyter", "ready")])))]);
    // Without a display no opener is called that would take this terminal for a text browser.
    let said = place.run("open");
    assert!(said.err.contains("there is no display here"), "{}", said.err);
    let seen = place.root().join("seen");
    place.script("bin/tmux", "echo DISPLAY=:7; echo -WAYLAND_DISPLAY; echo SSH_AGENT_PID=1");
    place.script("bin/xdg-open", &format!("echo \"$DISPLAY $1\" > {}", seen.display()));
    let path = format!("{}:/usr/bin:/bin", place.root().join("bin").display());
    place.surroundings.env = vec![("PATH".into(), path.clone().into()), ("TMUX".into(), "x".into())];
    let program = place.root().join("bin/xdg-open");
    place.surroundings.env.push(("BROWSER".into(), program.into()));
    let said = place.run("open");
    assert_eq!(said.exit, Exit::Ok, "{}", said.err);
    let told = std::fs::read_to_string(seen).unwrap();
    assert_eq!(told, ":7 http://127.0.0.1/jupyter?token=5eed\n");
}

#[test]
fn a_daemon_that_freezes_is_told_within_the_time() {
    let fake = Fake::new(|_| Box::new(|_| Some(Vec::new())));
    let place = Place::new(fake.locations());
    let begun = Instant::now();
    let said = place.run("status");
    assert!(begun.elapsed() < Duration::from_millis(2_500));
    assert_eq!(said.exit, Exit::Unreachable);
    assert!(said.err.contains("does not answer (frozen?)"), "{}", said.err);
}

#[test]
fn refusals_of_the_daemon_are_passed_on() {
    let (place, _fake) =
        place(|frame, _| vec![no(frame, code::UNKNOWN_NAME, "no service `x`; try: pipctl status")]);
    let said = place.run("why x");
    assert_eq!((said.exit, said.err.as_str()), (Exit::Usage, "error: no service `x`; try: pipctl status\n"));
}

#[test]
fn logs_need_no_daemon() {
    let (place, host) = nowhere();
    let said = place.run("logs");
    assert_eq!(said.exit, Exit::Failed);
    assert!(said.err.contains("pipctl start"), "{}", said.err);
    let workspace = host.host.workspace(&run::layout::workspace_id(&place.root()));
    for (service, lines) in [
        (
            "server",
            "2026-11-22T18:07:59.000000001Z stdout F one\n2026-11-22T18:08:01.000000000Z stderr P thr\n2026-11-22T18:08:01.000000001Z stderr F ee\n",
        ),
        (
            "jupyter",
            "2026-11-22T18:08:00.000000000Z stderr F two\n2026-11-22T18:08:02.000000000Z pipd F run 1 ended\n",
        ),
    ] {
        let dir = workspace.service(service).logs();
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("0000000001.log"), lines).unwrap();
    }
    assert_eq!(place.run("logs server").out, "one\nthree\n");
    assert_eq!(place.run("logs server -n 1").out, "three\n");
    assert_eq!(place.run("logs server --stream stdout").out, "one\n");
    assert_eq!(place.run("logs server --since 2026-11-22T18:08:00Z").out, "three\n");
    let all = place.run("logs").out;
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines[..3], ["server  | one", "jupyter | two", "server  | three"]);
    assert!(lines[3].starts_with("jupyter | -- ") && lines[3].ends_with("run 1 ended"), "{all}");
    assert_eq!(place.run("logs -n 2").out.lines().count(), 2);
    let json = place.run("logs jupyter --json").out;
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(
        first,
        json!({ "time": "2026-11-22T18:08:00.000000000Z", "service": "jupyter", "stream": "stderr", "text": "two" })
    );
    let said = place.run("logs serve");
    assert_eq!(said.exit, Exit::Usage);
    assert!(said.err.contains("it has: jupyter, server"), "{}", said.err);
}

#[test]
fn version_names_both_and_what_to_do_when_they_differ() {
    let (place, _fake) = place(|frame, _| vec![ok(frame, &json!({}))]);
    let said = place.run("version");
    assert_eq!(said.out, "pipctl 0.1.0\npipd 0.1.0 (pid 4711, /usr/bin/pipd)\n");
    assert_eq!(place.run("version --json").json()["pipd"]["version"], "0.1.0");
    let (place, _host) = nowhere();
    assert_eq!(place.run("version").out, "pipctl 0.1.0\npipd is not running\n");
}

#[test]
fn completions_know_the_services() {
    let (place, _fake) = place(|frame, root| {
        vec![ok(frame, &snapshot(root, json!([service("jupyter", "ready"), service("server", "down")])))]
    });
    assert_eq!(place.run("complete-services").out, "jupyter\nserver\n");
    assert_eq!(place.run("complete-services -- pipctl stop server").out, "jupyter\n");
    for shell in ["bash", "zsh", "fish"] {
        let said = place.run(&format!("completions {shell}"));
        assert_eq!(said.exit, Exit::Ok);
        assert!(said.out.contains("pipctl complete-services"), "{shell}");
    }
    let zsh = place.run("completions zsh").out;
    assert!(zsh.starts_with("#compdef pipctl\n"), "{zsh}");
    let services = zsh.lines().filter(|line| line.contains(":_pipctl_services'"));
    // start, stop, restart, adopt, status, logs, url, open, why, env, env refresh
    assert_eq!(services.count(), 11, "{zsh}");
    let (place, _host) = nowhere();
    // Without a pipd the workspace itself names them.
    let said = place.run("complete-services");
    assert_eq!((said.exit, &*said.out, &*said.err), (Exit::Ok, "server\njupyter\n", ""));
}

#[test]
fn wrong_usage_is_exit_2_and_help_is_0() {
    let (place, _host) = nowhere();
    for line in
        ["", "strat", "start --timeout soon", "why", "start --no-wait --timeout 1s", "logs --since whenever"]
    {
        let said = place.run(line);
        assert_eq!(said.exit, Exit::Usage, "{line}");
        assert!(!said.err.is_empty() && said.out.is_empty(), "{line}");
    }
    let said = place.run("--help");
    assert_eq!(said.exit, Exit::Ok);
    // Where lines break depends on the terminal the test runs in.
    insta::assert_snapshot!(said.out.split_whitespace().collect::<Vec<_>>().join(" "));
    for verb in [
        "start", "stop", "restart", "status", "logs", "url", "open", "why", "list", "daemon", "version",
        "doctor", "env", "setup",
    ] {
        let said = place.run(&format!("{verb} --help"));
        assert_eq!(said.exit, Exit::Ok, "{verb}");
        assert!(said.out.contains("Usage: pipctl"), "{verb}");
    }
}

#[test]
fn the_page_of_exit_codes_has_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/exit-codes.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&Exit::table()), "docs/exit-codes.md should have:\n{}", Exit::table());
}
