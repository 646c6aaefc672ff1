//! What every service begins with, and what the configuration changes in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wire::{ExternalPolicy, Kind, LogSpec, PortSpec, ReadySpec, RestartSpec, ServiceSpec, StopSpec, Text};

use super::places::{self, Wanted};
use super::{Context, JUPYTER, SERVER, argv, timing};
use crate::config::{At, Command, EnvValue, External, Logs, OneOrMany, Port, Ports, Service};
use crate::diagnostic::Diagnostic;

/// Where the search for a free port begins for a service without a customary one.
const FIRST_AUTO_PORT: u16 = 8000;
/// Less would rotate at nearly every write.
const SMALLEST_LOG: u64 = 1 << 10;
/// Where programs are looked for when the caller has no PATH.
const STANDARD_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A service that does nothing yet, in the workspace's folder, with the workspace's Python on its PATH.
pub(super) fn base(context: &Context<'_>, name: &str) -> ServiceSpec {
    let mut spec = ServiceSpec {
        name: name.to_owned(),
        kind: Kind::Command,
        argv: Vec::new(),
        cwd: context.root.into(),
        env: python_env(context),
        env_files: Vec::new(),
        port: None,
        ready: ReadySpec::default(),
        stop: StopSpec::default(),
        restart: RestartSpec::default(),
        external: ExternalPolicy::default(),
        after: Vec::new(),
        logs: LogSpec::default(),
        url_path: String::new(),
        watch: Vec::new(),
        found: String::new(),
        refused: None,
        absent: Vec::new(),
        warnings: Vec::new(),
    };
    let workspace = &context.config.workspace;
    spec.env.extend(variables(&workspace.env));
    spec.env_files.extend(files(context, workspace.env_file.as_ref()));
    spec
}

/// What activating the environment would set. Without it `!pip` in a notebook would be the system's.
fn python_env(context: &Context<'_>) -> BTreeMap<String, Option<Text>> {
    let mut env = BTreeMap::new();
    env.insert("PYTHONUNBUFFERED".to_owned(), Some("1".into()));
    let Some(python) = context.python.filter(|python| python.fault().is_none()) else { return env };
    let Some(prefix) = &python.prefix else { return env };
    let bin = prefix.join("bin");
    let path = context.caller.var("PATH").unwrap_or(STANDARD_PATH.as_ref());
    let others = std::env::split_paths(path).filter(|folder| *folder != bin);
    if let Ok(path) = std::env::join_paths(std::iter::once(bin.clone()).chain(others)) {
        env.insert("PATH".to_owned(), Some(path.into()));
    }
    if python.is_venv {
        env.insert("VIRTUAL_ENV".to_owned(), Some(prefix.as_path().into()));
        if context.caller.var("PYTHONHOME").is_some() {
            env.insert("PYTHONHOME".to_owned(), None);
        }
    }
    env
}

/// The customary port of a found service, or the next free one from there.
pub(super) fn default_port(context: &Context<'_>, port: u16) -> PortSpec {
    match context.config.workspace.ports.as_ref().map(|ports| ports.value) {
        Some(Ports::Auto) => PortSpec::Auto(port),
        Some(Ports::Fixed) | None => PortSpec::Fixed(port),
    }
}

/// The folder a service runs in.
pub(super) fn cwd(context: &Context<'_>, service: &Service) -> PathBuf {
    match &service.cwd {
        Some(cwd) => context.path(&cwd.value),
        None => context.root.to_path_buf(),
    }
}

/// Complains about `[workspace]`, once.
pub(super) fn check_workspace(context: &mut Context<'_>) {
    let workspace = &context.config.workspace;
    check_variables(context, &workspace.env, true);
    check_files(context, workspace.env_file.as_ref());
}

