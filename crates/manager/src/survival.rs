//! What outlives the terminal, the login and the machine's next boot; and the command that changes it.
//!
//! The facts are gathered in one place, the conclusions drawn in another that can be tested without a machine.

use std::path::Path;

use crate::{ManagerError, ServiceManager, Tools, place};

/// What has pipd started at login.
pub const ENABLE: &str = "pipctl autostart enable";

/// Where a process belongs, and so who ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The user's service manager: it lives while that does.
    Manager,
    /// A login session: whoever ends the session may end it.
    Session,
    /// Neither is known.
    Elsewhere,
}

impl Place {
    /// Of a process.
    #[must_use]
    pub fn of(pid: i32) -> Self {
        os::host::control_group(pid).map_or(Self::Elsewhere, |group| Self::of_group(&group))
    }

    fn of_group(group: &str) -> Self {
        if place::is_our_unit(group) || group.contains("/user@") {
            Self::Manager
        } else if group.contains("/session-") && group.contains(".scope") {
            Self::Session
        } else {
            Self::Elsewhere
        }
    }
}

/// What decides. Everything that could not be found out is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The service manager: `systemd`, `launchd`; empty when there is none.
    pub manager: String,
    /// It starts pipd at login.
    pub enabled: bool,
    /// The user's manager runs without a login, from boot on.
    pub linger: Option<bool>,
    /// The end of a session ends all of its processes.
    pub kill_user_processes: Option<bool>,
    /// Where the daemon belongs, when one runs.
    pub daemon: Option<Place>,
    /// Names of services that belong to a login session.
    pub in_session: Vec<String>,
    /// The user's name.
    pub user: String,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What happens: `logout`, `reboot`, …
    pub event: &'static str,
    /// What then becomes of services.
    pub outcome: String,
    /// Whether they are there again, or still, without a person's doing.
    pub survives: bool,
    /// What to type to have it otherwise.
    pub command: Option<String>,
}

/// What survives what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survival {
    /// From the least to the greatest of events.
    pub advice: Vec<Advice>,
}

impl Facts {
    /// Asks the machine. `daemon` is its process, `services` are names and processes of what runs.
    #[must_use]
    pub fn gather(
        manager: Option<&dyn ServiceManager>,
        daemon: Option<i32>,
        services: &[(String, i32)],
    ) -> Self {
        let user = os::process::user_name(nix::unistd::geteuid().as_raw());
        let systemd = manager.is_some_and(|manager| manager.name() == "systemd")
            || Path::new("/run/systemd/system").is_dir();
        let tools = Tools::of_this_process(None);
        Self {
            manager: manager.map_or_else(String::new, |manager| manager.name().to_owned()),
            enabled: manager.is_some_and(|manager| manager.is_enabled().unwrap_or(false)),
            linger: systemd.then(|| lingering(&user)),
            kill_user_processes: systemd.then(|| kills_user_processes(&tools).ok().flatten()).flatten(),
            daemon: daemon.map(Place::of),
            in_session: services
                .iter()
                .filter(|(_, pid)| Place::of(*pid) == Place::Session)
                .map(|(name, _)| name.clone())
                .collect(),
            user,
        }
    }

    /// What follows from the facts.
    #[must_use]
    pub fn survival(&self) -> Survival {
        Survival { advice: vec![terminal(), sleep(), self.logout(), self.reboot()] }
    }

    fn logout(&self) -> Advice {
        let linger = || Some(format!("loginctl enable-linger {}", self.user));
        let advice = |survives, outcome: &str, command| Advice {
            event: "logout",
            outcome: outcome.into(),
            survives,
            command,
        };
        match &*self.manager {
            "systemd" if !self.in_session.is_empty() && self.kill_user_processes == Some(true) => advice(
                false,
                &format!("{} ends with its session (KillUserProcesses=yes)", self.in_session.join(", ")),
                Some("pipctl restart".into()),
            ),
            "systemd" if self.linger == Some(true) => {
                advice(true, "services keep running (linger is on)", None)
            }
            "systemd" if self.enabled => advice(
                false,
                "services end in order when your last session has, and come back at the next login",
                linger(),
            ),
            "systemd" => advice(
                false,
                "services end in order when your last session has, and come back at the next pipctl start",
                linger(),
            ),
            "launchd" => advice(true, "services keep running", None),
            _ if self.kill_user_processes == Some(true) => {
                advice(false, "services end with their session (KillUserProcesses=yes)", linger())
            }
            _ => advice(true, "services keep running", None),
        }
    }

