//! `pipctl autostart …`: whether pipd, and with it the services that are wanted, comes back at login.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use manager::{Agent, ManagerError, ServiceManager};
use run::layout::HostDir;
use run::record::{self, AutostartRecord, Durability};
use serde::Serialize;
use wire::Text;

use super::find;
use crate::cli::{self, AutostartCommand};
use crate::exit::{Exit, Failure};
use crate::render::plain;
use crate::survival;
use crate::terminal::{Surroundings, Terminal};

impl From<ManagerError> for Failure {
    fn from(error: ManagerError) -> Self {
        Self::new(Exit::Blocked, error.to_string())
    }
}

pub(crate) fn run(
    command: &AutostartCommand,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let Some(manager) = manager::of_this_user() else {
        let status = matches!(command, AutostartCommand::Status { json: true });
        return if status { without(terminal) } else { Err(Failure::new(Exit::Blocked, by_hand())) };
    };
    let manager = &*manager;
    match command {
        AutostartCommand::Enable { workspace } => {
            enable(manager, folder(workspace, surroundings)?, surroundings, terminal)
        }
        AutostartCommand::Disable { workspace, stop } => match folder(workspace, surroundings)? {
            Some(root) => disable_one(manager, root, surroundings, terminal),
            None => disable(manager, *stop, surroundings, terminal),
        },
        AutostartCommand::Status { json } => status(manager, *json, surroundings, terminal),
    }
}

/// The workspace that `--workspace` names, the current one when it names none.
fn folder(named: &Option<Option<PathBuf>>, surroundings: &Surroundings) -> Result<Option<PathBuf>, Failure> {
    let Some(named) = named else { return Ok(None) };
    let workspace = cli::Workspace { workspace: named.clone() };
    Ok(Some(find::root(&workspace, surroundings)?.path))
}

/// Which workspaces come back, where that is written.
struct Choices {
    host: HostDir,
}

impl Choices {
    fn of(surroundings: &Surroundings) -> Result<Self, Failure> {
        let locations = surroundings.locations()?;
        let host = locations.hosts().first().cloned();
        Ok(Self { host: host.ok_or_else(|| Failure::new(Exit::Failed, "no place for pipd's state"))? })
    }

    /// All of them, where nothing was said.
    fn read(&self) -> Result<AutostartRecord, Failure> {
        let read = record::read(&self.host.autostart_record());
        let read = read.map_err(|error| {
            Failure::new(Exit::Failed, format!("{error}; say it anew: pipctl autostart disable"))
        })?;
        Ok(read.unwrap_or_else(|| AutostartRecord::of(true)))
    }

