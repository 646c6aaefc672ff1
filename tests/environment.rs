//! What a service finds around it: the caller's variables, clean signals, private files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "what cannot go on has failed the test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use testkit::{LONG, SHORT, Sandbox, Stack, Workspace, sandbox, skip, until};

/// A workspace whose service writes its environment to `env`.
fn dumping<'a>(sandbox: &'a Sandbox, keys: &str) -> Workspace<'a> {
    let workspace = sandbox.workspace("around");
    let port = sandbox.port();
    let file = workspace.path("env");
    workspace.stub_service(
        "web",
        &format!("--listen {port} --env-file {}", file.display()),
        &format!("port = {port}\n{keys}"),
    );
    workspace
}

fn variable(workspace: &Workspace, name: &str) -> Option<String> {
    let text = workspace.read("env");
    text.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

#[test]
fn the_callers_variables_arrive_and_those_of_a_moment_do_not() {
    let sandbox = sandbox!();
    let strange = "a=b %s \"quoted\" 'single' $HOME\nsecond line ü";
    sandbox.set("ONLY_HERE", Some(strange));
    sandbox.set("VIRTUAL_ENV_PROMPT", Some("(x)"));
    for name in
        ["JPY_PARENT_PID", "JUPYTER_SERVER_URL", "NOTIFY_SOCKET", "LISTEN_FDS", "PYDEVD_X", "PORT", "PROCS"]
    {
        sandbox.set(name, Some("7"));
    }
    sandbox.set("PIPD_STATE_DIR", Some(&sandbox.state().to_string_lossy()));
    sandbox.set("PIPD_LOG", Some("info"));
    let workspace = dumping(&sandbox, "");
    workspace.pipctl(&["start"]).ok();
    // A daemon with a state folder of its own is the one that `pipctl` finds from within its services, too.
    let state = sandbox.state().to_string_lossy().into_owned();
    assert_eq!(variable(&workspace, "PIPD_STATE_DIR"), Some(state));
    assert_eq!(variable(&workspace, "ONLY_HERE").as_deref(), Some(strange));
    assert_eq!(variable(&workspace, "PYTHONUNBUFFERED").as_deref(), Some("1"));
    assert!(variable(&workspace, "PIPD_RUN").is_some());
    for name in [
        "PIPD_LOG",
        "JPY_PARENT_PID",
        "JUPYTER_SERVER_URL",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "PYDEVD_X",
        "PORT",
        "PROCS",
    ] {
        assert_eq!(variable(&workspace, name), None, "{name}");
    }
}

#[test]
fn what_was_captured_stays_until_it_is_refreshed() {
    let sandbox = sandbox!();
    sandbox.set("FLAVOUR", Some("first"));
    let workspace = dumping(&sandbox, "");
    workspace.pipctl(&["start"]).ok();
    sandbox.set("FLAVOUR", Some("second"));
    workspace.pipctl(&["start"]).ok();
    workspace.pipctl(&["restart"]).ok();
    assert_eq!(variable(&workspace, "FLAVOUR").as_deref(), Some("first"));
    workspace.pipctl(&["restart", "--env"]).ok();
    assert_eq!(variable(&workspace, "FLAVOUR").as_deref(), Some("second"));
    // And it is what the service gets when nobody is there to give it.
    let old = sandbox.kill_daemon();
    sandbox.await_daemon(old);
    let before = workspace.pid("web");
    testkit::kill(before);
    workspace.await_service("web", "a new process", |now| {
        now.pid.is_some_and(|pid| pid != before) && now.phase == wire::Phase::Ready
    });
    assert_eq!(variable(&workspace, "FLAVOUR").as_deref(), Some("second"));
}

#[test]
fn env_file_then_env_then_nothing_else() {
    let sandbox = sandbox!();
    sandbox.set("REMOVED", Some("caller"));
    sandbox.set("FROM_FILE", Some("caller"));
    let workspace = dumping(
        &sandbox,
        "env_file = \"dev.env\"\nenv = { FROM_TABLE = \"at {port}\", BOTH = \"table\", REMOVED = false }",
    );
    workspace.write("dev.env", "# comment\nFROM_FILE=file\nexport BOTH=file\nQUOTED=\"two words\"\n");
    workspace.pipctl(&["start"]).ok();
    let port = workspace.service("web").port.unwrap();
    assert_eq!(variable(&workspace, "FROM_FILE").as_deref(), Some("file"));
    assert_eq!(variable(&workspace, "BOTH").as_deref(), Some("table"));
    assert_eq!(variable(&workspace, "QUOTED").as_deref(), Some("two words"));
    assert_eq!(variable(&workspace, "FROM_TABLE"), Some(format!("at {port}")));
    assert_eq!(variable(&workspace, "REMOVED"), None);
}

#[test]
fn signals_descriptors_and_folder_are_clean() {
    if !Path::new("/proc/self/status").exists() {
        skip!("this system does not show a process's signal masks");
    }
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("clean");
    workspace.config(
        "[services.job]\ncommand = [\"sh\", \"-c\", \"grep Sig /proc/self/status >signals; pwd >cwd; \
         ls -l /proc/$$/fd >fds; umask >umask; : >done; exec sleep 1000\"]\nready = \"none\"\n",
    );
    // A caller that ignores what it can, as `nohup` and some editors do.
    let mut caller = workspace.command("python3");
    caller.args([
        "-c",
        "import os, signal, sys\nfor s in (1, 2, 3, 13, 15): signal.signal(s, signal.SIG_IGN)\n\
         signal.pthread_sigmask(signal.SIG_BLOCK, {1, 2, 15, 10})\nos.open('/etc/passwd', os.O_RDONLY)\n\
         os.set_inheritable(3, True)\nos.execv(sys.argv[1], sys.argv[1:])",
    ]);
    caller.arg(sandbox.program()).arg("start");
    workspace.run(caller, LONG).ok();
    until("the answers", SHORT, || workspace.path("done").exists());
    for line in workspace
        .read("signals")
        .lines()
        .filter(|line| line.starts_with("SigBlk") || line.starts_with("SigIgn"))
    {
        assert_eq!(u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap(), 0, "{line}");
    }
    assert_eq!(workspace.read("cwd").trim(), workspace.root().to_string_lossy());
    let descriptors = workspace.read("fds");
    assert!(descriptors.contains("0 -> /dev/null"), "{descriptors}");
    assert!(!descriptors.contains("passwd"), "a descriptor of the caller came through: {descriptors}");
    assert!(!descriptors.contains("lock"), "the run's lock came through: {descriptors}");
}

#[test]
fn everything_kept_is_the_users_alone() {
    let sandbox = sandbox!();
    sandbox.set("SECRET", Some("hunter2"));
    let workspace = dumping(&sandbox, "");
    workspace.pipctl(&["start"]).ok();
    let mut seen = 0;
    check_modes(&sandbox.state(), &mut seen);
    assert!(seen > 10, "only {seen} entries in the state folder");
    for pid in sandbox.processes() {
        assert!(!os::process::command_line(pid).contains("hunter2"), "a secret in the arguments of {pid}");
    }
}

fn check_modes(path: &Path, seen: &mut usize) {
    *seen += 1;
    // Files of a living daemon come and go.
    let Ok(metadata) = path.symlink_metadata() else { return };
    let mode = metadata.permissions().mode() & 0o777;
    assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    if metadata.is_dir() {
        assert_eq!(mode, 0o700, "{} has mode {mode:o}", path.display());
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            check_modes(&entry.path(), seen);
        }
    }
}

