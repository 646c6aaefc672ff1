//! `pipctl open`: the browser, from this process and in the foreground, because only here is a person.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{find, url};
use crate::cli;
use crate::exit::{Exit, Failure};
use crate::process::{Ran, run_until};
use crate::terminal::{Surroundings, Terminal};

/// An opener that takes longer has become the browser itself.
const OPENER: Duration = Duration::from_secs(5);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// What tmux is given to say which display its clients have.
const TMUX: Duration = Duration::from_millis(500);

pub(crate) fn run(
    args: &cli::Open,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let root = find::kept_root(&args.workspace, surroundings)?.path;
    let snapshot = find::daemon(surroundings)?.status(Some(&root))?;
    let service = match &args.service {
        Some(name) => find::service_of(&snapshot, &root, name)?,
        None => {
            let view = find::view_of(&snapshot, &root).ok_or_else(|| find::never_started(&root))?;
            view.services.iter().find(|service| url::answers(service)).ok_or_else(|| {
                Failure::new(Exit::Failed, "no service with an address is running; start it: pipctl start")
            })?
        }
    };
    match &service.url {
        Some(url) if url::answers(service) => {
            let page = Page { name: &service.name, url, shown: service.address.as_deref().unwrap_or(url) };
            browse(page, false, surroundings, terminal)
        }
        _ => Err(url::no_url(service)),
    }
}

/// What is to be opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    /// The service.
    pub(super) name: &'a str,
    /// The address with what logs in: for the browser alone.
    pub(super) url: &'a str,
    /// The address without, for people.
    pub(super) shown: &'a str,
}

/// A program that may open an address, and what to call it with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Opener {
    program: OsString,
    arguments: Vec<OsString>,
    /// Variables it needs and this shell lacks.
    env: Vec<(String, String)>,
}

/// Opens an address in the browser. The address is always told, what logs in never.
pub(super) fn browse(
    page: Page<'_>,
    quiet: bool,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let (openers, mut reasons) = openers(surroundings, page.url);
    for opener in openers {
        match call(&opener, surroundings) {
            Ok(()) => {
                if !quiet {
                    terminal.print(&format!("opened {}\n", page.shown))?;
                }
                return Ok(Exit::Ok);
            }
            Err(why) => reasons.push(format!("{}: {why}", opener.program.to_string_lossy())),
        }
    }
    let Page { name, shown, .. } = page;
    let login = if page.url == shown {
        String::new()
    } else {
        format!("; the address that logs in: pipctl url {name}")
    };
    Err(Failure::new(
        Exit::Failed,
        format!(
            "no browser could be opened ({}); open it yourself, or set BROWSER: {shown}{login}",
            reasons.join("; ")
        ),
    ))
}

/// Calls an opener and waits for its word. It is left alone, with nothing of this terminal, when it stays.
fn call(opener: &Opener, surroundings: &Surroundings) -> Result<(), String> {
    // A file, not a pipe: a browser that goes on must not be ended by complaining to nobody.
    let mut complaints = scratch();
    let mut command = Command::new(&opener.program);
    command.args(&opener.arguments).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    command.env_clear().envs(surroundings.env.iter().map(|(name, value)| (name, value)));
    command.envs(opener.env.iter().map(|(name, value)| (name, value)));
    match complaints.as_ref().and_then(|file| file.try_clone().ok()) {
        Some(file) => command.stderr(file),
        None => command.stderr(Stdio::null()),
    };
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "not found".to_owned(),
        _ => error.to_string(),
    })?;
    let until = Instant::now() + OPENER;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                let mut said = String::new();
                if let Some(file) = &mut complaints {
                    let _ = file.rewind().and_then(|()| file.take(4096).read_to_string(&mut said));
                }
                let last = said.lines().rev().find(|line| !line.trim().is_empty()).map(str::trim);
                return Err(last.map_or_else(|| status.to_string(), |last| format!("{status}: {last}")));
            }
            Ok(None) => std::thread::sleep(LOOK),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// A file that has no name any more.