    fn write(&self, choices: &AutostartRecord) -> Result<(), Failure> {
        os::paths::private_dir(self.host.path())?;
        record::write(&self.host.autostart_record(), choices, Durability::Synced)
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))
    }

    fn forget(&self) -> Result<(), Failure> {
        match std::fs::remove_file(self.host.autostart_record()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn enable(
    manager: &dyn ServiceManager,
    root: Option<PathBuf>,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let agent = Agent::for_program(&client::find_daemon()?);
    if let Some(installed) = manager.installed()?.filter(|installed| !installed.same_state(&agent)) {
        return Err(another_state(&installed));
    }
    let choices = Choices::of(surroundings)?;
    let mut chosen = match &root {
        Some(_) if manager.is_enabled()? => choices.read()?,
        Some(_) => AutostartRecord::of(false),
        None => AutostartRecord::of(true),
    };
    if let Some(root) = &root {
        chosen.choose(Text::from(root.as_path()), true);
    }
    choices.write(&chosen)?;
    manager.enable(&agent)?;
    let mut text =
        format!("enabled: pipd starts at login ({}, {})\n", manager.name(), manager.file().display());
    text.push_str(&coming(&chosen));
    text.push_str(&fates(manager, surroundings)?);
    terminal.print(&text)?;
    Ok(Exit::Ok)
}

fn another_state(installed: &Agent) -> Failure {
    let variables: Vec<String> =
        installed.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let with = if variables.is_empty() { "the default state folder".to_owned() } else { variables.join(" ") };
    Failure::new(
        Exit::Blocked,
        format!(
            "autostart is enabled already for another state folder ({with}); first, with that one: pipctl autostart disable"
        ),
    )
}

fn coming(chosen: &AutostartRecord) -> String {
    let named = |comes: bool| -> Vec<String> {
        let roots = chosen.workspaces.iter().filter(|choice| choice.comes == comes);
        roots.map(|choice| plain(&choice.root.to_string_lossy())).collect()
    };
    let text = match (chosen.others, named(true), named(false)) {
        (true, _, but) if but.is_empty() => "every workspace, with the services that were up".to_owned(),
        (true, _, but) => format!("every workspace but {}", but.join(", ")),
        (false, only, _) if only.is_empty() => "no workspace".to_owned(),
        (false, only, _) => format!("only {}", only.join(", ")),
    };
    format!("comes back       {text}\n")
}

/// What becomes of services at logout and reboot, with the commands that change it.
fn fates(manager: &dyn ServiceManager, surroundings: &Surroundings) -> Result<String, Failure> {
    let mut text = String::new();
    for advice in survival::facts(Some(manager), surroundings)?.survival().advice {
        let _ = writeln!(text, "{:<16} {}", advice.event, advice.outcome);
        if let Some(command) = advice.command {
            let _ = writeln!(text, "{:<16} → {command}", "");
        }
    }
    Ok(text)
}

fn disable(
    manager: &dyn ServiceManager,
    stop: bool,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let removed = manager.disable()?;
    Choices::of(surroundings)?.forget()?;
    let mut text = String::new();
    for path in &removed {
        let _ = writeln!(text, "disabled: removed {}", path.display());
    }
    if removed.is_empty() {
        text.push_str("autostart was not enabled\n");
    }
    terminal.print(&text)?;
    let Some(mut client) = find::daemon_if_any(surroundings)? else { return Ok(Exit::Ok) };
    let running: Vec<(Text, Vec<String>)> = client
        .status(None)?
        .workspaces
        .into_iter()
        .filter_map(|view| {
            let services = view.services.iter().filter(|service| service.pid.is_some());
            let names: Vec<String> = services.map(|service| service.name.clone()).collect();
            (!names.is_empty()).then_some((view.root?, names))
        })
        .collect();
    if running.is_empty() && !stop {
        return Ok(Exit::Ok);
    }
    let mut text = String::new();
    for (root, names) in &running {
        let root = plain(&root.to_string_lossy());
        let _ = writeln!(text, "still running: {} in {root}", names.join(", "));
        if !stop {
            let _ = writeln!(text, "    → pipctl stop -w {root}");
        }
    }
    terminal.print(&text)?;
    if stop || (surroundings.interactive && terminal.confirm("Stop them, and pipd itself?")) {
        drop(client);
        return stop_everything(running, surroundings, terminal);
    }
    Ok(Exit::Ok)
}

/// As a person would, one workspace after the other; pipd itself only when nothing is left.
fn stop_everything(
    running: Vec<(Text, Vec<String>)>,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    for (root, services) in running {
        let workspace = cli::Workspace { workspace: Some(root.as_path().to_owned()) };
        let stop = cli::Stop { services, workspace, ..cli::Stop::default() };
        exit = exit.worst(super::stop::run(&stop, surroundings, terminal)?);
    }
    if exit == Exit::Ok
        && let Some(client) = find::daemon_if_any(surroundings)?
    {
        let pid = client.daemon().pid;
        client.daemon_stop()?;
        terminal.print(&format!("stopped pipd (pid {pid})\n"))?;
    }
    Ok(exit)
}

fn disable_one(
    manager: &dyn ServiceManager,
    root: PathBuf,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    if !manager.is_enabled()? {
        terminal.print("autostart was not enabled\n")?;
        return Ok(Exit::Ok);
    }
    let choices = Choices::of(surroundings)?;
    let mut chosen = choices.read()?;
    chosen.choose(Text::from(root.as_path()), false);
    if chosen.is_empty() {
        // Nothing would come back, so nothing is to start.
        return disable(manager, false, surroundings, terminal);
    }
    choices.write(&chosen)?;
    terminal.print(&format!("disabled for {}\n{}", root.display(), coming(&chosen)))?;
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Status<'a> {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    manager: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comes_back: Option<&'a AutostartRecord>,
    survival: Vec<Fate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Serialize)]
struct Fate {
    event: &'static str,
    survives: bool,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

fn without(terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let survival = fates_json(manager::Facts::gather(None, None, &[]).survival());
    terminal.print_json(&Status {
        enabled: false,
        manager: None,
        file: None,
        program: None,
        comes_back: None,
        survival,
        message: Some(by_hand()),
    })?;
    Ok(Exit::Blocked)
}

fn fates_json(survival: manager::Survival) -> Vec<Fate> {
    let fate =
        |manager::Advice { event, outcome, survives, command }| Fate { event, survives, outcome, command };
    survival.advice.into_iter().map(fate).collect()
}

fn status(
    manager: &dyn ServiceManager,
    json: bool,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let enabled = manager.is_enabled()?;
    let mut installed = manager.installed()?;
    let mut mended = None;
    if let Some(old) = installed.clone().filter(|installed| !installed.is_there()) {
        let agent = Agent::for_program(&client::find_daemon()?);
        if agent.same_state(&old) && manager.mend(&agent)? {
            mended = Some(old.program);
            installed = manager.installed()?;
        }
    }
    let chosen = Choices::of(surroundings)?.read()?;
    let exit = if enabled { Exit::Ok } else { Exit::Failed };
    let file = manager.file();
    if json {
        let program = installed.as_ref().map(|installed| installed.program.as_path());
        terminal.print_json(&Status {
            enabled,
            manager: Some(manager.name()),
            file: program.is_some().then_some(file.as_path()),
            program,
            comes_back: enabled.then_some(&chosen),
            survival: fates_json(survival::facts(Some(manager), surroundings)?.survival()),
            message: None,
        })?;
        return Ok(exit);
    }
    let mut text = String::new();
    if let (Some(old), Some(new)) = (mended, &installed) {
        let _ = writeln!(text, "mended: {} is gone; pipd is {}", old.display(), new.program.display());
    }
    match (enabled, &installed) {
        (true, Some(installed)) => {
            let _ = writeln!(text, "enabled ({}): pipd starts at login", manager.name());
            let _ = writeln!(text, "file             {}", file.display());
            let _ = writeln!(text, "program          {}", installed.program.display());
        }
        (true, None) => {
            let _ = writeln!(text, "enabled ({}): pipd starts at login", manager.name());
        }
        (false, _) => text.push_str("not enabled; enable it: pipctl autostart enable\n"),
    }
    if enabled {
        text.push_str(&coming(&chosen));
    }
    text.push_str(&fates(manager, surroundings)?);
    terminal.print(&text)?;
    Ok(exit)
}

/// What to do where no manager can do it.
fn by_hand() -> String {
    let name = std::env::current_exe().map_or_else(|_| "pipctl".into(), |exe| exe.display().to_string());
    let user = os::process::user_name(nix::unistd::geteuid().as_raw());
    let systemd = Path::new("/run/systemd/system").is_dir();
    let mut text =
        String::from("no service manager of yours runs here, so pipd cannot be started at login by one\n");
    if systemd {
        let _ = writeln!(
            text,
            "  this machine has systemd; you have one after a login (su and sudo are none), or always with:\n    \
             sudo loginctl enable-linger {user}"
        );
    }
    let _ = write!(
        text,
        "  by hand, at boot: crontab -e, and add the line\n    @reboot {name} daemon start\n  \
         by hand, at login: add to ~/.profile\n    {name} daemon start >/dev/null 2>&1"
    );
    text
}
