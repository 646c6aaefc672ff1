//! `pipctl setup`: the environment is made and filled from the real index; whatever fails leaves it as it was.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{Finished, LONG, Sandbox, Workspace, exit, sandbox, skip, until};

const PATIENCE: Duration = Duration::from_secs(300);

/// A package without dependencies, of some ten kilobytes.
const TINY: &str = "six==1.16.0";
const NEWER: &str = "six==1.17.0";

fn setup(workspace: &Workspace<'_>, arguments: &[&str]) -> Finished {
    workspace.run(prepared(workspace, arguments), PATIENCE)
}

fn prepared(workspace: &Workspace<'_>, arguments: &[&str]) -> Command {
    let mut command = prepared_with(workspace, env!("CARGO_BIN_EXE_pipctl"));
    command.arg("setup").args(arguments);
    command
}

/// With what this machine needs to reach its index.
fn prepared_with(workspace: &Workspace<'_>, program: &str) -> Command {
    let mut command = workspace.command(program);
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        if text.starts_with("PIP_")
            || text.ends_with("_PROXY")
            || text.starts_with("SSL_")
            || text.starts_with("UV_")
        {
            command.env(name, value);
        }
    }
    command
}

/// Whether this machine reaches an index at all.
fn online() -> bool {
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(std::env::temp_dir().join("pipd-test-index"));
    command
        .arg(TINY)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What an environment has: the version of the package, and whether its Python runs.
fn version(workspace: &Workspace<'_>) -> String {
    let mut command = workspace.command(workspace.path(".venv/bin/python"));
    command.args(["-c", "import six; print(six.__version__)"]);
    let ended = workspace.run(command, LONG);
    if ended.code == 0 { ended.stdout.trim().to_owned() } else { "none".to_owned() }
}

fn ready(sandbox: &Sandbox) -> Workspace<'_> {
    let workspace = sandbox.workspace("w");
    workspace.stub_service("web", "", "");
    workspace
}

/// Nothing of ours is left in an environment but the note of what it was made for.
fn nothing_left(workspace: &Workspace<'_>) {
    let left: Vec<String> = std::fs::read_dir(workspace.path(".venv"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".pipd") && name != ".pipd-setup")
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(!workspace.path(".venv.before-setup").exists());
}

#[test]
fn an_environment_is_made_filled_and_kept_when_the_next_list_is_wrong() {
    if !online() {
        skip!("no package index");
    }
    let sandbox = sandbox!();
    let workspace = ready(&sandbox);
    workspace.write("requirements.txt", TINY);
    workspace.pipctl(&["start"]).ok();
    let before = workspace.pid("web");
    let made = setup(&workspace, &[]).ok();
    // Nobody looks: plain lines, each step by its name.
    for line in
        ["fetching (1)", "  1/1 six", "installing (1)", "made the environment", "installed six 1.16.0"]
    {
        assert!(made.all().contains(line), "{line}: {made}");
    }
    made.says("web still runs with the packages of before; when it suits you: pipctl restart web");
    assert_eq!((version(&workspace).as_str(), workspace.pid("web")), ("1.16.0", before));
    nothing_left(&workspace);
    setup(&workspace, &[]).ok().says("everything is there already");

    // A pin that does not exist.
    workspace.write("requirements.txt", "six==1.16.0\nthis-is-no-package-of-anybody==99.1\n");
    let failed =
        setup(&workspace, &[]).expect(exit::FAILED).says("the environment is as it was").says("less /");
    assert!(failed.stderr.contains("this-is-no-package-of-anybody"), "{failed}");
    assert_eq!(version(&workspace), "1.16.0");
    nothing_left(&workspace);

    // No network.
    sandbox.set("HTTPS_PROXY", Some("http://127.0.0.1:9"));
    sandbox.set("PIP_RETRIES", Some("0"));
    workspace.write("requirements.txt", NEWER);
    let mut offline = workspace.command(env!("CARGO_BIN_EXE_pipctl"));
    offline.arg("setup");
    workspace.run(offline, PATIENCE).expect(exit::FAILED).says("the environment is as it was");
    assert_eq!(version(&workspace), "1.16.0");
    sandbox.set("HTTPS_PROXY", None);

    workspace
        .pipctl(&["doctor"])
        .says("requirements.txt changed since the last setup")
        .says("→ pipctl setup");
    setup(&workspace, &[]).ok().says("installed six 1.17.0");
    assert_eq!(version(&workspace), "1.17.0");
    nothing_left(&workspace);
}

