//! What people install, made, installed, used and removed again. It takes minutes: made where `CI=true`, or with
//! `PIPD_TEST_PACKAGES=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{LIMIT, SystemdBox, package, wanted};
use testkit::{Sandbox, exit, get, repository, shared_tool, skip};

/// The programs that belong together.
const PROGRAMS: [&str; 3] = ["pipctl", "pipd", "pipd-shim"];

/// A `pipd.toml` with one service that needs nothing but the programs themselves.
fn stub_service(pipctl: &Path, port: &str) -> String {
    format!(
        "[services.web]\ncommand = [{:?}, \"selftest-stub\", \"--listen\", \"{port}\"]\nport = {port}\n",
        pipctl.to_str().unwrap()
    )
}

/// The programs do what they are for, from where they are installed.
fn works(pipctl: &Path) {
    let sandbox = Sandbox::new(pipctl);
    sandbox.pipctl(&["version"]).ok().says("pipd is not running");
    let port = sandbox.port();
    let workspace = sandbox.workspace("installed");
    workspace.config(&stub_service(pipctl, &port.to_string()));
    workspace.pipctl(&["start"]).ok();
    assert_eq!(get(&format!("http://127.0.0.1:{port}/")).unwrap().status, 200);
    let said = sandbox.pipctl(&["daemon", "status"]).ok();
    let daemon = pipctl.with_file_name("pipd").canonicalize().unwrap();
    assert!(said.stdout.contains(daemon.to_str().unwrap()), "{} expected in {said}", daemon.display());
    workspace.pipctl(&["stop"]).ok();
}

#[test]
fn a_wheel_is_installed_used_and_removed() {
    let Some(made) = wanted() else { return };
    let sandbox = Sandbox::new(&made.programs.join("pipctl"));
    let venv = sandbox.folder().join("venv");
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
    let run = |program: &Path, arguments: &[&str]| {
        let mut command = sandbox.command(program);
        command.args(arguments);
        sandbox.run(command, LIMIT).ok()
    };
    run(Path::new(&python), &["-m", "venv", venv.to_str().unwrap()]);
    run(
        &venv.join("bin/python"),
        &["-m", "pip", "install", "--no-index", "--disable-pip-version-check", made.wheel.to_str().unwrap()],
    );
    for program in PROGRAMS {
        let (installed, built) = (venv.join("bin").join(program), made.programs.join(program));
        assert!(std::fs::read(installed).unwrap() == std::fs::read(built).unwrap(), "{program}");
    }
    let share = ["man/man1/pipctl.1", "bash-completion/completions/pipctl", "zsh/site-functions/_pipctl"];
    for file in share {
        assert!(venv.join("share").join(file).is_file(), "{file}");
    }
    works(&venv.join("bin/pipctl"));

    run(&venv.join("bin/python"), &["-m", "pip", "uninstall", "--yes", "pipd"]);
    for program in PROGRAMS {
        assert!(!venv.join("bin").join(program).exists(), "{program}");
    }
    assert!(!venv.join("share/man/man1/pipctl.1").exists());
}

#[test]
fn cargo_installs_all_programs_at_once() {
    let Some(made) = wanted() else { return };
    let sandbox = Sandbox::new(&made.programs.join("pipctl"));
    let root = sandbox.folder().join("root");
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(repository()).args(arguments).arg("--root").arg(&root);
        sandbox.run(cargo, LIMIT).ok()
    };
    cargo(&["install", "--locked", "--path", "crates/pipd"]);
    works(&root.join("bin/pipctl"));
    cargo(&["uninstall", "pipd"]);
    assert_eq!(std::fs::read_dir(root.join("bin")).unwrap().count(), 0);
}

#[test]
fn the_programs_are_small_enough_and_their_pages_show_no_hidden_verb() {
    let Some(made) = wanted() else { return };
    let sandbox = Sandbox::new(&made.programs.join("pipctl"));
    let sizes = sandbox.run(package(&["size"]), LIMIT).ok();
    assert!(sizes.stdout.contains("the programs together"), "{sizes}");
    let pages = made.programs.join("share/man/man1");
    let mut names: Vec<String> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    for verb in ["pipctl.1", "pipctl-start.1", "pipctl-selftest.1", "pipctl-daemon-restart.1", "pipd.1"] {
        assert!(names.contains(&verb.to_owned()), "{verb} expected in {names:?}");
    }
    for name in names {
        let page = std::fs::read_to_string(pages.join(&name)).unwrap();
        let hidden = ["stub", "complete-"].iter().any(|word| name.contains(word));
        assert!(page.contains(".SH NAME") && !page.contains("selftest\\-stub") && !hidden, "{name}");
    }
    // What is asked for and does not exist is refused.
    sandbox.run(package(&["nonsense"]), LIMIT).expect(exit::USAGE).says("usage: cargo xtask package");
}

