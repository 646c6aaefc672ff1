//! `pipctl doctor`.

use std::time::Duration;

use super::arrow;
use super::style::{BAD, FAINT, GOOD, STRONG, Styled, WAITING};
use super::table::{Cell, Table, plain};
use crate::doctor::{Finding, Level};

/// A row for each finding, the command that mends it below, and a sentence at the end.
pub(crate) fn doctor(findings: &[Finding], took: Duration) -> String {
    let mut table = Table::default();
    for finding in findings {
        let (word, style) = match finding.level {
            Level::Ok => ("ok", GOOD),
            Level::Note => ("note", FAINT),
            Level::Warning => ("warning", WAITING),
            Level::Problem => ("problem", BAD),
        };
        let text = if finding.level == Level::Problem {
            Cell::new(plain(&finding.text), STRONG)
        } else {
            plain(&finding.text).into()
        };
        table.row(vec![Cell::new(word, style), finding.check.into(), text]);
        if let Some(command) = finding.command.as_ref() {
            table.line(arrow(9, command));
        }
    }
    let mut text = table.render();
    text.push_str(&format!("{}\n", Styled(summary(findings, took), FAINT)));
    text
}

fn summary(findings: &[Finding], took: Duration) -> String {
    let count = |level: Level, one: &str| match findings.iter().filter(|f| f.level == level).count() {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {one}s")),
    };
    let told: Vec<String> =
        [count(Level::Problem, "problem"), count(Level::Warning, "warning")].into_iter().flatten().collect();
    let told = if told.is_empty() { "all is well".to_owned() } else { told.join(", ") };
    let fixable = findings.iter().any(|finding| finding.fix.is_some() && finding.level > Level::Note);
    let more = if fixable { "; mend, asked before each change: pipctl doctor --fix" } else { "" };
    format!("{told} ({:.1} s){more}", took.as_secs_f32())
}
