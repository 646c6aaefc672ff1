//! What a service sees of the shell.

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble};

/// See the module.
pub(crate) struct Environment;

/// Everything that a shell line or a file of assignments would garble.
const ODD: &str = "a=b \"c\" 'd' %e $f\ng\th\\i ü";

impl Check for Environment {
    fn name(&self) -> &'static str {
        "environment"
    }

    fn promise(&self) -> &'static str {
        "a service gets your shell's variables, byte for byte"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        let file = world.path("environment");
        world.service("web", &["--environment", &file.to_string_lossy()], "ready = \"none\"")?;
        let mut command = world.command(&["start"]);
        command.env("SELFTEST_ODD", ODD).env("JPY_PARENT_PID", "1");
        world.finish(world.spawn(command)?)?.expect(0)?;
        let bytes = world.until_some("the service's environment", || {
            std::fs::read(&file).ok().filter(|bytes| bytes.ends_with(&[0]))
        })?;
        let has = |line: String| bytes.split(|byte| *byte == 0).any(|found| found == line.as_bytes());
        ensure(has(format!("SELFTEST_ODD={ODD}")), || "a variable was lost or changed".to_owned())?;
        ensure(!bytes.windows(15).any(|window| window == b"JPY_PARENT_PID="), || {
            "JPY_PARENT_PID, which belongs to another process, was handed on".to_owned()
        })?;
        Ok(Kept::Fully)
    }
}
