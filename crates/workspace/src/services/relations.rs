//! What must hold between services: one port each, and no waiting in a circle.

use wire::{PortSpec, ServiceSpec};

use super::Context;
use crate::config::{At, Service};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;

pub(super) fn check(context: &mut Context<'_>, services: &[ServiceSpec]) {
    ports(context, services);
    // A service with faults of its own is not among them, and saying that it is unknown would mislead.
    if context.faults.is_empty() {
        known(context, services);
    }
    if context.faults.is_empty() {
        circles(context);
    }
}

fn ports(context: &mut Context<'_>, services: &[ServiceSpec]) {
    for (index, second) in services.iter().enumerate() {
        let Some(PortSpec::Fixed(port)) = second.port else { continue };
        let Some(first) = services[..index].iter().find(|first| first.port == second.port) else { continue };
        let place = |name: &str| context.configured(name).and_then(|service| service.value.port.as_ref());
        let title = format!("`{}` and `{}` have the same port {port}", first.name, second.name);
        let help = "give one of them another port, or `port = \"auto\"`";
        let fault = match (place(&first.name), place(&second.name)) {
            (Some(earlier), Some(later)) => Diagnostic::new(later.span.clone(), title, "taken above")
                .also(earlier.span.clone(), format!("`{}` has it", first.name)),
            (None, Some(at)) => {
                Diagnostic::new(at.span.clone(), title, format!("`{}` ({}) has it", first.name, first.found))
            }
            (Some(at), None) => Diagnostic::new(
                at.span.clone(),
                title,
                format!("`{}` ({}) has it", second.name, second.found),
            ),
            // Both were found: two customary ports are never the same, one read from a source can be.
            (None, None) => {
                context.warnings.push(format!("{title}; {help} in pipd.toml"));
                continue;
            }
        };
        context.fault(fault.help(help));
    }
}

/// Configured services in the order of the file, with their names.
fn configured<'a>(context: &Context<'a>) -> Vec<(&'a str, &'a At<Service>)> {
    let services = context.config.services.iter();
    let mut found: Vec<_> = services.map(|(name, service)| (name.value.as_str(), service)).collect();
    found.retain(|(name, _)| !context.is_disabled(name));
    found.sort_by_key(|(_, service)| service.span.start);
    found
}

fn known(context: &mut Context<'_>, services: &[ServiceSpec]) {
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    for (name, service) in configured(context) {
        for other in &service.value.after {
            let wanted = other.value.as_str();
            if wanted == name {
                let title = format!("`{name}` cannot wait for itself");
                context.fault(Diagnostic::new(other.span.clone(), title, "expected another service"));
                continue;
            }
            if names.contains(&wanted) {
                continue;
            }
            let label = if context.is_disabled(wanted) {
                format!("`{wanted}` is disabled")
            } else {
                match nearest(wanted, &names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "not a service of this workspace".to_owned(),
                }
            };
            let fault = Diagnostic::new(other.span.clone(), format!("unknown service `{wanted}`"), label);
            context.fault(fault.help(format!("services: {}", names.join(", "))));
        }
    }
}

fn circles(context: &mut Context<'_>) {
    let all = configured(context);
    let mut finished: Vec<&str> = Vec::new();
    for (name, _) in &all {
        let mut path = Vec::new();
        if let Some(fault) = walk(name, &all, &mut path, &mut finished) {
            context.fault(fault);
            return;
        }
    }
}

/// Follows `after` from one service; `path` is how it came here.
fn walk<'a>(
    name: &'a str,
    all: &[(&'a str, &'a At<Service>)],
    path: &mut Vec<&'a str>,
    finished: &mut Vec<&'a str>,
) -> Option<Diagnostic> {
    if finished.contains(&name) {
        return None;
    }
    path.push(name);
    let service = all.iter().find(|(other, _)| *other == name).map(|(_, service)| *service);
    for other in service.map(|service| service.value.after.as_slice()).unwrap_or_default() {
        if let Some(begin) = path.iter().position(|earlier| *earlier == other.value) {
            let mut circle = path[begin..].to_vec();
            circle.push(&other.value);
            let title = format!("services wait for each other: {}", circle.join(" waits for "));
            return Some(Diagnostic::new(other.span.clone(), title, "closes the circle"));
        }
        if let Some(fault) = walk(&other.value, all, path, finished) {
            return Some(fault);
        }
    }
    path.pop();
    finished.push(name);
    None
}
