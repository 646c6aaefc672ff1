//! `pipctl env`.

use super::arrow;
use super::style::{BAD, FAINT, GOOD, STRONG, Styled};
use super::table::plain;
use crate::commands::env::Environment;

/// Each service's captured environment as a difference to this shell's; with `all`, all of it.
pub(crate) fn env(environments: &[Environment], all: bool) -> String {
    let blocks: Vec<String> = environments.iter().map(|environment| one(environment, all)).collect();
    blocks.join("\n")
}

fn one(environment: &Environment, all: bool) -> String {
    let name = Styled(&environment.service, STRONG);
    let mut text = match (&environment.captured, environment.differences.len()) {
        (None, _) => {
            format!("{name}: nothing was captured yet; the first `pipctl start` takes this shell's\n")
        }
        (Some(_), 0) => format!("{name}: captured as it is in this shell\n"),
        (Some(_), _) => {
            format!("{name}: {} captured, {} in this shell\n", Styled("-", BAD), Styled("+", GOOD))
        }
    };
    for difference in &environment.differences {
        let line = |sign: &str, style, value: &str| {
            format!("  {}\n", Styled(format!("{sign} {}={}", plain(&difference.name), plain(value)), style))
        };
        if let Some(value) = &difference.captured {
            text.push_str(&line("-", BAD, value));
        }
        if let Some(value) = &difference.shell {
            text.push_str(&line("+", GOOD, value));
        }
    }
    if all {
        for (name, value) in environment.captured.iter().flatten() {
            text.push_str(&format!("    {}={}\n", plain(name), plain(value)));
        }
    }
    for file in &environment.files {
        let what = match &file.error {
            Some(error) => plain(error),
            None => file.variables.keys().map(|name| plain(name)).collect::<Vec<_>>().join(", "),
        };
        text.push_str(&format!("  {} {}: {what}\n", Styled("then", FAINT), plain(&file.path)));
    }
    if !environment.set.is_empty() {
        let names = environment.set.iter().map(|(name, value)| match value {
            Some(value) => format!("{}={}", plain(name), plain(value)),
            None => format!("{} removed", plain(name)),
        });
        text.push_str(&format!("  {} {}\n", Styled("then", FAINT), names.collect::<Vec<_>>().join(", ")));
    }
    if !environment.differences.is_empty() {
        text.push_str(&arrow(2, &format!("pipctl env refresh {}", environment.service)));
        text.push('\n');
    }
    text
}
