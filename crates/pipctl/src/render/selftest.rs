//! `pipctl selftest`: rows that are printed as they come, so their columns are known beforehand.

use std::time::Duration;

use selftest::{Outcome, Row};
use unicode_width::UnicodeWidthStr;

use super::style::{BAD, FAINT, GOOD, Styled, WAITING};
use super::table::{Table, plain};
use crate::clock::span;

type Known = [(&'static str, &'static str)];

/// What can be checked.
pub(crate) fn names(all: &Known) -> String {
    let mut table = Table::with_heading(&["CHECK", "PROMISE"]);
    for (check, promise) in all {
        table.row(vec![(*check).into(), (*promise).into()]);
    }
    table.render()
}

/// Before the first row.
pub(crate) fn heading(version: &str, system: &str, all: &Known) -> String {
    let (first, second) = widths(all);
    let names = format!("{:first$}  {:second$}  OUTCOME  TIME", "CHECK", "PROMISE");
    format!("pipd {version} on {}; nothing of yours is touched\n{}\n", plain(system), Styled(names, FAINT))
}

/// One check.
pub(crate) fn row(row: &Row, all: &Known) -> String {
    let (first, second) = widths(all);
    let (word, style, detail) = match &row.outcome {
        Outcome::Kept => ("kept", GOOD, None),
        Outcome::Except(what) => ("except", WAITING, Some(what)),
        Outcome::Broken(what) => ("BROKEN", BAD, Some(what)),
    };
    let outcome = format!("{}{:pad$}", Styled(word, style), "", pad = 7 - word.len());
    let took = span(u64::try_from(row.took.as_millis()).unwrap_or(u64::MAX));
    let mut text = format!("{:first$}  {:second$}  {outcome}  {took}\n", row.check, row.promise);
    for line in detail.into_iter().flat_map(|detail| detail.lines()) {
        text.push_str(&format!("    {}\n", plain(line)));
    }
    text
}

/// After the last row.
pub(crate) fn summary(rows: &[Row], took: Duration, folder: Option<&str>) -> String {
    let took = span(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let broken: Vec<&str> =
        rows.iter().filter(|row| matches!(row.outcome, Outcome::Broken(_))).map(|row| row.check).collect();
    let mut text = if broken.is_empty() {
        format!("{} in {took}\n", Styled(format!("{} checked, all kept", rows.len()), GOOD))
    } else {
        let line = format!("{} checked, {} broken", rows.len(), broken.len());
        format!(
            "{} in {took}; again, with its files: pipctl selftest --keep {}\n",
            Styled(line, BAD),
            broken.join(" ")
        )
    };
    if let Some(folder) = folder {
        text.push_str(&format!("kept: {}\n", plain(folder)));
    }
    text
}

fn widths(all: &Known) -> (usize, usize) {
    let widest = |pick: fn(&(&'static str, &'static str)) -> &'static str| {
        all.iter().map(|row| pick(row).width()).max().unwrap_or(0)
    };
    (widest(|row| row.0), widest(|row| row.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_below_their_heading_and_say_what_is_broken() {
        let all = [("private", "open to you alone"), ("port-taken", "its holder is named")];
        let took = Duration::from_millis(120);
        let rows = [
            Row { check: "private", promise: all[0].1, outcome: Outcome::Kept, took },
            Row {
                check: "port-taken",
                promise: all[1].1,
                outcome: Outcome::Broken("not named\n\u{1b}[2J".into()),
                took,
            },
        ];
        let mut text = heading("0.1.0", "Linux", &all);
        text.extend(rows.iter().map(|found| row(found, &all)));
        text.push_str(&summary(&rows, Duration::from_millis(300), Some("/tmp/x")));
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            text,
            "\
pipd 0.1.0 on Linux; nothing of yours is touched
CHECK       PROMISE              OUTCOME  TIME
private     open to you alone    kept     120 ms
port-taken  its holder is named  BROKEN   120 ms
    not named
    \\u{1b}[2J
2 checked, 1 broken in 300 ms; again, with its files: pipctl selftest --keep port-taken
kept: /tmp/x
"
        );
    }
}
