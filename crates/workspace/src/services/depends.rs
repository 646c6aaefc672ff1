//! What the services use and pipd does not run: `[depends.<name>]`.

use wire::DependSpec;

use super::Context;
use crate::config::{At, Config};
use crate::diagnostic::Diagnostic;

/// In the order of the file.
pub(crate) fn plan(config: &Config) -> Vec<DependSpec> {
    let mut found: Vec<_> = config.depends.iter().collect();
    found.sort_by_key(|(name, _)| name.span.start);
    found
        .into_iter()
        .map(|(name, depend)| DependSpec {
            name: name.value.clone(),
            url: depend.value.url.value.trim_end_matches('/').to_owned(),
        })
        .collect()
}

/// Complains about addresses that nobody can ask, and about modules that cannot be named.
pub(super) fn check(context: &mut Context<'_>) {
    let config = context.config;
    for depend in config.depends.values() {
        let At { value, span } = &depend.value.url;
        if !is_address(value) {
            let fault = Diagnostic::new(span.clone(), "not an address", "expected `http://host:port`");
            context.fault(fault.help("for example: url = \"http://localhost:11434\""));
        }
    }
    for module in config.doctor.imports.iter().flatten() {
        let named = |part: &str| {
            part.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        };
        if !module.value.split('.').all(named) {
            let fault =
                Diagnostic::new(module.span.clone(), "not a module", "expected a name as in `import name`");
            context.fault(fault);
        }
    }
}

fn is_address(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let authority = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    authority.is_some_and(|authority| {
        let host = authority.rsplit_once(':').map_or(authority, |(host, port)| {
            if port.parse::<u16>().is_ok() || authority.ends_with(']') { host } else { "" }
        });
        !host.is_empty() && !url.contains(char::is_whitespace)
    })
}
