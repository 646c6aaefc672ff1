//! What runs: found without asking, and changed by the configuration.

mod common;

use common::{FASTHTML, World, argv, names, service, variable};
use wire::{Kind, PortSpec, ReadyCheck, RestartPolicy, Signal, StopSpec, WorkspaceSpec};
use workspace::Caller;

fn load(config: &str) -> (World, WorkspaceSpec) {
    let world = World::complete().file("pipd.toml", config).file("web/.env", "A=1\n").file(".env", "B=2\n");
    let spec = world.load().unwrap_or_else(|error| panic!("{}", error.render(false)));
    (world, spec)
}

fn http(path: &str) -> ReadyCheck {
    ReadyCheck::Http { path: path.to_owned(), status: None }
}

#[test]
fn both_services_without_configuration() {
    let world = World::complete();
    let spec = world.load().unwrap();
    assert_eq!(names(&spec), ["jupyter", "server"]);
    assert_eq!(spec.root.as_path(), world.path);

    let jupyter = service(&spec, "jupyter");
    assert_eq!(jupyter.kind, Kind::Jupyter);
    let expected = [
        "/ws/.venv/bin/python",
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
    ];
    assert_eq!(argv(jupyter).iter().map(|word| world.anonymous(word)).collect::<Vec<_>>(), expected);
    assert_eq!(jupyter.cwd.as_path(), world.path);
    assert_eq!(jupyter.port, Some(PortSpec::Fixed(8888)));
    assert_eq!(jupyter.ready.check, http("/api"));
    assert_eq!(jupyter.stop, StopSpec::jupyter(10_000));
    assert_eq!(jupyter.url_path, "/lab");
    assert_eq!(jupyter.found, "jupyterlab 4.6.6 in .venv");
    assert_eq!((jupyter.refused.as_ref(), jupyter.warnings.len()), (None, 0));
    assert!(!jupyter.env.contains_key("JUPYTER_TOKEN"));

    let server = service(&spec, "server");
    assert_eq!(server.kind, Kind::Web);
    assert_eq!(argv(server)[1..], ["server.py"]);
    assert_eq!(server.port, Some(PortSpec::Fixed(5001)));
    assert_eq!(variable(server, "PORT").as_deref(), Some("{port}"));
    assert_eq!(server.ready.check, http("/"));
    assert_eq!(server.stop, StopSpec::web(5_000));
    assert_eq!(server.url_path, "/");
    assert_eq!(server.found, "server.py calls serve() (FastHTML)");

    assert_eq!(
        spec.notes.iter().map(|note| world.anonymous(note)).collect::<Vec<_>>(),
        [
            "workspace: /ws (test)",
            "python: .venv/bin/python",
            "jupyter: jupyterlab 4.6.6 in .venv",
            "server: server.py calls serve() (FastHTML)",
        ]
    );
    assert!(spec.warnings.is_empty(), "{:?}", spec.warnings);
}

#[test]
fn the_first_candidate_that_serves() {
    for (files, expected) in [
        (&[("server.py", FASTHTML), ("main.py", FASTHTML)][..], Some("server.py")),
        (&[("server.py", "print(1)"), ("main.py", FASTHTML)], Some("main.py")),
        (
            &[("main.py", "# serve()"), ("app.py", "import uvicorn\nuvicorn.run(app, port=PORT)")],
            Some("app.py"),
        ),
        (&[("main.py", "print('hello')")], None),
    ] {
        let mut world = World::new().venv(".venv", "python-without-jupyterlab").jupyterlab(".venv");
        for (name, text) in files {
            world = world.file(name, text);
        }
        let spec = world.load().unwrap();
        let script = spec
            .services
            .iter()
            .find(|service| service.name == "server")
            .map(|server| argv(server)[1].clone());
        assert_eq!(script.as_deref(), expected, "{files:?}");
        if expected.is_none() {
            let said = "server: main.py does not serve: it calls no serve(), uvicorn.run() or app.run()";
            assert!(spec.notes.iter().any(|note| note == said), "{:?}", spec.notes);
        }
    }
}

