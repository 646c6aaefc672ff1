//! `pipctl env`: the environment that was captured for a service, against this shell's.

use std::collections::BTreeMap;

use serde::Serialize;
use wire::{CaptureParams, ServiceOutcome, ServiceSpec, Text};

use super::find;
use crate::cli;
use crate::doctor;
use crate::exit::{Exit, Failure};
use crate::render;
use crate::secrets;
use crate::terminal::{Surroundings, Terminal};

/// `--json`.
#[derive(Serialize)]
struct Report<'a> {
    services: &'a [Environment],
}

/// What there is to say of one service; values as they may be shown.
#[derive(Debug, Serialize)]
pub(crate) struct Environment {
    /// The service.
    pub(crate) service: String,
    /// What was captured; `null`: nothing yet.
    pub(crate) captured: Option<BTreeMap<String, String>>,
    /// Variables that this shell has otherwise.
    pub(crate) differences: Vec<Difference>,
    /// Its `.env` files, in the order in which they are read.
    pub(crate) files: Vec<EnvFile>,
    /// What pipd and `pipd.toml` set on top; `null` removes.
    pub(crate) set: BTreeMap<String, Option<String>>,
}

/// A variable with two values.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Difference {
    /// Its name.
    pub(crate) name: String,
    /// As captured.
    pub(crate) captured: Option<String>,
    /// As in this shell.
    pub(crate) shell: Option<String>,
}

/// A `.env` file.
#[derive(Debug, Serialize)]
pub(crate) struct EnvFile {
    /// Where it is.
    pub(crate) path: String,
    /// What it sets.
    pub(crate) variables: BTreeMap<String, String>,
    /// Why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

pub(crate) fn run(
    args: &cli::Env,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    match &args.command {
        Some(cli::EnvCommand::Refresh(args)) => refresh(args, surroundings, terminal),
        None => show(args, surroundings, terminal),
    }
}

fn show(args: &cli::Env, surroundings: &Surroundings, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = find::root(&args.workspace, surroundings)?;
    let (_, spec) = find::spec(&args.workspace, surroundings)?;
    let names: Vec<String> = args.service.iter().cloned().collect();
    find::check_names(&names, &spec)?;
    let record = doctor::record(surroundings, &root)
        .map_err(|error| Failure::new(Exit::Failed, format!("{error}; type: pipctl doctor")))?;
    let of = |service: &ServiceSpec| {
        let captured = record.as_ref().and_then(|record| record.environment(&service.name));
        describe(service, captured.map(|env| &**env), &spec.env, args.show_secrets)
    };
    let wanted = spec.services.iter().filter(|service| names.is_empty() || names.contains(&service.name));
    let environments: Vec<Environment> = wanted.map(of).collect();
    if args.json {
        terminal.print_json(&Report { services: &environments })?;
    } else {
        terminal.print(&render::env(&environments, args.all))?;
    }
    Ok(Exit::Ok)
}

fn describe(
    service: &ServiceSpec,
    captured: Option<&BTreeMap<String, Text>>,
    shell: &BTreeMap<String, Text>,
    secrets: bool,
) -> Environment {
    let show = |name: &str, value: &Text| {
        let value = value.to_string_lossy();
        if secrets { value } else { secrets::shown(name, &value) }
    };
    let mut differences = Vec::new();
    if let Some(captured) = captured {
        let names: std::collections::BTreeSet<&String> = captured.keys().chain(shell.keys()).collect();
        for name in names {
            let (then, now) = (captured.get(name), shell.get(name));
            if then != now {
                let value = |value: Option<&Text>| value.map(|value| show(name, value));
                differences.push(Difference { name: name.clone(), captured: value(then), shell: value(now) });
            }
        }
    }
    let files = service.env_files.iter().map(|path| {
        let (variables, error) = if path.as_path().is_file() {
            match run::environment::read_env_file(path.as_path()) {
                Ok(pairs) => (pairs, None),
                Err(error) => (Vec::new(), Some(error)),
            }
        } else {
            // A pipe gives what it has to whoever reads first.
            (Vec::new(), Some("is read only when the service starts".to_owned()))
        };
        let variables = variables.into_iter().map(|(name, value)| {
            let shown = show(&name, &value);
            (name, shown)
        });
        EnvFile { path: path.to_string_lossy(), variables: variables.collect(), error }
    });
    let all = |env: &BTreeMap<String, Text>| {
        env.iter().map(|(name, value)| (name.clone(), show(name, value))).collect::<BTreeMap<_, _>>()
    };
    Environment {
        service: service.name.clone(),
        captured: captured.map(all),
        differences,
        files: files.collect(),
        set: service
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.as_ref().map(|value| show(name, value))))
            .collect(),
    }
}

fn refresh(
    args: &cli::EnvRefresh,
    surroundings: &Surroundings,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    let root = find::root(&args.workspace, surroundings)?;
    let env = workspace::captured_env(&find::caller(surroundings));
    let params =
        CaptureParams { root: Text::from(root.path.as_path()), env, services: args.services.clone() };
    let answer = find::daemon(surroundings)?.capture(params)?;
    let mut text = String::new();
    let mut running = Vec::new();
    for result in answer.services.iter().filter(|result| result.outcome == ServiceOutcome::Accepted) {
        text.push_str(&format!("{}: gets this shell's environment at its next start\n", result.service.name));
        if result.service.pid.is_some() {
            running.push(result.service.name.as_str());
        }
    }
    if !running.is_empty() {
        text.push_str(&format!(
            "running with the one of before; when it suits you: pipctl restart {}\n",
            running.join(" ")
        ));
    }
    terminal.print(&text)?;
    Ok(Exit::of_answer(&answer))
}
