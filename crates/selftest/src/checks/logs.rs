//! What is printed is logged.

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble};

/// See the module.
pub(crate) struct Logs;

/// Some pipes' worth on each stream.
const LINES: usize = 30_000;

impl Check for Logs {
    fn name(&self) -> &'static str {
        "logs"
    }

    fn promise(&self) -> &'static str {
        "every line that is printed is logged once, last words too"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        let count = LINES.to_string();
        world.service("web", &["--print", &count, "--exit", "0"], "ready = \"none\"")?;
        // It may have ended before anybody looks: both are a good start.
        world.pipctl(&["start"])?;
        world.until_view("web", "its end", |view| view.last_exit.is_some())?;
        for (stream, word) in [("stdout", "out"), ("stderr", "err")] {
            let said = world.pipctl(&["logs", "web", "--stream", stream])?.expect(0)?;
            let mut lines = said.out.lines();
            for number in 0..LINES {
                let line = lines.next().unwrap_or("nothing");
                ensure(line == format!("{word} {number}"), || {
                    format!("{stream} has `{line}` where `{word} {number}` should be")
                })?;
            }
            let more = lines.count();
            ensure(more == 0, || format!("{stream} has {more} lines too many"))?;
        }
        Ok(Kept::Fully)
    }
}
