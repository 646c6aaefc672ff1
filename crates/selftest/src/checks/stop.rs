//! A service that does not want to end.

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, ports, processes};

/// See the module.
pub(crate) struct Stop;

impl Check for Stop {
    fn name(&self) -> &'static str {
        "stop"
    }

    fn promise(&self) -> &'static str {
        "stop ends what ignores it, and the port is free then"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        let port = ports::free()?;
        world.service(
            "web",
            &["--listen", &port.to_string(), "--deaf"],
            &format!("port = {port}\nstop = {{ grace = \"1s\" }}"),
        )?;
        world.start()?;
        let before = world.running("web")?;
        world.pipctl(&["stop"])?.expect(0)?;
        ensure(!processes::alive(before.pid), || format!("process {} still lives", before.pid))?;
        std::net::TcpListener::bind(("127.0.0.1", port))
            .map_err(Trouble::io(format!("port {port} after `pipctl stop`")))?;
        // It stays down.
        ensure(world.view("web")?.pid.is_none(), || "it was started again".to_owned())?;
        Ok(Kept::Fully)
    }
}