#[test]
fn an_environment_that_cannot_run_is_kept_aside_and_a_link_goes() {
    if !online() {
        skip!("no package index");
    }
    let sandbox = sandbox!();
    let workspace = ready(&sandbox);
    workspace.write("requirements.txt", TINY);
    std::os::unix::fs::symlink("/nix/store/gone", workspace.path(".venv")).unwrap();
    setup(&workspace, &[]).ok().says("made the environment");
    assert_eq!(version(&workspace), "1.16.0");
    // Now its Python vanishes.
    for name in ["python", "python3"] {
        let _ = std::fs::remove_file(workspace.path(".venv/bin").join(name));
    }
    workspace.write(".venv/mine", "x");
    setup(&workspace, &[]).ok().says("rm -r .venv.before-setup");
    assert_eq!(
        (version(&workspace).as_str(), workspace.read(".venv.before-setup/mine").as_str()),
        ("1.16.0", "x")
    );
}

#[test]
fn ctrl_c_and_death_in_the_middle_leave_the_environment_usable() {
    if !online() {
        skip!("no package index");
    }
    let sandbox = sandbox!();
    let workspace = ready(&sandbox);
    workspace.write("requirements.txt", TINY);
    setup(&workspace, &[]).ok();
    std::fs::remove_file(workspace.path("requirements.txt")).unwrap();
    // The packages are installed, then the project itself, and that takes as long as we like.
    workspace.write(
        "pyproject.toml",
        &format!(
            "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n\
             [project]\nname = \"mine\"\nversion = \"1\"\ndependencies = [\"{NEWER}\"]\n\
             [tool.setuptools]\npy-modules = []\n"
        ),
    );
    workspace.write(
        "setup.py",
        "import os, time, setuptools\nopen('building', 'w').close()\n\
         while not os.path.exists('go'): time.sleep(0.05)\nsetuptools.setup()\n",
    );
    for signal in ["INT", "KILL"] {
        let _ = std::fs::remove_file(workspace.path("building"));
        let mut command = prepared(&workspace, &[]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        until("the project's build to begin", PATIENCE, || workspace.path("building").exists());
        assert_eq!(version(&workspace), "1.17.0");
        let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = child.wait().unwrap();
        if signal == "INT" {
            assert_eq!((status.code(), version(&workspace).as_str()), (Some(7), "1.16.0"));
            nothing_left(&workspace);
        }
    }
    // What the killed one had begun ends, and the next setup begins with the environment as it was.
    workspace.write("go", "");
    until("pip to be gone", PATIENCE, || {
        !sandbox.processes().iter().any(|&pid| command_line(pid).contains("pip"))
    });
    setup(&workspace, &[]).ok().says("installed six 1.17.0");
    assert_eq!(version(&workspace), "1.17.0");
    nothing_left(&workspace);
}

#[test]
fn a_full_disk_leaves_the_environment_usable() {
    if !online() {
        skip!("no package index");
    }
    if !nix::unistd::geteuid().is_root() {
        skip!("a small file system of its own needs root");
    }
    for uv in [false, true] {
        let sandbox = sandbox!();
        if uv && with_uv(&sandbox).is_none() {
            skip!("uv cannot be installed");
        }
        let workspace = ready(&sandbox);
        workspace.write("requirements.txt", TINY);
        // A mount of its own, seen by nobody else. uv keeps what it fetched in the home, which is another one.
        let size = if uv { "24m" } else { "72m" };
        let script = format!(
            "set -e; mount -t tmpfs -o size={size} tmpfs \"$1\"; cp \"$2\"/requirements.txt \"$1\"; cd \"$1\"; \
             touch pipd.toml; \"$0\" setup; echo numpy==2.0.2 > requirements.txt; rc=0; \"$0\" setup || rc=$?; \
             .venv/bin/python -c 'import six; print(six.__version__)'; ls -A .venv; exit $rc"
        );
        let folder = sandbox.folder().join("small");
        std::fs::create_dir(&folder).unwrap();
        let mut command = prepared_with(&workspace, "unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        command.arg(sandbox.program()).arg(&folder).arg(workspace.root());
        let ended = workspace.run(command, PATIENCE).expect(exit::FAILED);
        assert!(ended.stdout.lines().any(|line| line == "1.16.0"), "{ended}");
        assert!(ended.stderr.contains("the environment is as it was"), "{ended}");
        let tool = if uv { "requirements.txt with uv" } else { "requirements.txt with pip" };
        assert!(ended.all().contains(tool), "{ended}");
        assert!(!ended.stdout.contains(".pipd-before") && !ended.stdout.contains(".pipd-wheels"), "{ended}");
    }
}

#[test]
fn a_fresh_one_takes_the_place_of_the_old_one_when_it_is_whole() {
    if !online() {
        skip!("no package index");
    }
    let sandbox = sandbox!();
    let workspace = ready(&sandbox);
    workspace.write("requirements.txt", TINY);
    setup(&workspace, &[]).ok();
    workspace.write(".venv/mine", "x");
    // What cannot be installed costs nothing of what is there.
    workspace.write("requirements.txt", "six==99.1\n");
    setup(&workspace, &["--fresh"]).expect(exit::FAILED).says("the environment is as it was");
    assert_eq!((version(&workspace).as_str(), workspace.read(".venv/mine").as_str()), ("1.16.0", "x"));
    nothing_left(&workspace);
    workspace.write("requirements.txt", NEWER);
    setup(&workspace, &["--fresh"]).ok().says("made the environment").says("installed six 1.17.0");
    assert_eq!(version(&workspace), "1.17.0");
    assert!(!workspace.path(".venv/mine").exists(), "it is another one");
    nothing_left(&workspace);
}

/// uv on this sandbox's PATH; `None` where it cannot be had.
fn with_uv(sandbox: &Sandbox) -> Option<()> {
    let tools = sandbox.folder().join("tools");
    let made = Command::new("python3").args(["-m", "venv"]).arg(&tools).status().unwrap();
    assert!(made.success());
    let mut pip = Command::new(tools.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "uv"]);
    if !pip.status().unwrap().success() {
        return None;
    }
    std::fs::create_dir(sandbox.folder().join("uv")).unwrap();
    std::os::unix::fs::symlink(tools.join("bin/uv"), sandbox.folder().join("uv/uv")).unwrap();
    let path = format!("{}:{}", sandbox.folder().join("uv").display(), std::env::var("PATH").unwrap());
    sandbox.set("PATH", Some(&path));
    Some(())
}

#[test]
fn uv_is_used_where_there_is_one() {
    if !online() {
        skip!("no package index");
    }
    let sandbox = sandbox!();
    let Some(()) = with_uv(&sandbox) else { skip!("uv cannot be installed") };
    let workspace = ready(&sandbox);
    workspace.write("requirements.txt", TINY);
    let made = setup(&workspace, &[]).ok().says("requirements.txt with uv").says("installed six 1.16.0");
    assert!(made.all().contains("1/1 six"), "{made}");
    assert_eq!(version(&workspace), "1.16.0");
    setup(&workspace, &[]).ok().says("everything is there already");
    workspace.write("requirements.txt", "six==99.1\n");
    setup(&workspace, &[]).expect(exit::FAILED).says("the environment is as it was");
    assert_eq!(version(&workspace), "1.16.0");
    nothing_left(&workspace);
}

/// Ctrl-C after each of some moments, with pip and with uv: whatever was under way, the environment can be used, and it
/// is the old one unless all was done.
#[test]
fn ctrl_c_at_any_moment_leaves_an_environment_that_works() {
    if !online() {
        skip!("no package index");
    }
    for uv in [false, true] {
        let sandbox = sandbox!();
        if uv && with_uv(&sandbox).is_none() {
            skip!("uv cannot be installed");
        }
        let workspace = ready(&sandbox);
        workspace.write("requirements.txt", TINY);
        setup(&workspace, &[]).ok();
        workspace.write("requirements.txt", &format!("{NEWER}\npackaging==24.2\niniconfig==2.0.0\n"));
        for step in 0..6_u32 {
            let mut command = prepared(&workspace, if step % 2 == 0 { &[] } else { &["--fresh"] });
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let begun = std::time::Instant::now();
            let mut child = command.spawn().unwrap();
            // Somewhere on its way, a little later every time; when it is done before, that is a moment, too.
            let moment = Duration::from_millis(120 << step);
            until("the moment", PATIENCE, || begun.elapsed() > moment || child.try_wait().unwrap().is_some());
            let _ = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
            until("it to end", PATIENCE, || child.try_wait().unwrap().is_some());
            let (code, has) = (child.wait().unwrap().code(), version(&workspace));
            match code {
                Some(0) => assert_eq!(has, "1.17.0", "uv {uv}, step {step}"),
                Some(7) => {
                    assert!(["1.16.0", "1.17.0"].contains(&has.as_str()), "uv {uv}, step {step}: {has}")
                }
                // Before it listened: then it had not begun.
                None => assert!(has != "none", "uv {uv}, step {step}"),
                other => panic!("uv {uv}, step {step}: {other:?}"),
            }
            nothing_left(&workspace);
        }
        setup(&workspace, &[]).ok();
        assert_eq!(version(&workspace), "1.17.0");
        nothing_left(&workspace);
    }
}

fn command_line(pid: i32) -> String {
    std::fs::read(format!("/proc/{pid}/cmdline"))
        .map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "))
        .unwrap_or_default()
}
