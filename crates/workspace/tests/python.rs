//! Which Python, and what is said of one that cannot run.

mod common;

use common::{World, argv, env, fixture, names, service, variable};
use workspace::{Caller, Error};

fn note<'a>(notes: &'a [String], beginning: &str) -> &'a str {
    notes
        .iter()
        .find_map(|note| note.strip_prefix(beginning))
        .unwrap_or_else(|| panic!("{beginning}: {notes:?}"))
}

#[test]
fn the_order_of_interpreters() {
    // Every one has JupyterLab; they are taken away one by one.
    let everything = [".venv", "venv", "elsewhere/active", "elsewhere/conda", "path"];
    let expected = [
        ".venv/bin/python",
        "venv/bin/python",
        "/ws/elsewhere/active/bin/python ($VIRTUAL_ENV)",
        "/ws/elsewhere/conda/bin/python ($CONDA_PREFIX)",
        "/ws/path/python3 (python3 on the PATH)",
    ];
    for (first, label) in expected.iter().enumerate() {
        let mut world = World::new().folder("elsewhere");
        for name in &everything[first..] {
            world = match *name {
                "path" => world.link("path/python3", fixture("python-with-jupyterlab")),
                "elsewhere/conda" => {
                    world.link("elsewhere/conda/bin/python", fixture("python-with-jupyterlab"))
                }
                name => world.venv(name, "python-without-jupyterlab").jupyterlab(name),
            };
        }
        let at = |name: &str| world.path.join(name).to_string_lossy().into_owned();
        let mut vars = vec![("PATH", format!("relative::{}", at("path")))];
        if first <= 2 {
            vars.push(("VIRTUAL_ENV", at("elsewhere/active")));
        }
        if first <= 3 {
            vars.push(("CONDA_PREFIX", at("elsewhere/conda")));
        }
        let vars: Vec<_> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let caller = Caller { env: env(&vars), ..world.caller() };
        let spec = world.load_as(&caller).unwrap();
        assert_eq!(world.anonymous(note(&spec.notes, "python: ")), *label);
        let program = world.anonymous(&argv(service(&spec, "jupyter"))[0]);
        assert!(label.contains(program.trim_start_matches("/ws/")), "{program} is not {label}");
    }
}

#[test]
fn the_link_to_the_interpreter_is_never_resolved() {
    let spec = World::complete().load().unwrap();
    let jupyter = service(&spec, "jupyter");
    assert!(argv(jupyter)[0].ends_with("/.venv/bin/python"), "{jupyter:?}");
}

#[test]
fn the_environment_comes_first_on_the_path_once() {
    let world = World::complete();
    let bin = world.path.join(".venv/bin").to_string_lossy().into_owned();
    for before in ["/usr/bin:/bin".to_owned(), format!("{bin}:/usr/bin:/bin"), format!("/usr/bin:{bin}:/bin")]
    {
        let caller = Caller { env: env(&[("PATH", &before), ("PYTHONHOME", "/x")]), ..world.caller() };
        let spec = world.load_as(&caller).unwrap();
        for name in ["jupyter", "server"] {
            let service = service(&spec, name);
            assert_eq!(variable(service, "PATH"), Some(format!("{bin}:/usr/bin:/bin")));
            assert_eq!(
                variable(service, "VIRTUAL_ENV"),
                Some(world.path.join(".venv").to_string_lossy().into_owned())
            );
            assert_eq!(variable(service, "PYTHONHOME"), None);
            assert_eq!(variable(service, "PYTHONUNBUFFERED").as_deref(), Some("1"));
        }
    }
}

#[test]
fn a_stale_activated_environment_is_passed_over_aloud() {
    let world = World::new().link("path/python3", fixture("python-with-jupyterlab"));
    let path = world.path.join("path");
    let vars = [("PATH", path.to_str().unwrap()), ("VIRTUAL_ENV", "/nowhere/venv")];
    let spec = world.load_as(&Caller { env: env(&vars), ..world.caller() }).unwrap();
    assert_eq!(spec.warnings, ["$VIRTUAL_ENV is /nowhere/venv, which does not exist; it was passed over"]);
    assert_eq!(
        service(&spec, "jupyter").found,
        format!("jupyterlab 4.6.6 in {}/python3 (python3 on the PATH)", path.display())
    );
}

