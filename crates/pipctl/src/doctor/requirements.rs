//! The packages that are wanted, counted, as the interpreter itself sees them.

use super::context::Packages;
use super::{Check, Context, Finding, Level};
use crate::setup::stamp;

/// How many are named before the rest is counted.
const NAMED: usize = 4;

pub(super) struct Requirements;

impl Check for Requirements {
    fn name(&self) -> &'static str {
        "requirements"
    }

    fn look(&self, context: &Context) -> Vec<Finding> {
        let examined = context.examined();
        let (Some(wants), Some(python)) = (&examined.wants, &examined.python) else { return Vec::new() };
        // What cannot run has no packages; the interpreter's check says so.
        let Some(Ok(facts)) = context.facts() else { return Vec::new() };
        let Some(packages) = &facts.packages else { return Vec::new() };
        let name = wants.name();
        if let Some(error) = &packages.error {
            let text = format!("{name} cannot be read: {error}");
            return vec![Finding::new(self, Level::Problem, text).mend(format!("$EDITOR {name}"))];
        }
        let newer = python.prefix.as_deref().is_some_and(|prefix| stamp::is_newer(prefix, wants.path()));
        let mut text = count(packages);
        let well = packages.missing.is_empty() && packages.wrong.is_empty();
        if newer {
            text.push_str(&format!("; {name} changed since the last setup"));
        }
        if !packages.unread.is_empty() {
            text.push_str(&format!("; not looked at: {}", named(&packages.unread)));
        }
        match (well, newer) {
            (true, false) => vec![Finding::new(self, Level::Ok, text)],
            (true, true) => vec![Finding::new(self, Level::Note, text).verb(&["setup"])],
            (false, _) => vec![Finding::new(self, Level::Problem, text).verb(&["setup"])],
        }
    }
}

/// "171 packages, 2 missing: a, b; 1 in another version: …"
fn count(packages: &Packages) -> String {
    let plural = if packages.total == 1 { "" } else { "s" };
    let mut text = format!("{} package{plural}", packages.total);
    if packages.missing.is_empty() && packages.wrong.is_empty() {
        text.push_str(", all there");
    }
    if !packages.missing.is_empty() {
        text.push_str(&format!(", {} missing: {}", packages.missing.len(), named(&packages.missing)));
    }
    if !packages.wrong.is_empty() {
        text.push_str(&format!(", {} in another version: {}", packages.wrong.len(), named(&packages.wrong)));
    }
    text
}

fn named(all: &[String]) -> String {
    let mut text = all.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        text.push_str(&format!(" and {} more", all.len() - NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_counted() {
        let mut packages = Packages { total: 171, ..Packages::default() };
        assert_eq!(count(&packages), "171 packages, all there");
        packages.missing = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        packages.wrong = vec!["numpy 1.26.4, wanted numpy>=2".into()];
        assert_eq!(
            count(&packages),
            "171 packages, 5 missing: a, b, c, d and 1 more, 1 in another version: numpy 1.26.4, wanted numpy>=2"
        );
    }
}
