//! What a service leaves behind.

use crate::world::World;
use crate::{Check, Kept, Trouble, processes};

/// See the module.
pub(crate) struct Tree;

impl Check for Tree {
    fn name(&self) -> &'static str {
        "tree"
    }

    fn promise(&self) -> &'static str {
        "what a service started ends with it, own sessions too"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        let file = world.path("grandchild");
        world.service("web", &["--grandchild", &file.to_string_lossy()], "ready = \"none\"")?;
        world.start()?;
        let grandchild = |other: i32| {
            world.until_some("a process in a session of its own", || {
                let pid: i32 = std::fs::read_to_string(&file).ok()?.parse().ok()?;
                let info = os::process::info(pid).ok()??;
                (pid != other && info.sid == pid).then_some(pid)
            })
        };
        // Its parent is killed: nobody is left who knows of it but pipd.
        let first = grandchild(0)?;
        processes::kill(world.running("web")?.pid)?;
        world.until("what a killed service left to end", || !processes::alive(first))?;
        // Its parent is stopped as one should.
        let second = grandchild(first)?;
        world.pipctl(&["stop"])?.expect(0)?;
        world.until("what a stopped service left to end", || !processes::alive(second))?;
        Ok(Kept::Fully)
    }
}