#[test]
fn a_port_in_the_source_is_the_port() {
    for (source, port) in [
        ("from fasthtml.common import *\nserve(port=8000)", 8000),
        ("import uvicorn\nuvicorn.run(app)", 8000),
        ("from flask import Flask\napp = Flask('x')\napp.run()", 5000),
        (FASTHTML, 5001),
    ] {
        let world = World::complete().file("server.py", source);
        assert_eq!(service(&world.load().unwrap(), "server").port, Some(PortSpec::Fixed(port)), "{source}");
    }
    let world = World::complete()
        .file("server.py", "from fasthtml.common import *\nserve(port=8000)")
        .file("pipd.toml", "[services.server]\nport = 9000");
    let spec = world.load().unwrap();
    assert_eq!(
        service(&spec, "server").warnings,
        ["server.py listens on 8000 whatever PORT says, and pipd.toml says 9000"]
    );
}

#[test]
fn nothing_to_run_says_what_was_looked_for() {
    let world = World::new().venv(".venv", "python-without-jupyterlab");
    let error = world.load().unwrap_err();
    assert_eq!(
        world.anonymous(&error.render(false)),
        "error: nothing to run in /ws
  - jupyterlab is not in .venv
  - there is no server.py, no main.py, no app.py
type: .venv/bin/python -m pip install jupyterlab && pipctl start
"
    );
    let world = world.file("requirements.txt", "jupyterlab==4.6.6\n").file("main.py", "print()");
    let error = world.load_as(&Caller { cwd: "/".into(), ..world.caller() }).unwrap_err();
    assert_eq!(
        world.anonymous(&error.to_string()),
        "nothing to run in /ws: jupyterlab is not in .venv; main.py does not serve: it calls no serve(), \
         uvicorn.run() or app.run(); type: cd /ws && .venv/bin/python -m pip install -r requirements.txt && \
         pipctl start"
    );
    let world = World::complete()
        .file("pipd.toml", "[services.jupyter]\nenabled = false\n[services.server]\nenabled = false\n");
    let error = world.load().unwrap_err().to_string();
    assert!(error.contains("jupyter is disabled in pipd.toml; server is disabled in pipd.toml"), "{error}");
}

#[test]
fn root_needs_allow_root() {
    let load = |config: &str, is_root| {
        let world = World::complete().file("pipd.toml", config);
        let spec = world.load_as(&Caller { is_root, ..world.caller() }).unwrap();
        service(&spec, "jupyter").clone()
    };
    let given = |service: &wire::ServiceSpec| argv(service).contains(&"--allow-root".to_owned());

    let user = load("", false);
    assert!(!given(&user) && user.warnings.is_empty() && user.refused.is_none());
    let root = load("", true);
    assert!(given(&root) && root.refused.is_none());
    assert!(root.warnings[0].starts_with("runs as root (--allow-root)"), "{:?}", root.warnings);
    let allowed = load("[services.jupyter]\nallow_root = true", true);
    assert!(given(&allowed) && allowed.warnings.is_empty());
    let refused = load("[services.jupyter]\nallow_root = false", true);
    assert!(!given(&refused));
    assert_eq!(
        refused.refused.as_deref(),
        Some(
            "JupyterLab may not run as root here (pipd.toml says `allow_root = false`); as an ordinary user, or with \
             `allow_root = true`, type: pipctl start jupyter"
        )
    );
    assert_eq!(load("[services.jupyter]\nallow_root = false", false).refused, None);
}

#[test]
fn a_configured_jupyter_that_is_not_installed_is_refused_and_the_rest_runs() {
    let world = World::new()
        .venv(".venv", "python-without-jupyterlab")
        .file("server.py", FASTHTML)
        .file("pipd.toml", "[services.jupyter]\nport = 8890\n");
    let spec = world.load().unwrap();
    assert_eq!(names(&spec), ["server", "jupyter"]);
    assert_eq!(
        service(&spec, "jupyter").refused.as_deref(),
        Some("jupyterlab is not in .venv; type: .venv/bin/python -m pip install jupyterlab")
    );
}