#[test]
fn a_variable_of_the_shell_is_seen_in_a_kernel_and_the_token_nowhere() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let _slot = testkit::real_server_slot();
    let sandbox = sandbox!();
    sandbox.set("ONLY_IN_THIS_SHELL", Some("blue"));
    let port = sandbox.port();
    let workspace = sandbox.workspace("kernel");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    let jupyter = workspace.jupyter("jupyter");
    let kernel = jupyter.start_kernel();
    assert_eq!(jupyter.execute(&kernel, "import os; os.environ['ONLY_IN_THIS_SHELL']"), "'blue'");
    assert_eq!(
        jupyter.execute(&kernel, "import shutil; shutil.which('python')"),
        format!("'{}'", workspace.path(".venv/bin/python").display())
    );
    for pid in sandbox.processes() {
        assert!(
            !os::process::command_line(pid).contains(&jupyter.token),
            "the token in the arguments of {pid}"
        );
    }
    assert!(
        !workspace.log_lines("jupyter").iter().any(|line| line.text.contains(&jupyter.token)),
        "the token in the log"
    );
}

#[test]
fn jupyterlab_as_root_runs_with_a_warning_or_is_refused_with_the_reason() {
    let Some(venv) = Stack::Current.venv() else { skip!("run `cargo xtask test` for the real servers") };
    let sandbox = sandbox!();
    let port = sandbox.port();
    let workspace = sandbox.workspace("root");
    workspace.link_venv(&venv).config(&format!("[services.jupyter]\nport = {port}\nallow_root = false\n"));
    if os::process::info(std::process::id().try_into().unwrap()).unwrap().unwrap().uid != 0 {
        skip!("not root");
    }
    let refused = workspace.pipctl(&["start"]);
    assert_ne!(refused.code, testkit::exit::OK, "{refused}");
    assert!(refused.all().contains("root") && refused.all().contains("allow_root"), "{refused}");

    let _slot = testkit::real_server_slot();
    workspace.config(&format!("[services.jupyter]\nport = {port}\n"));
    workspace.pipctl(&["start"]).ok();
    workspace.pipctl(&["status"]).ok().says("root");
}

