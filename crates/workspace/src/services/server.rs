//! The workspace's own server: the service `server`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use wire::{Kind, ReadyCheck, ReadySpec, ServiceSpec, StopSpec, Text};

use super::places::{self, Wanted};
use super::{Context, SERVER, overlay};
use crate::Error;
use crate::config::{At, Service};
use crate::diagnostic::Diagnostic;
use crate::python::{CANDIDATES, Serving, inspect};

const PORT: u16 = 5001;
const GRACE_MS: u64 = 5_000;
/// No server is longer; what comes after is not looked at.
const SOURCE_LIMIT: u64 = 1 << 20;

/// The file that is run, and what its source says.
struct Script {
    name: String,
    serving: Option<Serving>,
}

pub(super) fn plan(context: &mut Context<'_>) -> Result<Option<ServiceSpec>, Error> {
    if context.is_disabled(SERVER) {
        context.looked.push(format!("{SERVER} is disabled in {}", context.config_name));
        return Ok(None);
    }
    let configured = context.configured(SERVER);
    let mut spec = base(context);
    if let Some(service) = configured.filter(|service| service.value.command.is_some()) {
        spec.found = context.config_name.to_owned();
        context.notes.push(format!("{SERVER}: the command of {}", context.config_name));
        overlay::apply(context, &mut spec, SERVER, service);
        return Ok(Some(spec));
    }
    let Some(script) = script(context, configured) else { return Ok(None) };
    let python = context.need_python()?;
    spec.found = match &script.serving {
        Some(serving) => format!("{} calls {}", script.name, serving.call),
        None => format!("{} says {}", context.config_name, script.name),
    };
    context.notes.push(format!("{SERVER}: {}", spec.found));
    spec.argv = vec![Text::from(python.path.as_path()), Text::from(script.name.as_str())];
    let fixed = script.serving.and_then(|serving| serving.fixed_port);
    if let Some(port) = fixed {
        spec.port = Some(wire::PortSpec::Fixed(port));
    }
    if let Some(service) = configured {
        overlay::apply(context, &mut spec, SERVER, service);
    }
    if let (Some(port), Some(wire::PortSpec::Fixed(told))) = (fixed, spec.port)
        && port != told
        && configured.is_none_or(|service| service.value.args.is_none())
    {
        spec.warnings.push(format!(
            "{} listens on {port} whatever PORT says, and {} says {told}",
            script.name, context.config_name
        ));
    }
    Ok(Some(spec))
}

fn base(context: &Context<'_>) -> ServiceSpec {
    let mut spec = overlay::base(context, SERVER);
    spec.kind = Kind::Web;
    spec.port = Some(overlay::default_port(context, PORT));
    spec.ready =
        ReadySpec { check: ReadyCheck::Http { path: "/".to_owned(), status: None }, ..ReadySpec::default() };
    spec.stop = StopSpec::web(GRACE_MS);
    spec.url_path = "/".to_owned();
    // `[workspace.env]` may have said something else.
    spec.env.entry("PORT".to_owned()).or_insert(Some("{port}".into()));
    spec
}

/// The configured script, or the first candidate that serves.
fn script(context: &mut Context<'_>, configured: Option<&At<Service>>) -> Option<Script> {
    if let Some(service) = configured
        && let Some(script) = &service.value.script
    {
        let folder = overlay::cwd(context, &service.value);
        let path = folder.join(&script.value);
        places::check(context, script, &path, Wanted::File, "no such script");
        return Some(Script {
            name: script.value.clone(),
            serving: read(&path).as_deref().and_then(inspect),
        });
    }
    let mut seen = Vec::new();
    for name in CANDIDATES {
        let path = context.root.join(name);
        if !path.is_file() {
            continue;
        }
        let Some(source) = read(&path) else {
            seen.push(format!("{name} cannot be read"));
            continue;
        };
        if let Some(serving) = inspect(&source) {
            context.notes.extend(seen);
            return Some(Script { name: name.to_owned(), serving: Some(serving) });
        }
        seen.push(format!("{name} does not serve: it calls no serve(), uvicorn.run() or app.run()"));
    }
    if seen.is_empty() {
        context.looked.push(format!("there is no {}", CANDIDATES.join(", no ")));
    } else {
        context.notes.extend(seen.iter().map(|line| format!("{SERVER}: {line}")));
        context.looked.extend(seen);
    }
    if let Some(service) = configured {
        let fault = Diagnostic::new(
            service.span.clone(),
            "nothing to run for `server`",
            "needs `script` or `command`",
        )
        .help("say which file serves: script = \"server.py\"");
        context.fault(fault);
    }
    None
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut source = Vec::new();
    File::open(path).ok()?.take(SOURCE_LIMIT).read_to_end(&mut source).ok()?;
    Some(source)
}