#[test]
fn found_services_are_changed_key_by_key() {
    let (world, spec) = load(
        r#"
        [workspace]
        env = { SHARED = "1", REMOVED = false, BOTH = "workspace" }
        env_file = ".env"

        [services.server]
        args = ["--verbose", "{root}"]
        port = "auto"
        env = { BOTH = "service", ADDRESS = "127.0.0.1:{port}" }
        ready = { timeout = "2m", status = 204 }
        stop = { grace = "9s" }
        watch = ["templates/base.html"]

        [services.jupyter]
        args = ["--LabApp.collaborative=True"]
        cwd = "web"
        env_file = ["web/.env"]
        ready = "http"
        stop = { grace = "900ms" }
        restart = "never"
        url_path = "/tree"
        logs = { file_size = "1MiB", files = 2 }
        after = ["server", "server"]
        "#,
    );
    // In the order of the file.
    assert_eq!(names(&spec), ["server", "jupyter"]);
    let server = service(&spec, "server");
    assert_eq!(argv(server)[1..], ["server.py", "--verbose", "{root}"]);
    assert_eq!(server.port, Some(PortSpec::Auto(5001)));
    assert_eq!(variable(server, "SHARED").as_deref(), Some("1"));
    assert_eq!(variable(server, "REMOVED"), None);
    assert_eq!(variable(server, "BOTH").as_deref(), Some("service"));
    assert_eq!(variable(server, "ADDRESS").as_deref(), Some("127.0.0.1:{port}"));
    assert_eq!(variable(server, "PORT").as_deref(), Some("{port}"));
    assert_eq!(server.ready.check, ReadyCheck::Http { path: "/".to_owned(), status: Some(204) });
    assert_eq!(server.ready.timeout_ms, 120_000);
    assert_eq!(server.stop, StopSpec::web(9_000));
    assert_eq!(server.watch[0].as_path(), world.path.join("templates/base.html"));

    let jupyter = service(&spec, "jupyter");
    assert_eq!(argv(jupyter).last().unwrap(), "--LabApp.collaborative=True");
    assert_eq!(jupyter.cwd.as_path(), world.path.join("web"));
    let files: Vec<_> = jupyter.env_files.iter().map(wire::Text::as_path).collect();
    assert_eq!(files, [world.path.join(".env"), world.path.join("web/.env")]);
    assert_eq!(jupyter.ready.check, http("/api"));
    assert!(jupyter.stop.steps.is_sorted_by_key(|step| step.after_ms), "{:?}", jupyter.stop);
    assert_eq!(jupyter.stop.grace_ms(), 900);
    assert_eq!(jupyter.restart.policy, RestartPolicy::Never);
    assert_eq!((jupyter.logs.file_bytes, jupyter.logs.files), (1 << 20, 2));
    assert_eq!(jupyter.url_path, "/tree");
    assert_eq!(jupyter.after, ["server"]);
}

#[test]
fn services_of_ones_own() {
    let (world, spec) = load(
        r#"
        [services.board]
        command = [".venv/bin/python", "-m", "tensorboard.main", "--port={port}"]
        port = 6006
        restart = { policy = "always", first = "1s", healthy_after = "2m", cap = "1m 30s", start_limit = 5 }

        [services.worker]
        command = "while true; do date; sleep 1; done"
        shell = true
        cwd = "web/."
        stop = { signal = "INT" }

        [services.proxy]
        command = ["docker", "run", "-p", "{port}:80", "nginx"]
        port = "auto"
        ready = { tcp = true, owner = "any" }

        [services.gone]
        command = ["x"]
        enabled = false
        "#,
    );
    assert_eq!(names(&spec), ["jupyter", "server", "board", "worker", "proxy"]);
    let board = service(&spec, "board");
    assert_eq!(board.kind, Kind::Web);
    // Absolute, not resolved.
    assert_eq!(board.argv[0].as_path(), world.path.join(".venv/bin/python"));
    assert_eq!(board.ready.check, http("/"));
    assert_eq!(board.stop, StopSpec::web(5_000));
    assert_eq!(board.restart.policy, RestartPolicy::Always);
    assert_eq!((board.restart.first_ms, board.restart.healthy_after_ms), (1_000, 120_000));
    assert_eq!((board.restart.cap_ms, board.restart.start_limit), (90_000, Some(5)));
    assert!(!board.env.contains_key("PORT"));
    assert_eq!(board.found, "pipd.toml");

    let worker = service(&spec, "worker");
    assert_eq!(worker.kind, Kind::Command);
    assert_eq!(argv(worker), ["/bin/sh", "-c", "while true; do date; sleep 1; done"]);
    assert_eq!(worker.ready.check, ReadyCheck::None);
    assert_eq!(worker.stop, StopSpec::command(Signal::Int, 5_000));
    assert_eq!((worker.port, worker.url_path.as_str()), (None, ""));
    assert_eq!(worker.cwd.as_path(), world.path.join("web"));

    let proxy = service(&spec, "proxy");
    assert_eq!(argv(proxy)[0], "docker");
    assert_eq!(proxy.kind, Kind::Command);
    assert_eq!(proxy.port, Some(PortSpec::Auto(8000)));
    assert_eq!(proxy.ready.check, ReadyCheck::Tcp);
    assert!(proxy.ready.any_owner);
}