#[test]
fn what_was_captured_is_shown_against_the_shell_and_secrets_are_not() {
    let sandbox = sandbox!();
    sandbox.set("FLAVOUR", Some("first"));
    sandbox.set("MODEL_API_KEY", Some("hidden-one"));
    let workspace = dumping(
        &sandbox,
        "env_file = \".env\"\n[services.web.env]\nBROKER_URL = \"amqp://ada:hidden-two@mq/\"\n",
    );
    workspace.write(".env", "PGPASSWORD=hidden-three\nPLAIN=1\n");
    workspace.pipctl(&["env", "web"]).ok().says("nothing was captured yet");
    workspace.pipctl(&["start"]).ok();
    workspace
        .pipctl(&["env"])
        .ok()
        .says("web: captured as it is in this shell")
        .says(".env: PGPASSWORD, PLAIN");
    sandbox.set("FLAVOUR", Some("second"));
    sandbox.set("MODEL_API_KEY", Some("hidden-four"));
    sandbox.set("NEW", Some("1"));
    let shown = workspace.pipctl(&["env", "web"]).ok();
    for line in
        ["- FLAVOUR=first", "+ FLAVOUR=second", "- MODEL_API_KEY=***", "+ NEW=1", "pipctl env refresh web"]
    {
        assert!(shown.stdout.contains(line), "{line}: {shown}");
    }
    for arguments in [&["env", "web"][..], &["env", "--all"], &["env", "--json"], &["env", "--all", "web"]] {
        let shown = workspace.pipctl(arguments).ok();
        assert!(!shown.all().contains("hidden"), "{shown}");
    }
    let all = workspace.pipctl(&["env", "--json", "--show-secrets"]).ok();
    for secret in ["hidden-one", "hidden-two", "hidden-three", "hidden-four"] {
        assert!(all.stdout.contains(secret), "{secret}: {all}");
    }

    // It is taken over without touching what runs, also for the start after the daemon's death.
    let before = workspace.pid("web");
    workspace.pipctl(&["env", "refresh"]).ok().says("at its next start").says("pipctl restart web");
    assert_eq!((workspace.pid("web"), variable(&workspace, "FLAVOUR").as_deref()), (before, Some("first")));
    workspace.pipctl(&["env"]).ok().says("web: captured as it is in this shell");
    sandbox.set("FLAVOUR", Some("third"));
    let old = sandbox.kill_daemon();
    sandbox.await_daemon(old);
    workspace.pipctl(&["restart"]).ok();
    assert_eq!(variable(&workspace, "FLAVOUR").as_deref(), Some("second"));
    workspace.pipctl(&["env", "refresh", "nothing"]).expect(testkit::exit::USAGE);
}

