//! The numbered lines a stub prints, as the log has them: none may be missing, none there twice.

use run::log::{Query, Stream};
use wire::ServiceView;

use crate::Trouble;
use crate::world::World;

/// The numbers of the lines logged so far.
pub(crate) fn logged(view: &ServiceView) -> Vec<u64> {
    let Some(dir) = &view.log_dir else { return Vec::new() };
    let query = Query { streams: vec![Stream::Stdout], join: true, ..Query::default() };
    let mut ticks = Vec::new();
    // A file that is being rotated is read at the next look.
    let _ = run::log::read(dir.as_path(), &query, |entry| {
        let text = String::from_utf8_lossy(&entry.text).into_owned();
        ticks.extend(text.trim_end().strip_prefix("tick ").and_then(|number| number.parse::<u64>().ok()));
        true
    });
    ticks
}

/// Waits for some more lines, then looks at all: one each.
pub(crate) fn go_on_without_a_gap(world: &World<'_>, view: &ServiceView) -> Result<(), Trouble> {
    let before = logged(view).len();
    world.until("more lines in the log", || logged(view).len() > before + 10)?;
    let ticks = logged(view);
    for (expected, tick) in (0_u64..).zip(&ticks) {
        if *tick != expected {
            return Err(Trouble::Broken(format!(
                "the log has line {tick} where line {expected} should be, of {}",
                ticks.len()
            )));
        }
    }
    Ok(())
}
