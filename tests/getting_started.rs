//! `docs/getting-started.md`, typed line by line as an ordinary user with an empty home, in namespaces of its own: private
//! mounts, processes and ports, so that 8888 and 5001 are free whatever runs here.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::{repository, skip};

/// JupyterLab comes from the index.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// The commands of the page, in order.
fn commands() -> String {
    let page = std::fs::read_to_string(repository().join("docs/getting-started.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 8, "{}", blocks.len());
    blocks.concat()
}

#[test]
fn the_first_ten_minutes_are_as_the_page_says() {
    if !nix::unistd::geteuid().is_root() {
        skip!("another user and namespaces need root");
    }
    let tool = |line: &str| {
        Command::new("sh")
            .args(["-c", line])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    if !tool("unshare --net --mount --pid --fork true && setpriv --version") {
        skip!("unshare or setpriv cannot be used here");
    }
    let world = tempfile::tempdir_in("/tmp").unwrap();
    let folder = world.path();
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    for name in ["pipctl", "pipd", "pipd-shim"] {
        std::fs::copy(Path::new(env!("CARGO_BIN_EXE_pipctl")).with_file_name(name), bin.join(name)).unwrap();
    }
    // A network of its own has no way to the index: what it would give is fetched beforehand, by the same pip.
    let wheels = folder.join("wheels");
    let template = repository().join("crates/pipctl/src/template/requirements.txt");
    // By the Python that an ordinary user has, so that it is what that Python wants.
    let fetcher = folder.join("fetcher");
    let made = Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&fetcher).status();
    if !made.is_ok_and(|status| status.success()) {
        skip!("/usr/bin/python3 cannot make environments");
    }
    let fetched = Command::new(fetcher.join("bin/python"))
        .args(["-m", "pip", "download", "--quiet", "--dest"])
        .arg(&wheels)
        .arg("--requirement")
        .arg(template)
        .status()
        .unwrap();
    if !fetched.success() {
        skip!("no package index");
    }
    let script = folder.join("typed.sh");
    std::fs::write(&script, format!("set -eux\n{}\n", commands())).unwrap();
    let home = folder.join("home");
    std::fs::create_dir(&home).unwrap();
    nix::unistd::chown(&home, Some(65_534.into()), Some(65_534.into())).unwrap();
    let inside = "set -e; ip link set lo up; mount -t proc proc /proc; \
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all env -i HOME=\"$1\" USER=nobody LANG=C.UTF-8 \
                  PATH=\"$2\" PIP_NO_INDEX=1 PIP_FIND_LINKS=\"$3\" sh \"$4\"";
    let path = format!("{}:/usr/bin:/bin:/usr/local/bin", bin.display());
    let log = folder.join("said");
    let said = std::fs::File::create(&log).unwrap();
    let mut child = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "sh",
            "-c",
            inside,
            "sh",
        ])
        .arg(&home)
        .arg(path)
        .args([&wheels, &script])
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap();
    let status = testkit::until_some("the page to be typed", PATIENCE, || child.try_wait().unwrap());
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(status.success(), "{said}");
    for line in [
        "first commit",
        "jupyter  ready",
        "server   ready",
        "http://localhost:8888/lab?token=",
        "jupyter  already running",
        "uses ollama at http://localhost:11434",
        "jupyter  stopped",
    ] {
        assert!(said.contains(line), "{line:?} expected in\n{said}");
    }
}
