//! `pipctl stop server`, and another program has the port: with the real FastHTML, idle and with open streams.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Row;
use super::lab::{Lab, Programs};
use super::measure::{median, milliseconds, quantile, until};
use crate::{build, venv};

const SERVER: u16 = 29_502;
const ROUNDS: usize = 10;
const STREAMS: usize = 4;

const APP: &str = "import asyncio
from fasthtml.common import *
from starlette.responses import StreamingResponse

app, rt = fast_app(exts='ws')


@rt('/')
def index():
    return 'hello'


async def ticks():
    while True:
        yield 'data: x\\n\\n'
        await asyncio.sleep(0.1)


@rt('/events')
def events():
    return StreamingResponse(ticks(), media_type='text/event-stream')


@app.ws('/ws')
async def ws(msg: str, send):
    await send('ok')


serve()
";

const WEBSOCKET: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

pub(crate) fn run(programs: &Programs) -> Result<Vec<Row>> {
    let environment = build::target().join("test-venvs/current");
    venv::ensure(&environment, &build::root().join("tests/requirements-current.txt"))?;
    let lab = Lab::new(programs)?;
    std::os::unix::fs::symlink(&environment, lab.workspace().join(".venv"))?;
    std::fs::write(lab.workspace().join("server.py"), APP)?;
    lab.config(&format!("[services.jupyter]\nenabled = false\n\n[services.server]\nport = {SERVER}\n"))?;
    let mut rows = Vec::new();
    for (name, open, target, shown) in [
        ("stop: the port is another's, idle", false, 0.5, "≤ 0.5"),
        ("… with open streams and a websocket", true, 2.0, "≤ 2"),
    ] {
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            took.push(hand_over(&lab, open)? / 1e3);
        }
        rows.push(Row::at_most(name, median(&took), "s", target, shown));
        rows.push(Row::at_most("… at most", quantile(&took, 1.0), "s", target, shown));
    }
    Ok(rows)
}

/// From the command to the moment at which somebody else has the port, in milliseconds.
fn hand_over(lab: &Lab<'_>, open: bool) -> Result<f64> {
    lab.pipctl(&["start"])?;
    let mut streams = Vec::new();
    if open {
        for _ in 0..STREAMS {
            streams.push(ask("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n", "200")?);
        }
        streams.push(ask(WEBSOCKET, "101")?);
    }
    let begin = Instant::now();
    let mut stop =
        lab.command(&lab.programs.path("pipctl")).args(["stop", "server"]).stdout(Stdio::null()).spawn()?;
    let taken = until("the port", Duration::from_secs(30), || TcpListener::bind(("0.0.0.0", SERVER)).ok())?;
    let took = milliseconds(begin.elapsed());
    let status = stop.wait()?;
    ensure!(status.success(), "pipctl stop server ended with {status}");
    drop((taken, streams));
    Ok(took)
}

/// Asks, and keeps the connection once the first line of the answer is there.
fn ask(request: &str, status: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", SERVER))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start).context("no answer to keep open")?;
    let said = String::from_utf8_lossy(&start).into_owned();
    ensure!(said.ends_with(status), "{said:?} where {status} was expected");
    Ok(stream)
}
