//! Turns a fault the TOML reader found into one a person can act on.

use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;

/// What keeps `text` from being read.
pub(super) fn explain(error: &toml::de::Error, text: &str) -> Diagnostic {
    let (_, faults) = toml::de::DeTable::parse_recoverable(text);
    // A string that is not closed swallows the bracket after it, and is complained about second.
    let open = faults.iter().find(|fault| is_open_string(fault.message()));
    match open.or(faults.first()) {
        Some(fault) => grammar(fault),
        None => meaning(error, text),
    }
}

fn is_open_string(message: &str) -> bool {
    message.starts_with("invalid basic string, expected `\"`")
        || message.starts_with("invalid literal string, expected `'`")
}

/// What is not TOML.
fn grammar(fault: &toml::de::Error) -> Diagnostic {
    let span = fault.span().unwrap_or(0..0);
    let message = fault.message();
    if is_open_string(message) {
        return Diagnostic::new(span, "a string that does not end", "expected its closing quote before here");
    }
    if message.starts_with("string values must be quoted") {
        return if span.is_empty() {
            Diagnostic::new(span, "a key without a value", "expected a value")
        } else {
            Diagnostic::new(span, "text without quotes", "expected quotes around it")
        };
    }
    if message == "duplicate key" {
        return Diagnostic::new(span, "a key that is there twice", "it has a value already");
    }
    let (title, label) = halves(message);
    Diagnostic::new(span, title, label)
}

/// What is TOML and no configuration, with the nearest valid name where a name is unknown.
fn meaning(error: &toml::de::Error, text: &str) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().lines().next().unwrap_or("not a configuration");
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
    let (title, label) = halves(message);
    let title = ["invalid type: ", "invalid value: "]
        .into_iter()
        .find_map(|beginning| title.strip_prefix(beginning))
        .map_or_else(|| title.to_owned(), |found| format!("{} does not fit here", in_toml_words(found)));
    let label = match label.strip_prefix("expected ") {
        Some(expected) => format!("expected {}", in_toml_words(expected)),
        None => label,
    };
    Diagnostic::new(span, title, label)
}

/// "… does not fit, expected a list": the second half belongs under the caret.
fn halves(message: &str) -> (&str, String) {
    match (message.split_once(", expected "), message.split_once("; ")) {
        (Some((title, expected)), _) => (title, format!("expected {expected}")),
        (None, Some((title, advice))) => (title, advice.to_owned()),
        (None, None) => (message, String::new()),
    }
}

/// The reader speaks of Rust's types; people wrote TOML.
fn in_toml_words(text: &str) -> String {
    match text {
        "a sequence" | "sequence" => "a list".to_owned(),
        "a map" | "map" => "a table".to_owned(),
        "a boolean" => "true or false, without quotes".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => "a whole number, 0 or more".to_owned(),
        _ if text.starts_with("struct ") => "a table".to_owned(),
        _ => text
            .replacen("integer `", "the number `", 1)
            .replacen("floating point `", "the number `", 1)
            .replacen("string \"", "the text \"", 1)
            .replacen("boolean `", "`", 1),
    }
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
