//! `pipctl add`.

use workspace::{Added, Recipe};

use super::style::{FAINT, GOOD, STRONG, Styled};
use super::table::{Cell, Table, plain};

/// Every recipe with what it is.
pub(crate) fn recipes(recipes: &[Recipe]) -> String {
    let mut table = Table::default();
    for recipe in recipes {
        let mut about = plain(&recipe.about);
        if let Some(path) = &recipe.path {
            about.push_str(&format!(" ({})", path.display()));
        }
        table.row(vec![Cell::new(plain(&recipe.name), STRONG), about.into()]);
    }
    table.render()
}

/// What is put at the end of a file, as a difference.
pub(crate) fn added(added: &Added) -> String {
    let path = added.path.display();
    let at = added.before.lines().count();
    let old = if added.before.is_empty() { "/dev/null".to_owned() } else { path.to_string() };
    let mut text = format!("{}\n", Styled(format!("--- {old}\n+++ {path}\n@@ after line {at} @@"), FAINT));
    for line in added.added.lines() {
        text.push_str(&format!("{}\n", Styled(format!("+{}", plain(line)), GOOD)));
    }
    for (service, wanted, given) in &added.ports {
        text.push_str(&format!("{service} gets port {given}: {wanted} is taken\n"));
    }
    text
}