/// Changes a service as its table says, and complains about what cannot be done.
pub(super) fn apply(context: &mut Context<'_>, spec: &mut ServiceSpec, name: &str, at: &At<Service>) {
    let service = &at.value;
    check_belonging(context, name, service);
    if let Some(port) = &service.port {
        spec.port = Some(match (port.value, spec.port) {
            (Port::Number(number), _) => PortSpec::Fixed(number),
            (Port::Auto, Some(PortSpec::Fixed(first) | PortSpec::Auto(first))) => PortSpec::Auto(first),
            (Port::Auto, None) => PortSpec::Auto(FIRST_AUTO_PORT),
        });
    }
    command(context, spec, service);
    folder(context, spec, service);
    check_variables(context, &service.env, spec.port.is_some());
    spec.env.extend(variables(&service.env));
    check_files(context, service.env_file.as_ref());
    spec.env_files.extend(files(context, service.env_file.as_ref()));
    timing::ready(context, spec, service);
    timing::stop(spec, service);
    timing::restart(context, spec, service);
    if let Some(external) = &service.external {
        spec.external = match external.value {
            External::Takeover => ExternalPolicy::Takeover,
            External::Leave => ExternalPolicy::Leave,
        };
    }
    for other in &service.after {
        if !spec.after.contains(&other.value) {
            spec.after.push(other.value.clone());
        }
    }
    if let Some(wanted) = &service.logs {
        logs(context, spec, wanted);
    }
    if let Some(path) = &service.url_path {
        if path.value.starts_with('/') {
            spec.url_path.clone_from(&path.value);
        } else {
            context.fault(Diagnostic::new(
                path.span.clone(),
                "not the path of a URL",
                "expected a `/` first",
            ));
        }
    }
    spec.watch.extend(service.watch.iter().map(|path| context.path(&path.value).as_path().into()));
}

/// Keys that only some services have.
fn check_belonging(context: &mut Context<'_>, name: &str, service: &Service) {
    let found = name == JUPYTER || name == SERVER;
    if let Some(script) = &service.script {
        if name != SERVER {
            let fault =
                Diagnostic::new(script.span.clone(), "`script` belongs to `server`", "not a key here");
            context.fault(fault.help("name the file in `command`: [\".venv/bin/python\", \"file.py\"]"));
        } else if service.command.is_some() {
            context.fault(Diagnostic::new(
                script.span.clone(),
                "`script` and `command` exclude each other",
                "expected one of them",
            ));
        }
    }
    if let Some(args) = &service.args
        && (!found || service.command.is_some())
    {
        let fault = Diagnostic::new(
            args.span.clone(),
            "`args` adds to a command that was found",
            "there is none here",
        );
        context.fault(fault.help("write the arguments into `command`"));
    }
    if let Some(allow) = service.allow_root.as_ref().filter(|_| name != JUPYTER) {
        context.fault(Diagnostic::new(
            allow.span.clone(),
            "`allow_root` belongs to `jupyter`",
            "not a key here",
        ));
    }
    if let Some(shell) = service.shell.as_ref().filter(|_| service.command.is_none()) {
        context.fault(Diagnostic::new(
            shell.span.clone(),
            "`shell` says how to read `command`",
            "there is no `command`",
        ));
    }
}

/// What pipd tells JupyterLab itself: told otherwise, it would listen where nobody looks, or be open to everybody.
fn check_jupyter_argument(context: &mut Context<'_>, argument: &At<String>) {
    let name = argument.value.trim_start_matches('-').split('=').next().unwrap_or_default();
    let (title, help) = match name {
        "port" | "port-retries" | "ServerApp.port" | "ServerApp.port_retries" => {
            ("the port is pipd's to tell", "write `port = 8890` below [services.jupyter]")
        }
        "ServerApp.token" | "NotebookApp.token" | "IdentityProvider.token" => (
            "the token is pipd's to tell",
            "the workspace has one that stays the same; `pipctl url jupyter` shows the address with it",
        ),
        _ => return,
    };
    context.fault(Diagnostic::new(argument.span.clone(), title, "cannot be given here").help(help));
}

fn command(context: &mut Context<'_>, spec: &mut ServiceSpec, service: &Service) {
    if let Some(args) = &service.args {
        for argument in &args.value {
            check_text(context, argument, spec.port.is_some());
            if spec.kind == Kind::Jupyter {
                check_jupyter_argument(context, argument);
            }
            spec.argv.push(argument.value.as_str().into());
        }
    }
    let Some(at) = &service.command else { return };
    let shell = service.shell.as_ref().is_some_and(|shell| shell.value);
    match (&at.value, shell) {
        (Command::Line(line), true) => {
            let line = At { value: line.clone(), span: at.span.clone() };
            check_text(context, &line, spec.port.is_some());
            spec.argv = argv(["/bin/sh", "-c", &line.value]);
        }
        (Command::Line(line), false) => {
            let list = as_list(line).map(|list| format!("write a list: command = {list}, or add "));
            let help = format!("{}`shell = true`", list.as_deref().unwrap_or("write a list, or add "));
            let title = "`command` is a list of strings, never a line for a shell unless asked for";
            context.fault(Diagnostic::new(at.span.clone(), title, "expected a list").help(help));
        }
        (Command::List(_), true) => {
            let fault = Diagnostic::new(at.span.clone(), "a shell takes one line", "expected a string");
            context.fault(fault.help("write the line as one string, or remove `shell = true`"));
        }
        (Command::List(words), false) => {
            let Some(first) = words.first().filter(|first| !first.value.is_empty()) else {
                context.fault(Diagnostic::new(
                    at.span.clone(),
                    "`command` is empty",
                    "expected a program first",
                ));
                return;
            };
            for word in words {
                check_text(context, word, spec.port.is_some());
            }
            spec.argv = vec![program(context, first)];
            spec.argv.extend(argv(words.iter().skip(1).map(|word| word.value.as_str())));
        }
    }
}

