//! Files and folders a service names and that are not there: the service is told, the others are as they were.

#![allow(clippy::unwrap_used, reason = "what cannot go on has failed the test")]

mod common;

use common::{World, names, service};
use wire::{Absent, Place};

fn world(config: &str) -> World {
    World::complete().folder("web").file(".env", "A=1\n").file("pipd.toml", config)
}

/// What `web` (or another service) misses: detail and hint.
fn told(config: &str, name: &str) -> Vec<(Place, String, String)> {
    let world = world(config);
    let spec = world.load().unwrap();
    let words = |absent: &Absent| {
        let hint = absent.hint.clone().unwrap_or_default();
        (absent.wanted, world.anonymous(&absent.detail), world.anonymous(&hint))
    };
    service(&spec, name).absent.iter().map(words).collect()
}

#[test]
fn each_service_is_told_what_it_misses_and_where_it_says_so() {
    for (config, wanted, detail, hint) in [
        (
            "[services.web]\ncommand = [\"true\"]\ncwd = \"wbe\"\n",
            Place::Folder,
            "no such folder: /ws/wbe does not exist (/ws/pipd.toml:3:7)",
            "correct line 3 of /ws/pipd.toml (did you mean `web`?), then type: pipctl start web",
        ),
        (
            "[services.web]\ncommand = [\"true\"]\ncwd = \"server.py\"\n",
            Place::Folder,
            "no such folder: /ws/server.py is not a folder (/ws/pipd.toml:3:7)",
            "correct line 3 of /ws/pipd.toml, then type: pipctl start web",
        ),
        (
            "[services.web]\ncommand = [\"true\"]\nenv_file = [\".env\", \"web/.evn\"]\n",
            Place::File,
            "no such env file: /ws/web/.evn does not exist (/ws/pipd.toml:3:21)",
            "correct line 3 of /ws/pipd.toml, then type: pipctl start web",
        ),
        (
            "[services.web]\ncommand = [\".venv/bin/pyton\", \"x\"]\n",
            Place::Program,
            "cannot run `.venv/bin/pyton`: /ws/.venv/bin/pyton does not exist (/ws/pipd.toml:2:12)",
            "correct line 2 of /ws/pipd.toml (did you mean `.venv/bin/python`?), then type: pipctl start web",
        ),
        (
            "[services.web]\ncommand = [\"./server.py\"]\n",
            Place::Program,
            "cannot run `./server.py`: /ws/server.py is not executable (/ws/pipd.toml:2:12)",
            "correct line 2 of /ws/pipd.toml, then type: pipctl start web",
        ),
        (
            "[services.web]\ncommand = [\"./web\"]\n",
            Place::Program,
            "cannot run `./web`: /ws/web is not a file (/ws/pipd.toml:2:12)",
            "correct line 2 of /ws/pipd.toml, then type: pipctl start web",
        ),
        (
            "[services.web]\ncommand = [\"~/bin/x\"]\n",
            Place::Program,
            "cannot run `~/bin/x`: /ws/~/bin/x does not exist (/ws/pipd.toml:2:12)",
            "correct line 2 of /ws/pipd.toml (`~` is not expanded: write the path out), then type: pipctl start web",
        ),
    ] {
        assert_eq!(told(config, "web"), [(wanted, detail.to_owned(), hint.to_owned())], "{config}");
        assert_eq!(told(config, "jupyter"), [], "{config}");
        assert_eq!(told(config, "server"), [], "{config}");
    }
}

#[test]
fn a_script_that_is_gone_is_the_servers_affair() {
    let config = "[services.server]\nscript = \"srever.py\"\n";
    let detail = "no such script: /ws/srever.py does not exist (/ws/pipd.toml:2:10)";
    assert_eq!(told(config, "server")[0].1, detail);
    assert_eq!(told(config, "jupyter"), []);
}

#[test]
fn what_all_services_share_keeps_all_of_them_down() {
    let config = "[workspace]\nenv_file = \"nope\"\n\n[services.web]\ncommand = [\"true\"]\n";
    for name in ["jupyter", "server", "web"] {
        assert_eq!(told(config, name)[0].1, "no such env file: /ws/nope does not exist (/ws/pipd.toml:2:12)");
    }
    assert_eq!(names(&world(config).load().unwrap()).len(), 3);
}

#[test]
fn it_is_tried_again_when_it_comes() {
    let world = world("[services.web]\ncommand = [\"./tool\"]\ncwd = \"later\"\n");
    let watch = service(&world.load().unwrap(), "web").watch.clone();
    for name in ["tool", "later"] {
        assert!(watch.contains(&world.path.join(name).as_path().into()), "{name} in {watch:?}");
    }
}