#[test]
fn commands_replace_what_was_found() {
    let (_, spec) = load(
        r#"
        [services.server]
        command = ["uvicorn", "main:app", "--port={port}"]
        [services.jupyter]
        command = ["jupyter", "notebook", "--port={port}"]
        port = 9999
        "#,
    );
    let server = service(&spec, "server");
    assert_eq!((argv(server)[0].as_str(), server.port), ("uvicorn", Some(PortSpec::Fixed(5001))));
    assert_eq!((server.kind, server.found.as_str()), (Kind::Web, "pipd.toml"));
    let jupyter = service(&spec, "jupyter");
    assert_eq!((jupyter.kind, jupyter.port), (Kind::Jupyter, Some(PortSpec::Fixed(9999))));
    assert_eq!(argv(jupyter)[..2], ["jupyter", "notebook"]);
}

#[test]
fn ports_may_be_the_next_free_ones() {
    let (_, spec) = load("[workspace]\nports = \"auto\"\n[services.server]\nscript = \"server.py\"\n");
    assert_eq!(service(&spec, "jupyter").port, Some(PortSpec::Auto(8888)));
    assert_eq!(service(&spec, "server").port, Some(PortSpec::Auto(5001)));
}

#[test]
fn a_script_need_not_be_understood() {
    let world = World::complete()
        .file("tools/run.py", "run()")
        .file("pipd.toml", "[services.server]\nscript = \"run.py\"\ncwd = \"tools\"\n");
    let spec = world.load().unwrap();
    let server = service(&spec, "server");
    assert_eq!((argv(server)[1].as_str(), server.found.as_str()), ("run.py", "pipd.toml says run.py"));
}

#[test]
fn watched_files_are_few_and_known() {
    let mut world = World::complete().file("pipd.toml", "").file("notes.md", "").file("sub/deep.py", "");
    for index in 0..80 {
        world = world.file(&format!("m{index:02}.py"), "");
    }
    let spec = world.load().unwrap();
    let watch: Vec<_> =
        service(&spec, "server").watch.iter().map(|file| world.anonymous(&file.to_string_lossy())).collect();
    assert_eq!(watch[..4], ["/ws/pipd.toml", "/ws/.venv/pyvenv.cfg", "/ws/server.py", "/ws/m00.py"]);
    assert_eq!(watch.len(), 2 + 64);
}

#[test]
fn pyproject_is_read_the_same_way_and_gives_way() {
    let table = "[project]\nname = \"x\"\n[tool.ruff]\nline-length = 1\n[tool.pipd.services.web]\ncommand = [\"a\"]\n";
    let world = World::complete().file("pyproject.toml", table);
    let spec = world.load().unwrap();
    assert_eq!(names(&spec), ["jupyter", "server", "web"]);
    assert_eq!(service(&spec, "web").found, "pyproject.toml");
    let world = world.file("pipd.toml", "");
    let spec = world.load().unwrap();
    assert_eq!(names(&spec), ["jupyter", "server"]);
    assert_eq!(
        spec.warnings,
        ["pyproject.toml has [tool.pipd] too; it is not read while there is a pipd.toml"]
    );
}

#[test]
fn windows_line_ends_and_byte_order_marks_are_text() {
    let text = "\u{feff}[services.web]\r\ncommand = [\"a\"]\r\n# end\r\n";
    let world = World::complete().file("pipd.toml", text);
    assert_eq!(names(&world.load().unwrap()), ["jupyter", "server", "web"]);
}