    fn reboot(&self) -> Advice {
        let advice = |survives, outcome: &str, command| Advice {
            event: "reboot",
            outcome: outcome.into(),
            survives,
            command,
        };
        let enable = || Some(ENABLE.to_owned());
        match (&*self.manager, self.enabled) {
            ("systemd", true) if self.linger == Some(true) => {
                advice(true, "services end in order, and come back when the machine is up", None)
            }
            ("systemd", true) => advice(
                true,
                "services end in order, and come back when you log in",
                Some(format!("loginctl enable-linger {}", self.user)),
            ),
            ("launchd", true) => advice(true, "services end, and come back when you log in", None),
            ("systemd" | "launchd", false) => {
                advice(false, "services end, and come back at the next pipctl start", enable())
            }
            _ => advice(
                false,
                "services end, and come back at the next pipctl start",
                Some("crontab -e   # and add: @reboot pipctl daemon start".into()),
            ),
        }
    }
}

fn terminal() -> Advice {
    let outcome = "services keep running".into();
    Advice { event: "terminal closed", outcome, survives: true, command: None }
}

fn sleep() -> Advice {
    let outcome = "services pause with the machine, and go on when it wakes".into();
    Advice { event: "sleep", outcome, survives: true, command: None }
}

/// Whether the manager of this user runs without a login.
#[must_use]
pub fn lingers() -> bool {
    lingering(&os::process::user_name(nix::unistd::geteuid().as_raw()))
}

fn lingering(user: &str) -> bool {
    Path::new("/var/lib/systemd/linger").join(user).exists()
}

fn kills_user_processes(tools: &Tools) -> Result<Option<bool>, ManagerError> {
    let words = [
        "busctl",
        "get-property",
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.login1.Manager",
        "KillUserProcesses",
    ];
    Ok(match &*tools.run(&words)? {
        "b true" => Some(true),
        "b false" => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(manager: &str, enabled: bool, linger: bool, kills: bool) -> Facts {
        Facts {
            manager: manager.into(),
            enabled,
            linger: Some(linger),
            kill_user_processes: Some(kills),
            user: "ada".into(),
            ..Facts::default()
        }
    }

    fn told(facts: &Facts) -> String {
        let mut text = String::new();
        for Advice { event, outcome, survives, command } in facts.survival().advice {
            let command = command.map(|command| format!(" → {command}")).unwrap_or_default();
            text.push_str(&format!("{event} {survives}: {outcome}{command}\n"));
        }
        text
    }

    #[test]
    fn every_kind_of_machine_has_its_answer() {
        let mut all = String::new();
        for (manager, enabled, linger, kills) in [
            ("systemd", false, false, false),
            ("systemd", true, false, true),
            ("systemd", true, true, false),
            ("launchd", true, false, false),
            ("launchd", false, false, false),
            ("", false, false, false),
            ("", false, false, true),
        ] {
            all.push_str(&format!("# {manager:?} enabled {enabled} linger {linger} kills {kills}\n"));
            all.push_str(&told(&facts(manager, enabled, linger, kills)));
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn a_service_of_a_session_that_is_killed_is_named() {
        let facts = Facts { in_session: vec!["jupyter".into()], ..facts("systemd", true, true, true) };
        assert!(told(&facts).contains("jupyter ends with its session"), "{}", told(&facts));
    }

    #[test]
    fn places_are_told_by_the_control_group() {
        let user = "/user.slice/user-1000.slice";
        assert_eq!(
            Place::of_group(&format!("{user}/user@1000.service/app.slice/pipd.service")),
            Place::Manager
        );
        assert_eq!(Place::of_group(&format!("{user}/session-4.scope")), Place::Session);
        assert_eq!(Place::of_group("/system.slice/cron.service"), Place::Elsewhere);
    }
}
