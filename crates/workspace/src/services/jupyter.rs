//! JupyterLab, when it can be imported: the service `jupyter`.

use wire::{Kind, ReadyCheck, ReadySpec, ServiceSpec, StopSpec, Text};

use super::{Context, JUPYTER, argv, overlay};
use crate::Error;
use crate::python::{JupyterLab, jupyterlab};

const PORT: u16 = 8888;
/// Its worst healthy stop took 6.5 s.
const GRACE_MS: u64 = 10_000;

/// `--allow-root` is the one thing JupyterLab asks of root; whether to give it is the user's choice.
enum AsRoot {
    NotRoot,
    Allowed { warn: bool },
    Refused,
}

pub(super) fn plan(context: &mut Context<'_>) -> Result<Option<ServiceSpec>, Error> {
    if context.is_disabled(JUPYTER) {
        context.looked.push(format!("{JUPYTER} is disabled in {}", context.config_name));
        return Ok(None);
    }
    let configured = context.configured(JUPYTER);
    let mut spec = base(context);
    if let Some(service) = configured.filter(|service| service.value.command.is_some()) {
        spec.found = context.config_name.to_owned();
        context.notes.push(format!("{JUPYTER}: the command of {}", context.config_name));
        overlay::apply(context, &mut spec, JUPYTER, service);
        return Ok(Some(spec));
    }
    if configured.is_some() {
        context.need_python()?;
    }
    let lab = match context.python.filter(|python| python.fault().is_none()) {
        Some(python) => jupyterlab(python, context.root, context.caller),
        None => JupyterLab::Unknown(match context.python.and_then(|python| python.fault()) {
            Some(fault) => fault.to_owned(),
            None => "there is no Python to have it".to_owned(),
        }),
    };
    let Some(python) = context.python else {
        context.looked.push("JupyterLab: there is no Python to have it".to_owned());
        return Ok(None);
    };
    let place = python.label.strip_suffix("/bin/python").unwrap_or(&python.label);
    let missing = match lab {
        JupyterLab::Importable(version) => {
            let version = version.map(|version| format!(" {version}")).unwrap_or_default();
            spec.found = format!("jupyterlab{version} in {place}");
            None
        }
        JupyterLab::Absent => Some(format!("jupyterlab is not in {place}")),
        JupyterLab::Unknown(why) => {
            context.warnings.push(format!("could not tell whether jupyterlab is installed: {why}"));
            Some(format!("jupyterlab was not found: {why}"))
        }
    };
    if let Some(missing) = missing {
        context.notes.push(format!("{JUPYTER}: {missing}"));
        if configured.is_none() {
            context.looked.push(missing);
            return Ok(None);
        }
        let install = context.caller.command_in(context.root, &python.install(context.root, "jupyterlab"));
        spec.refused = Some(format!("{missing}; type: {install}"));
        spec.found = context.config_name.to_owned();
    } else {
        context.notes.push(format!("{JUPYTER}: {}", spec.found));
    }
    spec.argv = vec![Text::from(python.path.as_path())];
    spec.argv.extend(argv([
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
    ]));
    as_root(context, &mut spec);
    if let Some(service) = configured {
        overlay::apply(context, &mut spec, JUPYTER, service);
    }
    Ok(Some(spec))
}

fn base(context: &Context<'_>) -> ServiceSpec {
    let mut spec = overlay::base(context, JUPYTER);
    spec.kind = Kind::Jupyter;
    spec.port = Some(overlay::default_port(context, PORT));
    // The one address that answers without a token and without a line in the log.
    spec.ready = ReadySpec {
        check: ReadyCheck::Http { path: "/api".to_owned(), status: None },
        ..ReadySpec::default()
    };
    spec.stop = StopSpec::jupyter(GRACE_MS);
    spec.url_path = "/lab".to_owned();
    spec
}

fn as_root(context: &Context<'_>, spec: &mut ServiceSpec) {
    let choice = context.configured(JUPYTER).and_then(|service| service.value.allow_root.as_ref());
    let choice = match (context.caller.is_root, choice.map(|choice| choice.value)) {
        (false, _) => AsRoot::NotRoot,
        (true, Some(false)) => AsRoot::Refused,
        (true, Some(true)) => AsRoot::Allowed { warn: false },
        (true, None) => AsRoot::Allowed { warn: true },
    };
    match choice {
        AsRoot::NotRoot => {}
        AsRoot::Allowed { warn } => {
            spec.argv.push("--allow-root".into());
            if warn {
                spec.warnings.push(
                    "runs as root (--allow-root): every notebook can do everything; `allow_root = true` or \
                     `false` under [services.jupyter] settles it"
                        .to_owned(),
                );
            }
        }
        AsRoot::Refused => {
            spec.refused = Some(format!(
                "JupyterLab may not run as root here ({} says `allow_root = false`); as an ordinary user, or with \
                 `allow_root = true`, type: pipctl start {JUPYTER}",
                context.config_name
            ));
        }
    }
}