/// An environment of conda's shape: `conda-meta`, a Python in `bin`, no `pyvenv.cfg`.
#[test]
fn an_activated_conda_environment_is_the_interpreter_and_stays_it() {
    let sandbox = sandbox!();
    let conda = sandbox.folder().join("conda/envs/forecast");
    std::fs::create_dir_all(conda.join("bin")).unwrap();
    std::fs::create_dir_all(conda.join("conda-meta")).unwrap();
    let python = std::process::Command::new("python3")
        .args(["-c", "import sys, os; print(os.path.realpath(sys.executable))"])
        .output()
        .unwrap();
    let real = String::from_utf8(python.stdout).unwrap();
    // A program that stays where it is found, as conda's Python does; a link would lead out of the environment.
    std::fs::write(conda.join("bin/python"), format!("#!/bin/sh\nexec {} \"$@\"\n", real.trim())).unwrap();
    std::fs::set_permissions(conda.join("bin/python"), std::fs::Permissions::from_mode(0o755)).unwrap();
    // What `conda activate forecast` does to a shell.
    sandbox.set("CONDA_PREFIX", Some(&conda.to_string_lossy()));
    sandbox.set("CONDA_DEFAULT_ENV", Some("forecast"));
    let path = format!("{}:{}", conda.join("bin").display(), std::env::var("PATH").unwrap());
    sandbox.set("PATH", Some(&path));
    let workspace = dumping(&sandbox, "");
    let started = workspace.pipctl(&["start"]).ok();
    assert!(started.stderr.contains("($CONDA_PREFIX)"), "{started}");
    let of_conda = |workspace: &Workspace| {
        assert_eq!(variable(workspace, "CONDA_DEFAULT_ENV").as_deref(), Some("forecast"));
        assert!(variable(workspace, "PATH").unwrap().starts_with(&conda.join("bin").display().to_string()));
    };
    of_conda(&workspace);
    // The shell is gone, and so is the daemon: at the next restart it is the same environment.
    sandbox.set("CONDA_PREFIX", None);
    sandbox.set("CONDA_DEFAULT_ENV", None);
    sandbox.set("PATH", Some(&std::env::var("PATH").unwrap()));
    let old = sandbox.kill_daemon();
    sandbox.await_daemon(old);
    std::fs::remove_file(workspace.path("env")).unwrap();
    testkit::kill(workspace.pid("web"));
    until("the service to be back", SHORT, || workspace.path("env").exists());
    workspace.await_phase("web", wire::Phase::Ready);
    of_conda(&workspace);
}

