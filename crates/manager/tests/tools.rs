//! What is typed: every call of `systemctl` and `launchctl`, as a program of that name on the PATH sees it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use manager::{Agent, Launchd, ServiceManager, Systemd, Tools};

/// A folder with a program that notes its arguments and answers as told.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// `answers`: the body of a shell `case` over all arguments.
    fn new(program: &str, answers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        let calls = folder.path().join("calls");
        let script = format!(
            "#!/bin/sh\necho \"{program} $*\" >>'{calls}'\nn=$(grep -c -- \"$*\" '{calls}')\ncase \"$*\" in\n{answers}\nesac\nexit 0\n",
            calls = calls.display(),
        );
        executable(&bin.join(program), &script);
        executable(&bin.join("pipd"), "");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tools(&self) -> Tools {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        Tools::with(vec![("PATH".into(), path.into())])
    }

    fn systemd(&self) -> Systemd {
        Systemd::new(&self.path("config"), &self.path("run"), self.tools())
    }

    fn launchd(&self) -> Launchd {
        Launchd::new(&self.path("home"), 501, self.tools()).with_pause(Duration::from_millis(1))
    }

    fn agent(&self) -> Agent {
        Agent { program: self.path("bin/pipd"), environment: Vec::new() }
    }

    /// What was called since this was asked last, without the folder's own name.
    fn calls(&self) -> String {
        let calls = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = std::fs::remove_file(self.path("calls"));
        calls.replace(&*self.folder.path().to_string_lossy(), "…")
    }
}

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The manager reads what is written; the unit is in this state.
fn desk_with_systemd(state: &str) -> Desk {
    let fragment = "*FragmentPath*) echo \"${0%/bin/*}/config/systemd/user/pipd.service\";;";
    Desk::new("systemctl", &format!("{fragment}\n*is-active*) echo {state};;"))
}

