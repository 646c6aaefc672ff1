//! A disk that stands still: a file system in a file, frozen with everything on it that waits to be written.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use run::layout::{HostDir, workspace_id};
use testkit::{LONG, Workspace, exit, kill, sandbox, skip, until};

use crate::world::{answers, assert_ticks, pair, pass, serves_once, setting};

/// A file system that can be frozen, over a folder, for as long as this lives.
struct Freezer {
    folder: PathBuf,
    image: PathBuf,
    frozen: bool,
}

impl Freezer {
    /// `None` where it cannot be made.
    fn over(folder: &Path, image: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let done = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let made = done(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))
            && done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder));
        if !made {
            return None;
        }
        let mounted = Self { folder: folder.to_owned(), image, frozen: false };
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
        Some(mounted)
    }

    fn set(&mut self, frozen: bool) {
        let option = if frozen { "--freeze" } else { "--unfreeze" };
        let status = Command::new("fsfreeze").arg(option).arg(&self.folder).status();
        assert!(status.is_ok_and(|status| status.success()), "fsfreeze {option}");
        self.frozen = frozen;
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        if self.frozen {
            let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.folder).status();
        }
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        let _ = std::fs::remove_file(&self.image);
    }
}

/// Some 200 lines of 900 bytes a second; how far it is stands in a file that is not on that disk.
const CHATTY: &str = r#"
[services.chatty]
command = ["/bin/sh", "-c", "i=0; while :; do printf 'tick %d\n%0900d\n' $i 0; i=$((i+1)); echo $i > progress; sleep 0.004; done"]
logs = { file_size = "1MiB", files = 30 }
"#;

fn progress(workspace: &Workspace) -> u64 {
    workspace.read("progress").trim().parse().unwrap_or(0)
}

/// What it printed, its pieces put together.
fn printed_lines(workspace: &Workspace, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun = String::new();
    for line in workspace.log_lines(name).into_iter().filter(|line| line.stream == "stdout") {
        begun.push_str(&line.text);
        if line.tag == "F" {
            lines.push(std::mem::take(&mut begun));
        }
    }
    lines
}

/// Lines that the log says were lost.
fn lost(workspace: &Workspace, name: &str) -> u64 {
    let said = workspace.log_lines(name);
    let lines = said
        .iter()
        .filter_map(|line| line.text.strip_prefix("dropped ")?.split(' ').next()?.parse::<u64>().ok());
    lines.sum()
}

#[test]
fn case_47_a_disk_that_stands_still_holds_nobody_up_and_costs_no_line() {
    let sandbox = sandbox!();
    let port = sandbox.port();
    let Some(mut disk) = Freezer::over(&sandbox.state(), sandbox.folder().join("disk.img")) else {
        skip!("needs root, mkfs.ext4, a loop device and fsfreeze(8)")
    };
    let workspace = pair(&sandbox, &port, "");
    let text = workspace.read("pipd.toml") + CHATTY;
    workspace.config(&text);
    workspace.pipctl(&["start"]).ok();
    until("it to print", LONG, || progress(&workspace) > 50);
    let (web, keep, chatty) = (workspace.pid("web"), workspace.pid("keep"), workspace.pid("chatty"));
    let daemon = sandbox.daemon();

    disk.set(true);
    let (begun, before) = (Instant::now(), progress(&workspace));
    // More than a pipe holds, several times over.
    until("it to print on", LONG, || progress(&workspace) > before + 400);
    println!("400 lines of 900 bytes within {:?}", begun.elapsed());
    let mut slowest = Duration::ZERO;
    let mut status = || {
        let status = workspace.pipctl(&["status", "--json"]);
        assert_ne!(status.code, exit::UNREACHABLE, "{status}");
        slowest = slowest.max(status.took);
    };
    status();
    // One that ends is restarted, one that is asked for is restarted, and both answer.
    kill(web);
    until("another web", LONG, || {
        status();
        serves_once(&workspace, &port)
    });
    println!("restarted within {:?} of the stall", begun.elapsed());
    let place = sandbox.state().canonicalize().unwrap().display().to_string();
    until("the disk to be named", LONG, || {
        let said = sandbox.pipctl(&["daemon", "status"]).ok();
        said.all().contains("has not answered for") && said.all().contains(&place)
    });
    let second = workspace.pid("web");
    workspace.pipctl(&["restart", "web"]).ok();
    assert_ne!(workspace.pid("web"), second);
    assert!(answers(&port));
    let warned = workspace.service("chatty").warnings.join("; ");
    assert!(warned.contains("waits in memory"), "{warned:?}");
    let length = Duration::from_secs(setting("PIPD_SOAK_STALL", 8));
    while begun.elapsed() < length {
        status();
        pass(Duration::from_millis(100));
    }
    let printed = progress(&workspace);
    println!("{printed} lines, status took at most {slowest:?}");
    assert!(slowest < Duration::from_secs(4), "{slowest:?}");
    assert_eq!((sandbox.daemon(), workspace.pid("keep"), workspace.pid("chatty")), (daemon, keep, chatty));

    disk.set(false);
    until("the disk to be well", LONG, || {
        !sandbox.pipctl(&["daemon", "status"]).ok().all().contains("has not answered")
    });
    until("what was printed meanwhile", LONG, || {
        let ticks =
            workspace.log_lines("chatty").iter().filter(|line| line.text.starts_with("tick ")).count();
        2 * ticks as u64 + lost(&workspace, "chatty") >= 2 * printed
    });
    until("what waited in memory to be gone", LONG, || {
        workspace.service("chatty").warnings.iter().all(|warning| !warning.contains("waits in memory"))
    });
    workspace.pipctl(&["stop", "chatty", "keep"]).ok();
    assert_ticks(&printed_lines(&workspace, "keep"));
    if lost(&workspace, "chatty") == 0 {
        assert_ticks(&printed_lines(&workspace, "chatty"));
    } else {
        assert!(length > Duration::from_secs(10), "lost without need");
    }
    // The end of the run that ended meanwhile is on record, as that of one that was killed.
    let runs = HostDir::at(sandbox.host()).workspace(&workspace_id(workspace.root())).service("web");
    let first = *runs.run_numbers().unwrap().first().unwrap();
    let exited: Option<run::record::Exited> = run::record::read(&runs.run(first).exited()).unwrap();
    assert_eq!(exited.map(|exited| exited.cause), Some(wire::ExitCause::Signal(9)));
    workspace.pipctl(&["stop"]).ok();
    sandbox.pipctl(&["daemon", "stop"]).ok();
    drop(disk);
}