/// An environment with packages of conda's format, from a channel, made and activated by rattler, which pixi is built on:
/// its hooks run, and what they set is captured.
#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn an_environment_of_conda_packages_is_captured_with_what_its_hooks_set() {
    let sandbox = sandbox!();
    let tools = sandbox.folder().join("tools");
    let run = |program: &Path, arguments: &[&str]| {
        let mut command = std::process::Command::new(program);
        command.args(arguments).stdout(std::process::Stdio::null()).status().unwrap().success()
    };
    let python = tools.join("bin/python");
    let made = run(Path::new("python3"), &["-m", "venv", tools.to_str().unwrap()])
        && run(&python, &["-m", "pip", "install", "--quiet", "py-rattler==0.28.0"]);
    if !made {
        skip!("py-rattler cannot be installed");
    }
    let conda = sandbox.folder().join("conda");
    std::fs::create_dir(&conda).unwrap();
    let script = testkit::repository().join("tests/tools/conda.py");
    let mut make = sandbox.command(&python);
    make.arg(script).arg(&conda);
    sandbox.run(make, LONG).ok();
    let workspace = dumping(&sandbox, "");
    let mut start = workspace.command("bash");
    start.args(["-c", ". \"$0\"/activate.sh && exec \"$1\" start"]).arg(&conda).arg(sandbox.program());
    workspace.run(start, LONG).ok().says("($CONDA_PREFIX)");
    let prefix = conda.join("envs/forecast");
    let expected = prefix.join("share/gdal").to_string_lossy().into_owned();
    assert_eq!(variable(&workspace, "GDAL_DATA"), Some(expected));
    assert_eq!(variable(&workspace, "CONDA_PREFIX").as_deref(), prefix.to_str());
    assert!(variable(&workspace, "PATH").unwrap().starts_with(prefix.join("bin").to_str().unwrap()));
}

/// direnv itself: its hook in a bash, and `direnv exec` as scripts use it. A new `.envrc` is taken over by name.
#[test]
fn what_direnv_loads_is_captured_and_taken_over_anew() {
    let sandbox = sandbox!();
    if !std::process::Command::new("direnv").arg("version").output().is_ok_and(|it| it.status.success()) {
        skip!("no direnv; on Debian: apt install direnv");
    }
    let workspace = dumping(&sandbox, "");
    let shell = |line: &str| {
        let mut command = workspace.command("bash");
        command.args(["-c", &format!("eval \"$(direnv hook bash)\"; _direnv_hook; {line}")]);
        command.env("PIPCTL", sandbox.program());
        workspace.run(command, LONG).ok()
    };
    let envrc = |flavour: &str| {
        workspace.write(".envrc", &format!("export FLAVOUR={flavour}\nPATH_add bin\n"));
        shell("direnv allow");
    };
    envrc("first");
    shell("\"$PIPCTL\" start");
    assert_eq!(variable(&workspace, "FLAVOUR").as_deref(), Some("first"));
    let path = variable(&workspace, "PATH").unwrap();
    assert!(path.split(':').any(|folder| Path::new(folder) == workspace.path("bin")), "{path}");

    envrc("second");
    shell("\"$PIPCTL\" env").says("FLAVOUR");
    shell("\"$PIPCTL\" env refresh && \"$PIPCTL\" restart");
    assert_eq!(variable(&workspace, "FLAVOUR").as_deref(), Some("second"));

    envrc("third");
    let mut script = workspace.command("direnv");
    script.args(["exec", "."]).arg(sandbox.program()).args(["restart", "--env"]);
    workspace.run(script, LONG).ok();
    assert_eq!(variable(&workspace, "FLAVOUR").as_deref(), Some("third"));
}

#[test]
fn files_of_a_service_get_the_permissions_of_the_shell_it_was_started_in() {
    let sandbox = sandbox!();
    let workspace = sandbox.workspace("masks");
    for (umask, expected) in [("027", 0o640), ("002", 0o664)] {
        let name = format!("made-{umask}");
        workspace.config(&format!(
            "[services.{name}]\ncommand = [\"/bin/sh\", \"-c\", \"umask > seen; : > {name}; exec sleep 1000\"]\n"
        ));
        let mut command = workspace.command("/bin/sh");
        command.arg("-c").arg(format!("umask {umask}; exec \"$0\" start {name}"));
        command.arg(sandbox.program());
        assert!(command.status().unwrap().success());
        until("the service to have made its file", SHORT, || workspace.path(&name).exists());
        let mode = std::fs::metadata(workspace.path(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "umask {umask}: the service's is {}", workspace.read("seen"));
    }
}
