//! Somebody else has the port.

use wire::Phase;

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, ports, processes};

/// See the module.
pub(crate) struct PortTaken;

/// Exit code of `pipctl` for a blocked service.
const BLOCKED: i32 = 3;

impl Check for PortTaken {
    fn name(&self) -> &'static str {
        "port-taken"
    }

    fn promise(&self) -> &'static str {
        "a taken port: holder named and left alone, start when it is free"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        let port = ports::free()?.to_string();
        world.service("web", &["--listen", &port], &format!("port = {port}"))?;
        let stranger = world.stranger(&["--listen", &port])?;
        let address = format!("127.0.0.1:{port}");
        world.until("the stranger to serve", || std::net::TcpStream::connect(&address).is_ok())?;

        let said = world.pipctl(&["start"])?.expect(BLOCKED)?;
        let view = world.view("web")?;
        ensure(view.phase == Phase::Blocked && view.pid.is_none(), || {
            format!("the port is taken, and the service is {:?}", view.phase)
        })?;
        let named = view.holders.iter().any(|holder| holder.pid == Some(stranger.pid()));
        ensure(named && said.out.contains(&stranger.pid().to_string()), || {
            format!("process {} has the port and was not named\n{}", stranger.pid(), said.out)
        })?;
        ensure(processes::alive(stranger.pid()), || "the stranger was killed".to_owned())?;
        drop(stranger);
        world.until_ready("web")?;
        Ok(Kept::Fully)
    }
}
