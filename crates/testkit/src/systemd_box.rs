//! A machine with a real systemd: boots, logs in and out, loses its power.
//!
//! The tool `systemd-box` runs it in namespaces of this machine. It needs root, and once a Debian base system.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::pipctl::{Finished, finish};
use crate::wait::LONG;

/// Building the base takes minutes, once.
const BUILD: Duration = Duration::from_secs(600);
/// Each boot is another one: the box shares its kernel, and so the kernel's id of the boot.
const BOOT_ID: &str = "\
[Unit]
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'cat /proc/sys/kernel/random/uuid >/run/boot_id && mount --bind /run/boot_id /proc/sys/kernel/random/boot_id'

[Install]
WantedBy=sysinit.target
";

/// See the module. One at a time: each is a whole machine. Gone, with all its changes, when it is dropped.
#[derive(Debug)]
pub struct SystemdBox {
    tool: PathBuf,
    name: String,
    _turn: MutexGuard<'static, ()>,
}

impl SystemdBox {
    /// What the base has beside a minimal system.
    pub const PACKAGES: &str = "python3,python3-venv";

    /// A shell line of root's that tells what happened: the journal of this boot, the daemon's own log, and what runs.
    pub const REPORT: &str = "journalctl -b --no-pager -n 60; tail -n 60 /home/dev/.local/state/pipd/hosts/*/pipd.log; ps -ef --forest";

    /// Boots one, with the programs beside `pipctl` in its /usr/local/bin and the user `dev`.
    ///
    /// # Errors
    /// Why there can be none here.
    ///
    /// # Panics
    /// When it does not boot.
    pub fn boot(pipctl: &Path) -> Result<Self, String> {
        static TURN: Mutex<()> = Mutex::new(());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let tool = crate::shared_tool("systemd-box").ok_or("no systemd-box beside the repository")?;
        if !nix::unistd::geteuid().is_root() {
            return Err("systemd-box needs root".into());
        }
        let name = format!("pt{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let this = Self { tool, name, _turn: turn };
        this.call(&["up"], BUILD).ok();
        this.write("/etc/systemd/system/boot-id.service", BOOT_ID, "root");
        this.root("systemctl enable --quiet --now boot-id.service").ok();
        let folder = pipctl.parent().unwrap();
        for program in ["pipctl", "pipd", "pipd-shim"] {
            this.copy_in(&folder.join(program), &format!("/usr/local/bin/{program}"), "root");
        }
        this.copy_in(crate::stub(pipctl), "/usr/local/bin/stub", "root");
        Ok(this)
    }

    #[track_caller]
    fn call(&self, arguments: &[&str], limit: Duration) -> Finished {
        finish(self.command(arguments), limit)
    }

    /// A shell line as root, with neither session nor runtime folder.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    #[track_caller]
    pub fn root(&self, line: &str) -> Finished {
        self.call(&["run", "bash", "-c", line], LONG)
    }

    /// A shell line of `dev`, in a login session that ends with it.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    #[track_caller]
    pub fn dev(&self, line: &str) -> Finished {
        self.call(&["run-as", "dev", "bash", "-c", line], LONG)
    }

    /// A shell line of `dev` without a session, as cron or sudo would run it.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    #[track_caller]
    pub fn outside(&self, line: &str) -> Finished {
        let words =
            ["run", "setpriv", "--reuid=dev", "--regid=dev", "--init-groups", "env", "-C", "/home/dev"];
        let rest = ["HOME=/home/dev", "USER=dev", "bash", "-c", line];
        self.call(&[&words[..], &rest[..]].concat(), LONG)
    }

    /// A session of `dev` that stays.
    ///
    /// # Panics
    /// When there can be none.
    #[track_caller]
    pub fn login(&self) {
        self.call(&["login", "dev"], LONG).ok();
    }

    /// Ends it.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn logout(&self) {
        self.call(&["logout", "dev"], LONG).ok();
    }

    /// Ends everything in order and boots again.
    ///
    /// # Panics
    /// When it does not come up within two minutes: services have their time to end.
    #[track_caller]
    pub fn reboot(&self) {
        self.call(&["reboot"], 2 * LONG).ok();
    }

    /// Ends everything at once and boots again.
    ///
    /// # Panics
    /// When it does not come up.
    #[track_caller]
    pub fn lose_power(&self) {
        self.call(&["crash"], LONG).ok();
    }

    /// Copies a file or a folder in.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn copy_in(&self, from: &Path, to: &str, owner: &str) {
        // Not over a program that runs: it keeps the old one.
        self.root(&format!("rm -rf '{to}' && mkdir -p \"$(dirname '{to}')\"")).ok();
        self.call(&["copy-in", &from.to_string_lossy(), to, owner], 2 * LONG).ok();
    }

    /// Writes a file there, and makes its folder.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn write(&self, path: &str, text: &str, owner: &str) {
        let file = std::env::temp_dir().join(format!("{}.file", self.name));
        std::fs::write(&file, text).unwrap();
        self.root(&format!("install -d -o {owner} -g {owner} \"$(dirname '{path}')\"")).ok();
        self.call(&["copy-in", &file.to_string_lossy(), path, owner], LONG).ok();
        let _ = std::fs::remove_file(file);
    }

    /// For messages.
    fn report(&self) -> String {
        let output = self.command(&["run", "bash", "-c", Self::REPORT]).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        command.args(arguments).env("SYSTEMD_BOX", &self.name).env("SYSTEMD_BOX_PACKAGES", Self::PACKAGES);
        command
    }
}

impl Drop for SystemdBox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
        let _ = self.command(&["reset"]).output();
    }
}
