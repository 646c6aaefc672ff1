//! Who answers.

use wire::Phase;

use crate::error::ensure;
use crate::world::World;
use crate::{Check, Kept, Trouble, ports};

/// See the module.
pub(crate) struct Readiness;

impl Check for Readiness {
    fn name(&self) -> &'static str {
        "readiness"
    }

    fn promise(&self) -> &'static str {
        "ready means an answer from the service's own listener"
    }

    fn run(&self, world: &World<'_>) -> Result<Kept, Trouble> {
        let (port, elsewhere) = (ports::free()?.to_string(), ports::free()?.to_string());
        // It says that it serves on one port and serves on another; a stranger takes the first.
        world.service(
            "web",
            &["--listen", &elsewhere],
            &format!("port = {port}\nready = {{ http = \"/\", timeout = \"60s\" }}"),
        )?;
        world.pipctl(&["start", "--no-wait"])?.expect(0)?;
        world.until_view("web", "starting", |view| view.phase == Phase::Starting)?;
        let stranger = world.stranger(&["--listen", &port])?;
        let address = format!("127.0.0.1:{port}");
        world.until("the stranger to serve", || std::net::TcpStream::connect(&address).is_ok())?;
        let said = world.pipctl(&["start", "--timeout", "1s"])?;
        let phase = world.view("web")?.phase;
        drop(stranger);
        ensure(said.code != 0 && phase == Phase::Starting, || {
            format!("a stranger answered, and the service is called {phase:?}\n{}", said.out)
        })?;
        Ok(Kept::Fully)
    }
}
