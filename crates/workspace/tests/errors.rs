//! Every complaint about a configuration, as people see it: `errors/<case>.toml` is complained about with the words
//! of `errors/<case>.txt`. After a change of words: `UPDATE_GOLDEN=1 cargo test -p pipd-workspace --test errors`.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::World;
use workspace::{Caller, Error};

fn world() -> World {
    World::complete().folder("web").file(".env", "A=1\n")
}

#[test]
fn the_words_of_every_complaint() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let mut cases: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    cases.sort();
    assert!(cases.len() > 70);
    let mut wrong = Vec::new();
    for case in cases {
        let text = fs::read_to_string(&case).unwrap();
        let world = world().file("pipd.toml", &text);
        let error = match world.load() {
            Ok(_) => panic!("{} is accepted", case.display()),
            Err(error) => error,
        };
        assert!(matches!(error, Error::Config(_)), "{}: {error}", case.display());
        let shown = world.anonymous(&format!("{}\n{error}\n", error.render(false)));
        let golden = case.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &shown).unwrap();
        } else if fs::read_to_string(&golden).unwrap_or_default() != shown {
            wrong.push(format!("{}:\n{shown}", golden.display()));
        }
    }
    assert!(wrong.is_empty(), "differs (UPDATE_GOLDEN=1 accepts):\n{}", wrong.join("\n"));
}

#[test]
fn the_place_is_the_files_own_line_in_pyproject_too() {
    let text = "[project]\nname = \"x\"\n\n[tool.pipd.services.web]\ncommand = [\"true\"]\nprot = 1\n";
    let world = world().file("pyproject.toml", text);
    let Err(Error::Config(error)) = world.load() else { panic!() };
    assert_eq!((error.path(), error.position()), (world.path.join("pyproject.toml").as_path(), (6, 1)));
    let shown = error.render(false);
    assert!(shown.contains("unknown key `prot` in [tool.pipd.services.web]"), "{shown}");
    assert!(shown.contains("did you mean `port`?"), "{shown}");

    let world = World::complete().file("pyproject.toml", "[tool.pipd]\nx = = 1\n");
    let Err(Error::Config(error)) = world.load() else { panic!() };
    assert_eq!(error.position(), (2, 5));
}

#[test]
fn the_place_is_right_behind_byte_order_marks_and_windows_line_ends() {
    let world = world().file("pipd.toml", "\u{feff}[services.web]\r\ncommand = [\"true\"]\r\n  prot = 1\r\n");
    let Err(Error::Config(error)) = world.load() else { panic!() };
    assert_eq!(error.position(), (3, 3));
    let world = world.file("pipd.toml", "\u{feff}prot = 1\r\n");
    let Err(Error::Config(error)) = world.load() else { panic!() };
    assert_eq!(error.position(), (1, 1));
    let shown = world.anonymous(&error.render(false));
    assert!(!shown.contains('\r'), "{shown:?}");
}

#[test]
fn bytes_that_are_no_text_have_a_place() {
    let world = world().file("pipd.toml", b"[workspace]\npython = \"\xff\"\n");
    let Err(Error::Config(error)) = world.load() else { panic!() };
    assert_eq!(error.position(), (2, 11));
    assert!(error.render(false).contains("this byte is not UTF-8"));
}

#[test]
fn color_is_asked_for() {
    let world = world().file("pipd.toml", "prot = 1");
    let error = world.load().unwrap_err();
    assert!(error.render(true).contains('\x1b'));
    assert!(!error.render(false).contains('\x1b'));
    let error = World::new().load().unwrap_err();
    assert!(error.render(true).contains('\x1b'));
    assert!(!error.render(false).contains('\x1b'));
}

#[test]
fn files_that_cannot_be_read() {
    for (world, expected) in [
        (World::complete().folder("pipd.toml"), "/ws/pipd.toml: not a file; type: ls -ld pipd.toml"),
        (
            World::complete().link("pipd.toml", "/nowhere/pipd.toml"),
            "/ws/pipd.toml: a link to /nowhere/pipd.toml, which does not exist; type: rm pipd.toml",
        ),
        (
            World::complete().file("pipd.toml", vec![b'#'; (1 << 20) + 1]),
            "/ws/pipd.toml: longer than 1 MiB, which is not a configuration; type: ls -l pipd.toml",
        ),
    ] {
        let error = world.load().unwrap_err();
        assert_eq!(world.anonymous(&error.to_string()), expected);
        let away = world.load_as(&Caller { cwd: "/".into(), ..world.caller() }).unwrap_err();
        assert!(world.anonymous(away.command()).starts_with("cd /ws && "), "{away}");
    }
    assert!(World::complete().file("pipd.toml", vec![b'#'; 1 << 20]).load().is_ok());
}

#[test]
fn a_file_without_permission() {
    let world = World::complete().file("pipd.toml", "");
    let path = world.path.join("pipd.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        return; // root reads everything
    }
    let error = world.load().unwrap_err();
    assert_eq!(
        world.anonymous(&error.to_string()),
        "/ws/pipd.toml: permission denied; type: chmod u+r pipd.toml"
    );
}
