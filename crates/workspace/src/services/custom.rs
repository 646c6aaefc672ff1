//! A service of the user's own: a name and a command.

use wire::{Kind, ReadyCheck, ServiceSpec, StopSpec};

use super::{Context, is_enabled, overlay};
use crate::config::{At, Service};
use crate::diagnostic::Diagnostic;

const GRACE_MS: u64 = 5_000;

pub(super) fn plan(
    context: &mut Context<'_>,
    name: &At<String>,
    service: &At<Service>,
) -> Option<ServiceSpec> {
    if !is_name(&name.value) {
        context.fault(
            Diagnostic::new(
                name.span.clone(),
                format!("`{}` cannot be the name of a service", name.value),
                "expected lower case letters, digits, `-` and `_`, at most 64",
            )
            .help("names begin with a letter or a digit"),
        );
        return None;
    }
    if !is_enabled(&service.value) {
        context.looked.push(format!("{} is disabled in {}", name.value, context.config_name));
        return None;
    }
    if service.value.command.is_none() {
        context.fault(
            Diagnostic::new(name.span.clone(), format!("`{}` has no command", name.value), "needs `command`")
                .help("such as: command = [\".venv/bin/python\", \"-m\", \"http.server\", \"{port}\"]"),
        );
        return None;
    }
    let mut spec = overlay::base(context, &name.value);
    spec.found = context.config_name.to_owned();
    if service.value.port.is_some() {
        spec.url_path = "/".to_owned();
        spec.ready.check = ReadyCheck::Http { path: "/".to_owned(), status: None };
        spec.stop = StopSpec::web(GRACE_MS);
    }
    overlay::apply(context, &mut spec, &name.value, service);
    if matches!(spec.ready.check, ReadyCheck::Http { .. }) {
        spec.kind = Kind::Web;
    }
    context.notes.push(format!("{}: {}", name.value, context.config_name));
    Some(spec)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64 && name.starts_with(plain) && name.chars().all(|c| plain(c) || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names() {
        for good in ["a", "7", "tensor-board_2", &"a".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "A", "-a", "_a", "a b", "a.b", "ä", "a/b", &"a".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
