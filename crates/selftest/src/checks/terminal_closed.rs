//! The window is closed.

use crate::error::ensure;
use crate::terminal::Window;
use crate::world::World;
use crate::{Check, Kept, Trouble, processes, ticks};

/// See the module.
pub(crate) struct TerminalClosed;

impl Check for TerminalClosed {
    fn name(&self) -> &'static str {
        "terminal-closed"
    }

    fn promise(&self) -> &'static str {
        "a closed terminal takes nothing with it"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        world.web()?;
        let window = Window::typed(world, &["start"])?;
        let (before, daemon) = (world.running("web")?, world.daemon()?);
        window.close(world)?;
        ticks::go_on_without_a_gap(world, &before.view)?;
        ensure(processes::alive(daemon), || "the daemon ended with the terminal".to_owned())?;
        before.same(&world.until_ready("web")?)?;
        Ok(Kept::Fully)
    }
}
