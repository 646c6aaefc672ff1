//! Which folder is the workspace.

mod common;

use std::path::Path;

use common::{FASTHTML, World};
use workspace::{Caller, Error, Root, find_root};

const CFG: &str = "home = /\n";

/// Looks from `start` (relative) and gives the folder (relative) and the reason.
fn find(world: &World, start: &str, home: Option<&str>) -> Result<(String, String), Error> {
    let caller = Caller { home: home.map(|home| world.path.join(home)), ..world.caller() };
    let Root { path, why, .. } = find_root(Path::new(start), &caller)?;
    let inner = path.strip_prefix(&world.path).unwrap_or(&path);
    Ok((inner.to_string_lossy().into_owned(), why))
}

#[test]
fn the_nearest_sign_wins() {
    for (files, start, expected) in [
        (&["pipd.toml"][..], "", ("", "pipd.toml")),
        (&["pipd.toml"], "a/b", ("", "pipd.toml")),
        (&["a/pipd.toml", "pipd.toml"], "a/b", ("a", "pipd.toml")),
        // Nearest, whatever the sign.
        (&["a/.venv/pyvenv.cfg", "pipd.toml"], "a/b", ("a", ".venv")),
        (&["a/venv/bin/python", "pipd.toml"], "a/b", ("a", "venv")),
        // In one folder the strongest.
        (&["pipd.toml", ".venv/pyvenv.cfg", "server.py"], "", ("", "pipd.toml")),
        (&[".venv/pyvenv.cfg", "venv/pyvenv.cfg", "server.py"], "", ("", ".venv")),
        (&["server.py", "requirements.txt"], "", ("", "server.py")),
        (&["requirements.txt"], "", ("", "requirements.txt")),
        // Weak signs give way to strong ones above.
        (&["pipd.toml", "a/server.py"], "a", ("", "pipd.toml")),
        (&[".venv/pyvenv.cfg", "docs/requirements.txt"], "docs", ("", ".venv")),
        (&["requirements.txt", "a/server.py"], "a", ("a", "server.py")),
        // A folder of that name alone says nothing.
        (&[".venv/readme", "server.py"], "", ("", "server.py")),
    ] {
        let mut world = World::new().folder("a/b").folder("docs").folder(".git");
        for file in files {
            world = world.file(file, CFG);
        }
        let found = find(&world, start, None).unwrap();
        assert_eq!((found.0.as_str(), found.1.as_str()), expected, "{files:?} from {start:?}");
    }
}

#[test]
fn a_table_in_pyproject_is_a_sign_and_other_pyprojects_are_none() {
    let world =
        World::new().file(".git", "gitdir: elsewhere").file("pyproject.toml", "[tool.pipd]\n").folder("a");
    assert_eq!(find(&world, "a", None).unwrap().1, "[tool.pipd] in pyproject.toml");

    for other in ["[tool.ruff]\n", "[project]\nname = \"pipd-demo\"\n", "not toml at all = = pipd"] {
        let world = World::new().folder(".git").file("pyproject.toml", other);
        assert!(matches!(find(&world, "", None), Err(Error::NoWorkspace { .. })), "{other}");
    }
}

#[test]
fn the_git_root_is_the_end_and_counts_itself() {
    let world = World::new().file("pipd.toml", "").folder("repo/.git").folder("repo/src");
    let Err(Error::NoWorkspace { looked, border, .. }) = find(&world, "repo/src", None) else { panic!() };
    assert_eq!(looked, [world.path.join("repo/src"), world.path.join("repo")]);
    assert!(border.starts_with("the git root"), "{border}");

    let world = world.file("repo/.venv/pyvenv.cfg", CFG);
    assert_eq!(find(&world, "repo/src", None).unwrap().0, "repo");
}

#[test]
fn home_counts_only_with_a_file_made_for_us() {
    let world =
        World::new().file("home/.venv/pyvenv.cfg", CFG).file("home/server.py", FASTHTML).folder("home/a");
    for start in ["home", "home/a"] {
        let Err(error) = find(&world, start, Some("home")) else { panic!("{start}") };
        assert!(error.to_string().contains("the home folder"), "{error}");
    }
    let world = world.file("home/pipd.toml", "");
    assert_eq!(find(&world, "home/a", Some("home")).unwrap().0, "home");
    assert_eq!(find(&world, "home", Some("home")).unwrap().0, "home");
}

#[test]
fn nothing_above_home_is_looked_at() {
    let world = World::new().file("pipd.toml", "").folder("home/a");
    let Err(Error::NoWorkspace { looked, .. }) = find(&world, "home/a", Some("home")) else { panic!() };
    assert_eq!(looked.last(), Some(&world.path.join("home")));
}

#[test]
fn home_may_be_a_link() {
    let world = World::new().folder("real/a").file("real/server.py", FASTHTML).link("home", "real");
    assert!(find(&world, "real/a", Some("home")).is_err());
}

#[test]
fn the_path_is_canonical_and_a_file_stands_for_its_folder() {
    let world = World::complete().link("alias", ".").folder(".git");
    assert_eq!(find(&world, "alias/server.py", None).unwrap().0, "");
    assert_eq!(find(&world, "alias", None).unwrap().0, "");
}

#[test]
fn a_folder_passed_over_is_mentioned() {
    let world = World::new().file("pipd.toml", "").file("a/server.py", FASTHTML);
    let root = find_root(Path::new("a"), &world.caller()).unwrap();
    let notes = world.anonymous(&root.notes.join("\n"));
    assert_eq!(
        notes,
        "/ws/a has server.py, but /ws above it has pipd.toml; a pipd.toml in /ws/a makes it a workspace of its own"
    );
}

#[test]
fn links_that_lead_nowhere_are_signs_too() {
    for name in ["pipd.toml", ".venv"] {
        let world = World::new().link(name, "/nowhere/at/all").folder("a").folder(".git");
        assert_eq!(find(&world, "a", None).unwrap(), (String::new(), name.to_owned()));
    }
}

#[test]
fn what_was_looked_at_is_said_with_the_command_to_type() {
    let world = World::new().folder(".git").folder("a");
    let caller = world.caller();
    let error = find_root(Path::new("a"), &caller).unwrap_err();
    assert_eq!(
        world.anonymous(&error.render(false)),
        "error: no workspace in /ws/a or above it
  - looked in /ws/a
  - looked in /ws
  - the search ends at the git root /ws
  - a workspace has pipd.toml, [tool.pipd] in pyproject.toml, .venv, venv, server.py or requirements.txt
type: cd /ws/a && echo jupyterlab > requirements.txt && pipctl setup && pipctl start
"
    );
    let error = find_root(Path::new("missing"), &caller).unwrap_err();
    assert_eq!(
        world.anonymous(&error.to_string()),
        "/ws/missing: No such file or directory (os error 2); type: pipctl list"
    );
}
