//! `pipctl new` and `pipctl add`: a workspace of its own, and companions from recipes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::{LONG, Sandbox, exit, sandbox, skip};

fn git(folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.invalid"])
        .args(words)
        .current_dir(folder);
    let ended = command.env_remove("GIT_DIR").output().unwrap();
    assert!(ended.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8_lossy(&ended.stdout).trim().to_owned()
}

fn home(sandbox: &Sandbox) -> PathBuf {
    sandbox.folder().join("home")
}

/// What is in a folder, hidden files included.
fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_template_is_whole_committed_and_says_who_made_it() {
    let sandbox = sandbox!();
    let made = sandbox.pipctl(&["new", "forecast"]).ok().says("first commit ");
    // This home has no git identity.
    let made = made.says("git does not know who you are").says("cd forecast && pipctl setup && pipctl start");
    assert!(made.stdout.contains("home/forecast from the template of pipd"), "{made}");
    let folder = home(&sandbox).join("forecast");
    assert_eq!(
        entries(&folder),
        [
            ".git",
            ".gitignore",
            "README.md",
            "flake.nix",
            "hello.ipynb",
            "pipd.toml",
            "requirements.txt",
            "server.py"
        ]
    );
    assert_eq!(git(&folder, &["log", "--format=%s"]), "Begin forecast");
    assert_eq!(git(&folder, &["status", "--porcelain"]), "");
    assert!(std::fs::read_to_string(folder.join("README.md")).unwrap().starts_with("# forecast\n"));
    let again = sandbox.pipctl(&["new", "forecast"]).expect(exit::FAILED);
    assert!(again.stderr.contains("is there already"), "{again}");
    sandbox.pipctl(&["new", "no/such/place"]).expect(exit::USAGE).says("mkdir -p");
    sandbox.pipctl(&["new", ".."]).expect(exit::USAGE);
}

#[test]
fn a_copy_has_what_is_tracked_and_nothing_of_the_other_ones_life() {
    let sandbox = sandbox!();
    let other = home(&sandbox).join("pipulate");
    std::fs::create_dir_all(other.join("static")).unwrap();
    let (jupyter, server) = (sandbox.port(), sandbox.port());
    let listener = TcpListener::bind(("127.0.0.1", server.number())).unwrap();
    let text = format!(
        "# ours\n[services.jupyter]\nport = {jupyter} # usual\n[services.server]\nport = {server}\n\
         command = [\"sleep\", \"600\"]\n"
    );
    for (name, content) in [
        ("pipd.toml", text.as_str()),
        ("static/run.sh", "#!/bin/sh\n"),
        (".env", "API_KEY=theirs\n"),
        (".gitignore", "kept.log\n"),
        ("kept.log", "tracked although ignored\n"),
    ] {
        std::fs::write(other.join(name), content).unwrap();
    }
    std::fs::set_permissions(
        other.join("static/run.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    git(&other, &["init", "--quiet"]);
    git(&other, &["add", "--all", "--force"]);
    git(&other, &["commit", "--quiet", "--message", "theirs"]);
    std::fs::write(other.join("untracked"), "").unwrap();
    std::fs::write(other.join(".sesskey"), "theirs").unwrap();
    let made = sandbox.pipctl(&["new", "botifython", "--from", "pipulate"]).ok();
    let made =
        made.says("what is not committed in").says("left behind, as they belong to the other one: .env");
    let folder = home(&sandbox).join("botifython");
    assert_eq!(entries(&folder), [".git", ".gitignore", "kept.log", "pipd.toml", "static"]);
    assert_eq!(git(&folder, &["log", "--format=%s"]), "Begin botifython");
    assert_eq!(git(&folder, &["ls-files"]), ".gitignore\nkept.log\npipd.toml\nstatic/run.sh");
    assert!(git(&folder, &["ls-files", "--stage", "static/run.sh"]).starts_with("100755"));
    // The one port that is taken is another one; everything else of the file is as it was.
    let config = std::fs::read_to_string(folder.join("pipd.toml")).unwrap();
    let given: u16 =
        config.lines().filter_map(|line| line.strip_prefix("port = ")?.parse().ok()).next().unwrap();
    assert!(given > server.number(), "{config}");
    assert_eq!(config, text.replace(&format!("port = {server}\n"), &format!("port = {given}\n")));
    assert!(made.stdout.contains(&format!("server gets port {given}: {server} is taken")), "{made}");
    drop(listener);

    // And what another workspace of pipd has is taken too, also while nobody listens.
    let theirs = sandbox.adopt_workspace(other);
    theirs.pipctl(&["start", "server", "--no-wait"]).ok();
    let made = sandbox.pipctl(&["new", "third", "--from", "pipulate"]).ok();
    assert!(made.stdout.contains(&format!("{server} is taken")), "{made}");
}

#[test]
fn a_copy_configured_in_pyproject_gets_its_ports_there() {
    let sandbox = sandbox!();
    let other = home(&sandbox).join("other");
    std::fs::create_dir_all(&other).unwrap();
    let (jupyter, web) = (sandbox.port(), sandbox.port());
    let text = format!(
        "[project]\nname = \"other\"\n\n[tool.pipd.services.jupyter]\nport = {jupyter}\n\n\
         [tool.pipd.services.server]\nport = {web} # its own\ncommand = [\"sleep\", \"600\"]\n"
    );
    std::fs::write(other.join("pyproject.toml"), &text).unwrap();
    git(&other, &["init", "--quiet"]);
    git(&other, &["add", "--all"]);
    git(&other, &["commit", "--quiet", "--message", "theirs"]);
    let listener = TcpListener::bind(("127.0.0.1", web.number())).unwrap();
    let made = sandbox.pipctl(&["new", "mine", "--from", "other"]).ok();
    drop(listener);
    assert!(made.stdout.contains(&format!("{web} is taken")), "{made}");
    let folder = home(&sandbox).join("mine");
    assert!(!folder.join("pipd.toml").exists(), "it would hide the table");
    let config = std::fs::read_to_string(folder.join("pyproject.toml")).unwrap();
    let given = config.split("port = ").nth(2).unwrap().split(' ').next().unwrap();
    assert_eq!(config, text.replace(&format!("port = {web} #"), &format!("port = {given} #")));
    assert_ne!(given, web.to_string());
}

#[test]
fn a_failure_half_way_leaves_nothing() {
    let sandbox = sandbox!();
    let before = entries(&home(&sandbox));
    let failed = sandbox.pipctl(&["new", "x", "--from", "not-a-repository"]).expect(exit::FAILED);
    assert!(failed.stderr.contains("nothing was made"), "{failed}");
    std::fs::create_dir(home(&sandbox).join("plain")).unwrap();
    sandbox.pipctl(&["new", "x", "--from", "plain"]).expect(exit::FAILED).says("nothing was made");
    std::fs::remove_dir(home(&sandbox).join("plain")).unwrap();
    // A broken pipd.toml, found after the copy.
    let broken = home(&sandbox).join("broken");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("pipd.toml"), "[services.x\n").unwrap();
    git(&broken, &["init", "--quiet"]);
    git(&broken, &["add", "--all"]);
    git(&broken, &["commit", "--quiet", "--message", "x"]);
    sandbox
        .pipctl(&["new", "x", "--from", "broken"])
        .expect(exit::FAILED)
        .says("its pipd.toml cannot be read");
    std::fs::remove_dir_all(&broken).unwrap();
    // The commit fails: a signature that cannot be made.
    std::fs::write(
        home(&sandbox).join(".gitconfig"),
        "[user]\nname = Ada\nemail = ada@example.invalid\nsigningkey = nobody\n[commit]\ngpgsign = true\n[gpg]\nprogram = false\n",
    )
    .unwrap();
    sandbox.pipctl(&["new", "x"]).expect(exit::FAILED).says("nothing was made");
    std::fs::remove_file(home(&sandbox).join(".gitconfig")).unwrap();
    // No git at all.
    sandbox.set("PATH", Some("/does/not/exist"));
    sandbox.pipctl(&["new", "x"]).expect(exit::BLOCKED).says("git is missing");
    let after = entries(&home(&sandbox));
    assert_eq!(after, before);
}

#[test]
fn the_templates_flake_evaluates_everywhere_and_its_shell_says_what_runs() {
    let tools = std::env::var_os("PIPD_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| testkit::repository().join("../shared/tools"));
    let check = tools.join("check-flake");
    if !check.is_file() {
        skip!("no {}", check.display());
    }
    if !nix::unistd::geteuid().is_root() {
        skip!("check-flake needs root");
    }
    let sandbox = sandbox!();
    sandbox.pipctl(&["new", "forecast"]).ok();
    let folder = home(&sandbox).join("forecast");
    let mut evaluated = sandbox.command(&check);
    evaluated.current_dir(&folder);
    let evaluated = sandbox.run(evaluated, 5 * LONG).ok();
    for system in ["x86_64-linux", "aarch64-linux", "x86_64-darwin", "aarch64-darwin"] {
        assert!(evaluated.all().contains(system), "{system}: {evaluated}");
    }
    let path =
        format!("{}:{}", sandbox.program().parent().unwrap().display(), std::env::var("PATH").unwrap());
    sandbox.set("PATH", Some(&path));
    let develop = |line: &str| {
        let mut command = sandbox.command(&check);
        command.args(["develop", "sh", "-c", line]).current_dir(&folder);
        sandbox.run(command, 5 * LONG)
    };
    develop("true").ok().says("forecast").says("no environment yet: pipctl setup && pipctl start");
    // What is started in the shell outlives it, and the next shell says so. A variable of the shell is in the service.
    let made = Command::new("python3")
        .args(["-m", "venv", "--without-pip"])
        .arg(folder.join(".venv"))
        .status()
        .unwrap();
    assert!(made.success());
    let workspace = sandbox.adopt_workspace(folder.clone());
    workspace.write("pipd.toml", "");
    workspace.stub_service("web", &format!("--env-file {}", folder.join("env").display()), "");
    git(&folder, &["add", "pipd.toml"]);
    develop("IN_THE_SHELL=yes pipctl start web").ok();
    assert!(workspace.read("env").split('\0').any(|pair| pair == "IN_THE_SHELL=yes"));
    assert!(workspace.read("env").contains("IN_NIX_SHELL="), "{}", workspace.read("env"));
    develop("true").ok().says("web").says("ready");
    // The shell's temporary folder, which is gone with it, is no reason to lose the daemon.
    workspace.pipctl(&["status"]).ok();
}

#[test]
fn a_companion_is_added_at_the_end_and_shown_before() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("w");
    let text = "# mine\n[services.jupyter] # not here\nenabled = false\n";
    workspace.write("pipd.toml", text);
    workspace.pipctl(&["add", "--list"]).ok().says("tensorboard").says("MLflow");
    let shown = workspace.pipctl(&["add", "ollama", "--dry-run"]).ok().says("+[depends.ollama]");
    assert_eq!(workspace.read("pipd.toml"), text, "{shown}");
    let added = workspace.pipctl(&["add", "ollama"]).ok().says("+url = \"http://localhost:11434\"");
    let now = workspace.read("pipd.toml");
    assert!(
        now.starts_with(text) && now.contains("# Ollama is shared by all of this machine"),
        "{now}\n{added}"
    );
    let refused = workspace.pipctl(&["add", "ollama"]).expect(exit::FAILED).says("has `ollama` already");
    assert_eq!(workspace.read("pipd.toml"), now, "{refused}");
    workspace.pipctl(&["add", "tensorbord"]).expect(exit::USAGE).says("did you mean tensorboard?");

    // One of a person's own is a file.
    let folder = home(&sandbox).join(".config/pipd/recipes");
    std::fs::create_dir_all(&folder).unwrap();
    let recipe = format!(
        "[recipe]\nabout = \"the stub\"\n\n[services.stub]\ncommand = [{:?}, \"--listen\", \"{{port}}\"]\nport = {}\n",
        sandbox.stub().display(),
        sandbox.port()
    );
    std::fs::write(folder.join("stub.toml"), recipe).unwrap();
    std::fs::write(folder.join("odd.toml"), "[services.x]\nprot = 1\n").unwrap();
    workspace.pipctl(&["add", "stub"]).ok().says("passed over").says("start: pipctl start stub");
    workspace.pipctl(&["start", "stub"]).ok();
    // What is used and not run is shown with the services, and nothing waits for it.
    let status = workspace.pipctl(&["status"]).ok().says("uses ollama at http://localhost:11434");
    assert!(
        status.stdout.contains("no answer: nobody listens there") || status.stdout.contains("answers"),
        "{status}"
    );
    let long: serde_json::Value = workspace.pipctl(&["status", "--long", "--json"]).ok().json();
    assert!(long["uses"]["http://localhost:11434"]["answers"].is_boolean(), "{long}");
}