#[test]
fn broken_environments_are_named_with_the_command_that_mends_them() {
    let dangling = World::new()
        .file(".venv/pyvenv.cfg", "home = /")
        .link(".venv/bin/python3", "/nix/store/gone/python3");
    let dangling = dangling.link(".venv/bin/python", "python3");
    for (world, problem, mend) in [
        (
            dangling,
            ".venv is broken: /ws/.venv/bin/python is a link to /nix/store/gone/python3, which does not exist",
            "echo jupyterlab > requirements.txt && pipctl setup",
        ),
        (
            World::new().file(".venv/pyvenv.cfg", "home = /").file("requirements.txt", "x"),
            ".venv is broken: it has no bin/python",
            "pipctl setup",
        ),
        (
            World::new()
                .file(".venv/pyvenv.cfg", "home = /gone/bin\nuv = 0.9.1")
                .link(".venv/bin/python", fixture("python-with-jupyterlab")),
            ".venv is broken: it was made from the Python in /gone/bin, which is gone",
            "echo jupyterlab > requirements.txt && pipctl setup",
        ),
        (
            World::new().file("venv/bin/python", "not a program"),
            "venv is broken: /ws/venv/bin/python is not executable",
            "echo jupyterlab > requirements.txt && pipctl setup",
        ),
        (
            World::new().link(".venv", "/nowhere"),
            ".venv is a link to /nowhere, which does not exist",
            "echo jupyterlab > requirements.txt && pipctl setup",
        ),
    ] {
        let error = world.load().unwrap_err();
        assert!(matches!(error, Error::Python { .. }), "{error}");
        assert_eq!(world.anonymous(&error.to_string()), format!("{problem}; type: {mend}"));
        let away = Caller { cwd: "/".into(), ..world.caller() };
        let error = world.load_as(&away).unwrap_err();
        assert_eq!(world.anonymous(error.command()), format!("cd /ws && {mend}"));
    }
}

#[test]
fn a_broken_environment_is_an_error_only_for_those_who_need_it() {
    let broken = || World::new().file(".venv/pyvenv.cfg", "home = /");
    let world = broken().file("pipd.toml", "[services.web]\ncommand = [\"true\"]\n");
    let spec = world.load().unwrap();
    assert_eq!(names(&spec), ["web"]);
    assert_eq!(
        spec.warnings,
        ["could not tell whether jupyterlab is installed: .venv is broken: it has no bin/python"]
    );
    assert!(broken().file("server.py", common::FASTHTML).load().is_err());
    assert!(broken().file("pipd.toml", "[services.jupyter]\n").load().is_err());
    let other = "[services.server]\ncommand = [\"true\"]\n[services.jupyter]\nenabled = false";
    assert!(broken().file("server.py", common::FASTHTML).file("pipd.toml", other).load().is_ok());
}

#[test]
fn no_python_at_all() {
    let world = World::new().file("server.py", common::FASTHTML);
    let error = world.load().unwrap_err();
    assert!(
        world.anonymous(&error.to_string()).starts_with("no Python for /ws: no .venv, no venv"),
        "{error}"
    );
}

#[test]
fn the_configured_interpreter() {
    let with = |python: &str| World::new().file("pipd.toml", format!("[workspace]\npython = {python:?}\n"));
    for (python, label) in
        [("env", "env/bin/python"), ("./env/", "./env/bin/python"), ("env/bin/python", "env/bin/python")]
    {
        let world = with(python).venv("env", "python-without-jupyterlab").jupyterlab("env");
        let spec = world.load().unwrap();
        assert_eq!(note(&spec.notes, "python: "), label);
        let jupyter = service(&spec, "jupyter");
        assert_eq!(world.anonymous(&argv(jupyter)[0]), "/ws/env/bin/python");
        assert_eq!(
            variable(jupyter, "VIRTUAL_ENV"),
            Some(world.path.join("env").to_string_lossy().into_owned())
        );
    }
}

#[test]
fn jupyterlab_is_found_by_files_or_by_asking() {
    let asked = |python: &str| World::new().venv(".venv", python);
    let has = |world: &World| world.load().is_ok_and(|spec| names(&spec) == ["jupyter"]);

    // Files say yes: Python, which would say no, is not asked.
    assert!(has(&asked("python-without-jupyterlab").jupyterlab(".venv")));
    // Files say no, and nothing else could say otherwise: Python, which would say yes, is not asked.
    assert!(!has(&asked("python-with-jupyterlab")));
    assert!(!has(&asked("python-with-jupyterlab")
        .file(".venv/lib/python3.11/site-packages/distutils-precedence.pth", "")));
    // The system's packages are visible, an editable install, no folder at all: Python is asked.
    let cfg = "home = /\ninclude-system-site-packages = true\n";
    assert!(has(&asked("python-with-jupyterlab").file(".venv/pyvenv.cfg", cfg)));
    assert!(!has(&asked("python-without-jupyterlab").file(".venv/pyvenv.cfg", cfg)));
    let editable = ".venv/lib/python3.11/site-packages/__editable__.jupyterlab.pth";
    assert!(has(&asked("python-with-jupyterlab").file(editable, "import x")));
    let bare = World::new()
        .file(".venv/pyvenv.cfg", "home = /")
        .link(".venv/bin/python", fixture("python-with-jupyterlab"));
    assert!(has(&bare));
}

#[test]
fn a_python_that_fails_is_said_to() {
    let cfg = "home = /\ninclude-system-site-packages = true\n";
    let world = World::new().venv(".venv", "python-that-fails").file(".venv/pyvenv.cfg", cfg);
    let error = world.load().unwrap_err();
    assert!(error.to_string().contains(".venv/bin/python failed when asked for its packages"), "{error}");
}