fn scratch() -> Option<File> {
    let path = std::env::temp_dir().join(format!("pipctl-open-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).ok()?;
    let _ = std::fs::remove_file(&path);
    Some(file)
}

/// Where a browser is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Desktop {
    Mac,
    /// Linux inside Windows: the browser is Windows's.
    Wsl,
    /// A display, and the variables for it that this shell lacks.
    Display(Vec<(String, String)>),
    None,
}

/// `os` as in [`std::env::consts::OS`]; `kernel` as `uname -r` says it.
fn desktop(
    os: &str,
    kernel: &str,
    surroundings: &Surroundings,
    display: Option<Vec<(String, String)>>,
) -> Desktop {
    let says = |name: &str| surroundings.var(name).is_some();
    // A shell that came by ssh or sudo has lost the variables; the kernel still tells.
    let windows = kernel.to_ascii_lowercase().contains("microsoft");
    match display {
        _ if os == "macos" => Desktop::Mac,
        _ if says("WSL_DISTRO_NAME") || says("WSL_INTEROP") || windows => Desktop::Wsl,
        Some(env) => Desktop::Display(env),
        None => Desktop::None,
    }
}

/// `$BROWSER` (a list separated by colons, `%s` stands for the address), then the system's opener; and why there is none.
fn openers(surroundings: &Surroundings, url: &str) -> (Vec<Opener>, Vec<String>) {
    let display = display(surroundings);
    // What `uname -r` says, without calling it; nothing on macOS, which is known by its name.
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
    let desktop = desktop(std::env::consts::OS, &kernel.unwrap_or_default(), surroundings, display.clone());
    let browser = surroundings.var("BROWSER").map(|browser| browser.to_string_lossy().into_owned());
    openers_on(&desktop, browser.as_deref(), display.unwrap_or_default(), url)
}

fn openers_on(
    desktop: &Desktop,
    browser: Option<&str>,
    display: Vec<(String, String)>,
    url: &str,
) -> (Vec<Opener>, Vec<String>) {
    let mut openers = Vec::new();
    let opener = |program: &str, arguments: Vec<OsString>, env: Vec<(String, String)>| Opener {
        program: program.into(),
        arguments,
        env,
    };
    for entry in browser.iter().flat_map(|list| list.split(':')).filter(|entry| !entry.is_empty()) {
        let mut words = entry.split_whitespace().map(|word| word.replace("%s", url));
        let Some(program) = words.next() else { continue };
        let mut arguments: Vec<OsString> = words.map(OsString::from).collect();
        if !entry.contains("%s") {
            arguments.push(url.into());
        }
        openers.push(opener(&program, arguments, display.clone()));
    }
    match desktop {
        Desktop::Mac => {
            openers.push(opener("open", vec![url.into()], Vec::new()));
            // What `open` refuses while the browser is not running (error -600), this one starts.
            let script = format!("open location \"{url}\"");
            openers.push(opener("osascript", vec!["-e".into(), script.into()], Vec::new()));
        }
        Desktop::Wsl => {
            openers.push(opener("wslview", vec![url.into()], Vec::new()));
            let script = format!("Start-Process '{url}'");
            let arguments =
                ["-NoProfile", "-Command"].into_iter().map(OsString::from).chain([script.into()]).collect();
            openers.push(opener("powershell.exe", arguments, Vec::new()));
        }
        Desktop::Display(env) => openers.push(opener("xdg-open", vec![url.into()], env.clone())),
        Desktop::None => return (openers, vec!["there is no display here".to_owned()]),
    }
    (openers, Vec::new())
}

/// What is needed for the display, on top of this shell's variables; `None` without one. A shell in tmux has the display of
/// the day tmux was started, or none; tmux itself knows that of the terminal in front of it.
fn display(surroundings: &Surroundings) -> Option<Vec<(String, String)>> {
    const NAMES: [&str; 3] = ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"];
    let has_one = surroundings.var("DISPLAY").is_some() || surroundings.var("WAYLAND_DISPLAY").is_some();
    let mut found = Vec::new();
    if surroundings.var("TMUX").is_some() {
        let mut command = Command::new("tmux");
        command.arg("show-environment").env_clear();
        command.envs(surroundings.env.iter().map(|(name, value)| (name, value)));
        if let Ran::Ended(ended) = run_until(&mut command, Instant::now() + TMUX) {
            let pairs = ended.out.lines().filter_map(|line| line.split_once('='));
            found.extend(
                pairs
                    .filter(|(name, value)| NAMES.contains(name) && !value.is_empty())
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
    }
    (has_one || found.iter().any(|(name, _)| name != "XAUTHORITY")).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(env: &[(&str, &str)]) -> Surroundings {
        let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Surroundings { env, ..Surroundings::default() }
    }

    #[cfg(target_os = "linux")]
    fn programs(env: &[(&str, &str)]) -> Vec<String> {
        let (openers, _) = openers(&surroundings(env), "http://localhost:1/");
        openers.into_iter().map(|opener| opener.program.to_string_lossy().into_owned()).collect()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn each_place_has_its_openers() {
        assert_eq!(programs(&[]), [""; 0]);
        assert_eq!(programs(&[("DISPLAY", ":0")]), ["xdg-open"]);
        assert_eq!(programs(&[("WAYLAND_DISPLAY", "wayland-0")]), ["xdg-open"]);
        assert_eq!(programs(&[("WSL_DISTRO_NAME", "Debian")]), ["wslview", "powershell.exe"]);
        assert_eq!(programs(&[("BROWSER", "w3m:firefox %s --new-tab")]), ["w3m", "firefox"]);
        assert_eq!(openers(&surroundings(&[]), "x").1, ["there is no display here"]);
    }

    #[test]
    fn each_system_is_told_from_the_others() {
        let on = |os: &str, kernel: &str, env: &[(&str, &str)], display: bool| {
            desktop(os, kernel, &surroundings(env), display.then(Vec::new))
        };
        assert_eq!(on("macos", "25.1.0", &[("DISPLAY", ":0")], true), Desktop::Mac);
        let windows = "5.15.167.4-microsoft-standard-WSL2";
        assert_eq!(on("linux", windows, &[], false), Desktop::Wsl);
        assert_eq!(on("linux", "4.4.0-19041-Microsoft", &[], true), Desktop::Wsl);
        assert_eq!(on("linux", "6.1.0", &[("WSL_INTEROP", "/run/WSL/1_interop")], true), Desktop::Wsl);
        assert_eq!(on("linux", "6.1.0", &[], true), Desktop::Display(Vec::new()));
        assert_eq!(on("linux", "6.1.0", &[], false), Desktop::None);
    }

    #[test]
    fn each_system_has_its_words_and_the_address_in_them() {
        let words = |desktop: &Desktop| -> Vec<String> {
            let (openers, _) = openers_on(desktop, None, Vec::new(), "http://x/lab?token=t&y=1");
            let all = |opener: &Opener| {
                let arguments = opener.arguments.iter().map(|word| word.to_string_lossy());
                let words = std::iter::once(opener.program.to_string_lossy()).chain(arguments);
                words.collect::<Vec<_>>().join(" | ")
            };
            openers.iter().map(all).collect()
        };
        let script = "osascript | -e | open location \"http://x/lab?token=t&y=1\"";
        assert_eq!(words(&Desktop::Mac), ["open | http://x/lab?token=t&y=1", script]);
        // Quoted: an ampersand is a word of PowerShell's.
        let script = "powershell.exe | -NoProfile | -Command | Start-Process 'http://x/lab?token=t&y=1'";
        assert_eq!(words(&Desktop::Wsl), ["wslview | http://x/lab?token=t&y=1", script]);
        // What the person names comes first, everywhere.
        let (openers, _) = openers_on(&Desktop::Mac, Some("lynx"), Vec::new(), "http://x/");
        let programs: Vec<_> = openers.iter().map(|opener| opener.program.to_string_lossy()).collect();
        assert_eq!(programs, ["lynx", "open", "osascript"]);
    }

    #[test]
    fn what_an_opener_says_is_told_when_it_fails() {
        let dir = tempfile::tempdir().unwrap();
        let asked = dir.path().join("asked");
        let here = surroundings(&[("PATH", "/usr/bin:/bin")]);
        let call_it = |program: &str, script: &str| {
            let arguments = ["-c", script, "fake", "http://x/"].iter().map(OsString::from).collect();
            call(&Opener { program: program.into(), arguments, env: Vec::new() }, &here)
        };
        let refused = call_it("/bin/sh", "echo 'LSOpenURLs: error -600' >&2; exit 1");
        assert!(refused.as_ref().unwrap_err().ends_with(": LSOpenURLs: error -600"), "{refused:?}");
        assert_eq!(call_it("/nowhere/open", ""), Err("not found".to_owned()));
        let script = format!("printf '%s' \"$1\" > '{}'", asked.display());
        assert_eq!(call_it("/bin/sh", &script), Ok(()));
        assert_eq!(std::fs::read_to_string(asked).unwrap(), "http://x/");
    }

    #[test]
    fn the_address_goes_where_the_person_says() {
        let (openers, _) = openers(&surroundings(&[("BROWSER", "firefox %s --new-tab:w3m")]), "http://x/");
        assert_eq!(openers[0].arguments, ["http://x/", "--new-tab"]);
        assert_eq!(openers[1].arguments, ["http://x/"]);
    }
}