#[test]
fn case_93_a_debian_package_removed_while_services_run_names_them_and_leaves_no_autostart() {
    let Some(made) = wanted() else { return };
    let Some(tool) = shared_tool("systemd-box") else { skip!("no systemd-box beside the repository") };
    if !nix::unistd::geteuid().is_root() {
        skip!("systemd-box needs root");
    }
    let boxed = SystemdBox::up(tool, &format!("pipd-deb-{}", std::process::id()));
    boxed.copy_in(&made.deb, "/tmp/pipd.deb");
    // So that the services do not end with each of the short sessions below.
    boxed.root("loginctl enable-linger dev").ok();
    boxed.root("dpkg -i /tmp/pipd.deb").ok();
    boxed.dev("pipctl version").ok().says("pipctl ");
    boxed.dev("test -f /usr/share/man/man1/pipctl.1.gz -o -f /usr/share/man/man1/pipctl.1").ok();
    boxed.dev("bash -c '. /usr/share/bash-completion/completions/pipctl && complete -p pipctl'").ok();
    boxed.dev("pipctl selftest").ok().says("all kept");

    boxed.dev("mkdir w").ok();
    boxed.write("w/pipd.toml", &stub_service(Path::new("/usr/bin/pipctl"), "5001"));
    // The session that typed it ends; what it started stays.
    boxed.dev("cd w && pipctl start").ok();
    let service = "pgrep -f '^/usr/bin/pipctl selftest-stub'";
    let before = boxed.dev(service).ok().stdout;

    // The same again is an upgrade; the daemon is the old one, and that is said.
    boxed.root("dpkg -i /tmp/pipd.deb").ok().says("pipctl daemon restart");
    boxed.dev("pipctl daemon restart").ok().says("1 of 1 kept their pid");

    boxed.dev("pipctl autostart enable").ok();
    boxed.dev("pipctl autostart disable").ok();
    let removed = boxed.root("dpkg -r pipd").ok();
    for part in ["pipd of dev", "service of dev", "selftest-stub", "pipctl autostart disable --stop"] {
        assert!(removed.all().contains(part), "{part:?} expected in {removed}");
    }
    boxed.root("! ls /usr/bin/pipctl /usr/bin/pipd /usr/bin/pipd-shim 2>/dev/null").ok();
    assert_eq!(boxed.dev(service).ok().stdout, before, "a service ended");
    // Nothing that starts it by itself stays.
    boxed.root("! find /etc /usr/lib/systemd /home/dev/.config -name '*pipd*' 2>/dev/null | grep .").ok();

    boxed.root("dpkg -i /tmp/pipd.deb").ok();
    boxed.dev("pipctl autostart disable --stop").ok();
    boxed.dev(service).expect(1);
    boxed.root("dpkg -P pipd").ok();
}

#[test]
fn the_flake_is_sound_and_its_shell_starts_the_servers() {
    let Some(made) = wanted() else { return };
    let Some(tool) = shared_tool("check-flake") else { skip!("no check-flake beside the repository") };
    if !nix::unistd::geteuid().is_root() {
        skip!("check-flake needs root");
    }
    let sandbox = Sandbox::new(&made.programs.join("pipctl"));
    let source = common::tracked_files(&sandbox.folder().join("source"));
    let mut check = Command::new(&tool);
    check.current_dir(&source);
    sandbox.run(check, LIMIT).ok().says("package 'pipd-");
    let mut eval = Command::new(&tool);
    eval.current_dir(&source).args(["eval", ".#apps.aarch64-darwin.default.program"]);
    sandbox.run(eval, LIMIT).ok().says("/bin/pipctl");

    // The shell of a workspace, by the template; its python3 is this machine's.
    let port = sandbox.port();
    let workspace = sandbox.workspace("flake");
    workspace.config(&stub_service(&made.programs.join("pipctl"), &port.to_string()));
    workspace.write(".venv/pyvenv.cfg", "");
    let template = repository().join("packaging/nix-template/flake.nix");
    workspace.write("flake.nix", &std::fs::read_to_string(template).unwrap());
    common::git(workspace.root(), &["init", "--quiet"]);
    common::git(workspace.root(), &["add", "flake.nix"]);
    let mut shell = common::with_programs_of_the_system(&sandbox, &made.programs);
    shell.arg(&tool).args(["develop", "pipctl", "url", "web"]).current_dir(workspace.root());
    shell.env("FLAKE_INPUTS", format!("pipd={}", source.display()));
    let said = sandbox.run(shell, LIMIT).ok();
    assert!(said.stdout.contains(&format!(":{port}/")), "{said}");
    // The shell is left, and it serves on.
    assert_eq!(get(&format!("http://127.0.0.1:{port}/")).unwrap().status, 200);
}
