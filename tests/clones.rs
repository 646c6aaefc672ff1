//! Two real clones of one workspace with the real servers, and a port that is taken over from a terminal.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::path::Path;
use std::process::Stdio;

use testkit::{
    Finished, LONG, Sandbox, Stack, Workspace, alive, exit, get, repository, sandbox, skip, tool, until,
};
use wire::{Goal, Phase};

fn git(sandbox: &Sandbox, folder: &Path, words: &[&str]) {
    let mut git = sandbox.command("git");
    git.current_dir(folder).args(["-c", "user.name=Ada", "-c", "user.email=ada@localhost"]).args(words);
    sandbox.run(git, LONG).ok();
}

/// A repository made of the example workspace, with these ports in its configuration.
fn template(sandbox: &Sandbox, jupyter: &testkit::Port, server: &testkit::Port) {
    let origin = sandbox.folder().join("origin");
    std::fs::create_dir(&origin).unwrap();
    for name in ["hello.ipynb", "requirements.txt", "server.py"] {
        std::fs::copy(repository().join("examples/workspace").join(name), origin.join(name)).unwrap();
    }
    let ports = format!("[services.jupyter]\nport = {jupyter}\n\n[services.server]\nport = {server}\n");
    std::fs::write(origin.join("pipd.toml"), ports).unwrap();
    std::fs::write(origin.join(".gitignore"), ".venv\n").unwrap();
    git(sandbox, &origin, &["init", "--quiet"]);
    git(sandbox, &origin, &["add", "."]);
    git(sandbox, &origin, &["commit", "--quiet", "-m", "template"]);
}

fn clone<'a>(sandbox: &'a Sandbox, venv: &Path, name: &str) -> Workspace<'a> {
    git(sandbox, sandbox.folder(), &["clone", "--quiet", "origin", &format!("w/{name}")]);
    let workspace = sandbox.adopt_workspace(sandbox.folder().join("w").join(name));
    workspace.link_venv(venv);
    workspace
}

/// Runs `pipctl` in a terminal, where a person answers its questions.
fn typed(workspace: &Workspace<'_>, talk: &[&str], words: &[&str], program: &Path) -> Finished {
    let mut command = workspace.command("python3");
    command.arg(tool("typed.py")).args(talk).arg("--").arg(program).args(words);
    workspace.run(command, 4 * LONG)
}

#[test]
fn two_clones_with_the_real_servers_keep_apart() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    let ports = (sandbox.port(), sandbox.port());
    template(&sandbox, &ports.0, &ports.1);
    let (first, second) = (clone(&sandbox, &venv, "first"), clone(&sandbox, &venv, "second"));
    first.pipctl(&["start"]).ok();
    let kernel = first.jupyter("jupyter").start_kernel();
    assert_eq!(first.jupyter("jupyter").execute(&kernel, "kept = 41; kept + 1"), "42");
    let before = (first.pid("jupyter"), first.pid("server"));

    // Blocked, with who it is and what to choose from.
    let blocked = second.pipctl(&["start"]).expect(exit::BLOCKED);
    let root = first.root().display().to_string();
    for name in ["jupyter", "server"] {
        assert!(blocked.all().contains(&format!("it is `{name}` of {root}")), "{blocked}");
        let choices = second.service(name).choices;
        for (choice, begin) in choices.iter().zip([
            format!("pipctl stop {name} -w {root}"),
            format!("pipctl start {name} --takeover"),
            format!("pipctl start {name} --port auto"),
        ]) {
            assert!(choice.starts_with(&begin) && blocked.all().contains(&begin), "{choice}: {blocked}");
        }
        assert_eq!(choices.len(), 3, "{choices:?}");
    }

    // Ports of its own, for all of it, told to the servers, and kept over daemons.
    let config = second.read("pipd.toml").replace(&format!("port = {}", ports.0), "");
    let config = config.replace(&format!("port = {}", ports.1), "");
    second.write("pipd.toml", &format!("[workspace]\nports = \"auto\"\n\n{config}"));
    second.pipctl(&["start"]).ok();
    let own = |name: &str| second.service(name).port.unwrap();
    let theirs = (own("jupyter"), own("server"));
    for port in [theirs.0, theirs.1] {
        assert!(![ports.0.number(), ports.1.number(), 5000, 7000].contains(&port), "{port}");
    }
    let page = get(&format!("http://127.0.0.1:{}/", theirs.1)).unwrap();
    assert!(page.body.contains("kept running by pipd"), "{page:?}");
    let other = second.jupyter("jupyter");
    let others_kernel = other.start_kernel();
    assert_eq!(
        other.execute(&others_kernel, "import os; os.getcwd()"),
        format!("{:?}", second.root()).replace('"', "'")
    );
    assert_ne!(other.token, first.jupyter("jupyter").token);
    let killed = sandbox.kill_daemon();
    sandbox.await_daemon(killed);
    second.pipctl(&["restart", "--force"]).ok();
    assert_eq!((own("jupyter"), own("server")), theirs);

    // The end of one is not the other's business.
    second.pipctl(&["stop", "--force"]).ok();
    assert_eq!((first.pid("jupyter"), first.pid("server")), before);
    assert_eq!(first.jupyter("jupyter").execute(&kernel, "kept + 1"), "42");
    assert_eq!(sandbox.list().len(), 2);

    // A port that another workspace is at work on.
    let keeps = first.jupyter("jupyter");
    keeps.begin(&kernel, "import time; time.sleep(1000)");
    until("a busy kernel", LONG, || {
        first.kernels("jupyter").kernels.iter().any(|kernel| kernel.state == "busy")
    });
    let takes = ["start", "jupyter", "--takeover", "--port", &ports.0.to_string()];
    second.pipctl(&takes).expect(exit::BUSY).says("would be lost").says("--force");
    let no = typed(&second, &["lose that work? [y/N]", "n"], &takes, sandbox.program());
    no.expect(exit::BUSY).says("nothing was done");
    assert_eq!((first.pid("jupyter"), first.service("jupyter").goal), (before.0, Goal::Up));
    let yes = typed(&second, &["lose that work? [y/N]", "y"], &takes, sandbox.program());
    yes.ok().says("ready");
    assert_eq!(own("jupyter"), ports.0.number());
    let stopped = first.service("jupyter");
    assert_eq!(stopped.goal, Goal::Down);
    assert!(stopped.last_exit.is_some_and(|exit| exit.asked) && !alive(before.0));
    assert_eq!(first.pid("server"), before.1);
}

#[test]
fn a_person_is_asked_before_a_stranger_is_ended() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("asked");
    workspace.stub_service("web", "--listen {port}", &format!("port = {port}"));
    let mut stranger = sandbox.command(sandbox.stub());
    let stranger = stranger.args(["--listen", &port.to_string()]).stdin(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(stranger.id()).unwrap();
    let mut stranger = stranger;
    let reaper = std::thread::spawn(move || stranger.wait());
    until("the stranger to listen", LONG, || get(&format!("http://127.0.0.1:{port}/")).is_ok());
    let words = ["start", "web", "--takeover"];
    let no = typed(&workspace, &["[y/N]", "n"], &words, sandbox.program());
    no.expect(exit::BLOCKED).says(&format!("--takeover={pid}"));
    assert!(alive(pid));
    let yes = typed(&workspace, &["[y/N]", "y"], &words, sandbox.program());
    yes.ok().says(&pid.to_string());
    assert_eq!(workspace.service("web").phase, Phase::Ready);
    reaper.join().unwrap().unwrap();
}