#[test]
fn systemd_is_told_to_enable_and_to_start() {
    let desk = desk_with_systemd("inactive");
    desk.systemd().enable(&desk.agent()).unwrap();
    insta::assert_snapshot!(desk.calls(), @r"
    systemctl --user daemon-reload
    systemctl --user enable --quiet pipd.service
    systemctl --user show --property=FragmentPath --value pipd.service
    systemctl --user start pipd.service
    ");
    let file = desk.systemd().file();
    assert!(
        text(&file).contains(&format!("ExecStart={}", desk.agent().program.display())),
        "{}",
        text(&file)
    );
    assert_eq!(desk.systemd().installed().unwrap(), Some(desk.agent()));
}

#[test]
fn a_manager_that_reads_elsewhere_is_an_error_and_so_is_one_that_says_no() {
    let desk = Desk::new("systemctl", "*FragmentPath*) echo /usr/lib/systemd/user/pipd.service;;");
    let error = desk.systemd().enable(&desk.agent()).unwrap_err().to_string();
    assert!(error.contains("systemd reads /usr/lib/systemd/user/pipd.service"), "{error}");
    let desk = Desk::new(
        "systemctl",
        "*daemon-reload*) echo 'Failed to connect to bus: No medium found' >&2; exit 1;;",
    );
    let error = desk.systemd().enable(&desk.agent()).unwrap_err().to_string();
    insta::assert_snapshot!(error, @"systemctl --user daemon-reload: exit code 1: Failed to connect to bus: No medium found; try it: systemctl --user daemon-reload");
}

#[test]
fn systemd_forgets_everything() {
    let desk = desk_with_systemd("inactive");
    desk.systemd().enable(&desk.agent()).unwrap();
    desk.calls();
    assert_eq!(desk.systemd().disable().unwrap(), [desk.systemd().file()]);
    insta::assert_snapshot!(desk.calls(), @r"
    systemctl --user disable --quiet pipd.service
    systemctl --user is-active pipd.service
    systemctl --user daemon-reload
    ");
    assert!(!desk.path("config").exists());
    assert!(!desk.systemd().runtime_file().exists());
}

#[test]
fn a_daemon_that_runs_keeps_a_unit_while_the_login_lasts() {
    let desk = desk_with_systemd("active");
    desk.systemd().enable(&desk.agent()).unwrap();
    let unit = text(&desk.systemd().file());
    desk.systemd().disable().unwrap();
    assert_eq!(text(&desk.systemd().runtime_file()), unit);
    assert!(!desk.systemd().file().exists());
}

#[test]
fn without_enable_the_unit_is_written_where_it_goes_with_the_login() {
    let desk = desk_with_systemd("inactive");
    let begun = |agent: &Agent| {
        let child = desk.systemd().start(agent).unwrap();
        assert!(child.unwrap().wait().unwrap().success());
        desk.calls()
    };
    insta::assert_snapshot!(begun(&desk.agent()), @"systemctl --user --no-block start pipd.service");
    assert!(!desk.systemd().file().exists());
    assert!(desk.systemd().runtime_file().exists());
    // The same again needs no new look; another program does.
    insta::assert_snapshot!(begun(&desk.agent()), @"systemctl --user --no-block start pipd.service");
    executable(&desk.path("pipd"), "");
    let moved = Agent { program: desk.path("pipd"), environment: Vec::new() };
    insta::assert_snapshot!(begun(&moved), @r"
    systemctl --user daemon-reload
    systemctl --user --no-block start pipd.service
    ");
}

#[test]
fn an_enabled_unit_is_mended_only_when_its_program_is_gone() {
    let desk = desk_with_systemd("inactive");
    desk.systemd().enable(&desk.agent()).unwrap();
    executable(&desk.path("pipd"), "");
    let other = Agent { program: desk.path("pipd"), environment: Vec::new() };
    desk.systemd().start(&other).unwrap().unwrap().wait().unwrap();
    assert_eq!(
        desk.systemd().installed().unwrap(),
        Some(desk.agent()),
        "another one may be there on purpose"
    );
    std::fs::remove_file(desk.path("bin/pipd")).unwrap();
    desk.systemd().start(&other).unwrap().unwrap().wait().unwrap();
    assert_eq!(desk.systemd().installed().unwrap(), Some(other));
}

#[test]
fn a_state_folder_of_ones_own_is_no_business_of_the_manager() {
    let desk = desk_with_systemd("inactive");
    let environment = vec![("PIPD_STATE_DIR".to_owned(), "/somewhere".to_owned())];
    let own = Agent { environment, ..desk.agent() };
    assert!(desk.systemd().start(&own).unwrap().is_none());
    desk.systemd().enable(&desk.agent()).unwrap();
    desk.calls();
    assert!(desk.systemd().start(&own).unwrap().is_none());
    assert_eq!(desk.calls(), "");
}

#[test]
fn a_unit_that_somebody_else_wrote_is_left_alone() {
    let desk = desk_with_systemd("inactive");
    let file = desk.systemd().file();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "[Service]\nExecStart=/bin/true\n").unwrap();
    for error in [desk.systemd().enable(&desk.agent()).unwrap_err(), desk.systemd().disable().unwrap_err()] {
        assert!(error.to_string().contains("not written by pipd, and left alone"), "{error}");
    }
    assert!(text(&file).contains("/bin/true"));
}

#[test]
fn launchd_is_asked_again_while_it_still_clears_up() {
    let desk = Desk::new(
        "launchctl",
        "print*) exit 0;;\nbootstrap*) [ $n -ge 3 ] || { echo 'Bootstrap failed: 5: Input/output error' >&2; exit 5; };;",
    );
    desk.launchd().enable(&desk.agent()).unwrap();
    insta::assert_snapshot!(desk.calls(), @r"
    launchctl print gui/501/dev.pipd.pipd
    launchctl bootout gui/501/dev.pipd.pipd
    launchctl enable gui/501/dev.pipd.pipd
    launchctl bootstrap gui/501 …/home/Library/LaunchAgents/dev.pipd.pipd.plist
    launchctl bootstrap gui/501 …/home/Library/LaunchAgents/dev.pipd.pipd.plist
    launchctl bootstrap gui/501 …/home/Library/LaunchAgents/dev.pipd.pipd.plist
    ");
    // What is loaded and the same stays as it is.
    desk.launchd().enable(&desk.agent()).unwrap();
    insta::assert_snapshot!(desk.calls(), @"launchctl print gui/501/dev.pipd.pipd");
}

#[test]
fn what_launchd_says_about_anything_else_is_said() {
    let desk = Desk::new(
        "launchctl",
        "print*) exit 113;;\nbootstrap*) echo 'Bootstrap failed: 125: Domain does not support specified action' >&2; exit 125;;",
    );
    let error = desk.launchd().enable(&desk.agent()).unwrap_err().to_string();
    assert!(error.contains("exit code 125: Bootstrap failed: 125"), "{error}");
    insta::assert_snapshot!(desk.calls(), @r"
    launchctl print gui/501/dev.pipd.pipd
    launchctl enable gui/501/dev.pipd.pipd
    launchctl bootstrap gui/501 …/home/Library/LaunchAgents/dev.pipd.pipd.plist
    ");
}

#[test]
fn launchd_forgets_everything() {
    let desk = Desk::new("launchctl", "print*) exit 0;;");
    desk.launchd().enable(&desk.agent()).unwrap();
    desk.calls();
    assert_eq!(desk.launchd().disable().unwrap(), [desk.launchd().file()]);
    insta::assert_snapshot!(desk.calls(), @r"
    launchctl print gui/501/dev.pipd.pipd
    launchctl bootout gui/501/dev.pipd.pipd
    ");
    assert!(!desk.launchd().file().exists());
    assert_eq!(desk.launchd().disable().unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn launchd_starts_what_is_installed_and_nothing_else() {
    let desk = Desk::new("launchctl", "print*) exit 0;;");
    assert!(desk.launchd().start(&desk.agent()).unwrap().is_none());
    assert_eq!(desk.calls(), "");
    desk.launchd().enable(&desk.agent()).unwrap();
    desk.calls();
    desk.launchd().start(&desk.agent()).unwrap().unwrap().wait().unwrap();
    insta::assert_snapshot!(desk.calls(), @r"
    launchctl print gui/501/dev.pipd.pipd
    launchctl kickstart gui/501/dev.pipd.pipd
    ");
}