/// A line without quotes or anything else a shell would see something in, as a list.
fn as_list(line: &str) -> Option<String> {
    let plain = |c: char| c.is_alphanumeric() || " ./-_=:,{}@%+".contains(c);
    let words: Vec<String> = line.split_whitespace().map(|word| format!("{word:?}")).collect();
    (!words.is_empty() && line.chars().all(plain)).then(|| format!("[{}]", words.join(", ")))
}

/// A program with a slash is relative to the workspace, wherever the service runs. It stays unresolved: a virtual
/// environment's Python is known by its path.
fn program(context: &mut Context<'_>, word: &At<String>) -> Text {
    if !word.value.contains('/') || word.value.contains('{') {
        return word.value.as_str().into();
    }
    let path = context.path(&word.value);
    places::check(context, word, &path, Wanted::Program, &format!("cannot run `{}`", word.value));
    path.as_path().into()
}

/// What the operating system cannot take, and what cannot be filled in.
fn check_text(context: &mut Context<'_>, word: &At<String>, has_port: bool) {
    if word.value.contains('\0') {
        let fault = Diagnostic::new(word.span.clone(), "a zero byte cannot be passed on", "has \\u0000");
        context.fault(fault);
    }
    if word.value.contains("{port}") && !has_port {
        let fault =
            Diagnostic::new(word.span.clone(), "`{port}` without a port", "there is no `port` to fill in");
        context.fault(fault.help("add `port = 8000` or `port = \"auto\"`"));
    }
}

fn folder(context: &mut Context<'_>, spec: &mut ServiceSpec, service: &Service) {
    let Some(at) = &service.cwd else { return };
    let path = cwd(context, service);
    places::check(context, at, &path, Wanted::Folder, "no such folder");
    spec.cwd = path.as_path().into();
}

fn variables(env: &BTreeMap<At<String>, At<EnvValue>>) -> impl Iterator<Item = (String, Option<Text>)> {
    env.iter().map(|(name, value)| {
        let value = match &value.value {
            EnvValue::Set(text) => Some(text.as_str().into()),
            EnvValue::Remove => None,
        };
        (name.value.clone(), value)
    })
}

fn check_variables(context: &mut Context<'_>, env: &BTreeMap<At<String>, At<EnvValue>>, has_port: bool) {
    for (name, value) in env {
        if name.value.is_empty() || name.value.contains(['=', '\0']) {
            let title = format!("`{}` cannot be the name of a variable", name.value.escape_default());
            context.fault(Diagnostic::new(name.span.clone(), title, "expected a name without `=`"));
        }
        if let EnvValue::Set(text) = &value.value {
            check_text(context, &At { value: text.clone(), span: value.span.clone() }, has_port);
        }
    }
}

fn files<'a>(context: &Context<'a>, files: Option<&'a OneOrMany>) -> impl Iterator<Item = Text> {
    let root: &'a Path = context.root;
    let files = files.map(|files| files.0.as_slice()).unwrap_or_default();
    files.iter().map(move |file| root.join(&file.value).as_path().into())
}

fn check_files(context: &mut Context<'_>, files: Option<&OneOrMany>) {
    for file in files.map(|files| files.0.as_slice()).unwrap_or_default() {
        let path = context.path(&file.value);
        places::check(context, file, &path, Wanted::File, "no such env file");
    }
}

fn logs(context: &mut Context<'_>, spec: &mut ServiceSpec, wanted: &Logs) {
    if let Some(size) = &wanted.file_size {
        spec.logs.file_bytes = size.value.0;
        if size.value.0 < SMALLEST_LOG {
            context.fault(Diagnostic::new(
                size.span.clone(),
                "too small for a log file",
                "expected \"1KiB\" or more",
            ));
        }
    }
    if let Some(files) = &wanted.files {
        spec.logs.files = files.value;
        if !(1..=1000).contains(&files.value) {
            context.fault(Diagnostic::new(files.span.clone(), "not a number of files", "expected 1 to 1000"));
        }
    }
}
