//! Turns a fault the TOML reader found into one a person can act on.

use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;

/// The reader's message, with the nearest valid name where it complains about a name.
pub(super) fn explain(error: &toml::de::Error, text: &str) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().lines().next().unwrap_or("not TOML");
    for (beginning, what, valid) in
        [("unknown field `", "key", "valid keys"), ("unknown variant `", "value", "valid values")]
    {
        if message.starts_with(beginning) {
            let mut quoted = message.split('`').skip(1).step_by(2);
            let typed = quoted.next().unwrap_or_default();
            let names: Vec<&str> = quoted.collect();
            return unknown(span, what, typed, valid, &names, table_of(text, &error.span()));
        }
    }
    // "invalid type: integer `5`, expected a list": the second half belongs under the caret.
    let (title, label) = match message.split_once(", expected ") {
        Some((title, expected)) => (title, format!("expected {expected}")),
        None => match message.split_once("; ") {
            Some((title, advice)) => (title, advice.to_owned()),
            None => (message, String::new()),
        },
    };
    Diagnostic::new(span, title, label)
}

fn unknown(
    span: std::ops::Range<usize>,
    what: &str,
    typed: &str,
    valid: &str,
    names: &[&str],
    table: Option<&str>,
) -> Diagnostic {
    let place = table.map(|table| format!(" in [{table}]")).unwrap_or_default();
    let label = match nearest(typed, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("not a {what} here"),
    };
    Diagnostic::new(span, format!("unknown {what} `{typed}`{place}"), label)
        .help(format!("{valid}: {}", names.join(", ")))
}

/// The header of the table a place is in; none for a place in a header.
fn table_of<'a>(text: &'a str, span: &Option<std::ops::Range<usize>>) -> Option<&'a str> {
    let before = text.get(..span.as_ref()?.start)?;
    let (finished, line) = before.rsplit_once('\n').unwrap_or(("", before));
    if line.trim_start().starts_with('[') {
        return None;
    }
    let header = finished.lines().rev().find(|line| line.trim_start().starts_with('['))?;
    header
        .trim()
        .strip_prefix('[')?
        .split(']')
        .next()
        .filter(|name| !name.is_empty() && !name.starts_with('['))
}
