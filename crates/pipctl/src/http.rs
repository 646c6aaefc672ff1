//! One GET to an address a person named, for those who only want to know whether somebody answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// What is read of an answer.
const MOST: usize = 256 << 10;

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An HTTP answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its body, as far as it was read.
        body: String,
    },
    /// It takes connections; what it speaks (TLS) is not looked into.
    Accepts,
    /// Nobody answers, and why.
    Silent(String),
}

/// An address taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    tls: bool,
    /// As it stands in the address, with its port.
    authority: String,
    host: String,
    port: u16,
    path: String,
}

impl Address {
    /// `http://host:port/path`; the port may be left out.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let (tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return None,
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        let default = if tls { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return None;
        }
        Some(Self { tls, authority: authority.to_owned(), host, port, path: path.to_owned() })
    }

    /// Whether asking costs next to nothing: this machine refuses at once where nobody listens.
    pub(crate) fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// The same host, another path.
    pub(crate) fn with_path(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// Asks once. Never takes longer than `limit`, names that take long to resolve apart.
    pub(crate) fn get(&self, limit: Duration) -> Asked {
        let until = Instant::now() + limit;
        let found = match (self.host.as_str(), self.port).to_socket_addrs() {
            Ok(found) => found,
            Err(error) => return Asked::Silent(error.to_string()),
        };
        let mut why = "it has no address".to_owned();
        for addr in found {
            match self.get_from(addr, until) {
                Asked::Silent(reason) => why = reason,
                asked => return asked,
            }
        }
        Asked::Silent(why)
    }

    fn get_from(&self, addr: SocketAddr, until: Instant) -> Asked {
        let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut stream = match TcpStream::connect_timeout(&addr, left()) {
            Ok(stream) => stream,
            Err(error) => return Asked::Silent(explained(&error)),
        };
        if self.tls {
            return Asked::Accepts;
        }
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: pipctl\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            self.path, self.authority
        );
        let sent = stream.set_write_timeout(Some(left())).and_then(|()| stream.write_all(request.as_bytes()));
        if let Err(error) = sent {
            return Asked::Silent(explained(&error));
        }
        let mut bytes = Vec::new();
        let mut piece = [0; 8192];
        while bytes.len() < MOST && Instant::now() < until {
            if stream.set_read_timeout(Some(left())).is_err() {
                break;
            }
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) if bytes.is_empty() => return Asked::Silent(explained(&error)),
                Err(_) => break,
            }
        }
        answer(&bytes)
    }
}

fn answer(bytes: &[u8]) -> Asked {
    let text = String::from_utf8_lossy(bytes);
    let status = text
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.get(..3)?.parse().ok());
    match status {
        Some(status) => {
            let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            Asked::Answered { status, body: body.to_owned() }
        }
        None if bytes.is_empty() => Asked::Silent("no answer".into()),
        None => Asked::Accepts,
    }
}

fn explained(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "nobody listens there".into(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => "no answer in time".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn serve(answer: &'static [u8]) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer);
        });
        Address::parse(&format!("http://127.0.0.1:{port}/api/tags")).unwrap()
    }

    #[test]
    fn addresses_are_taken_apart() {
        let six = Address::parse("http://[::1]:11434").unwrap();
        assert_eq!((six.host.as_str(), six.port, six.path.as_str()), ("::1", 11434, "/"));
        let named = Address::parse("https://models.example/v1").unwrap();
        assert_eq!((named.host.as_str(), named.port, named.tls), ("models.example", 443, true));
        assert!(six.is_local() && !named.is_local());
        for wrong in ["localhost:1", "http://", "http://:80", "http://a:b", "ftp://a"] {
            assert_eq!(Address::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_read_and_silence_is_explained() {
        let answered = serve(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n{}").get(Duration::from_secs(20));
        assert_eq!(answered, Asked::Answered { status: 200, body: "{}".into() });
        assert_eq!(serve(b"SSH-2.0\r\n").get(Duration::from_secs(20)), Asked::Accepts);
        assert_eq!(serve(b"").get(Duration::from_secs(20)), Asked::Silent("no answer".into()));
    }

    #[test]
    fn nobody_there_is_said_and_a_mute_one_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mute = Address::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        assert_eq!(mute.get(Duration::from_millis(50)), Asked::Silent("no answer in time".into()));
        drop(listener);
        assert_eq!(mute.get(Duration::from_secs(20)), Asked::Silent("nobody listens there".into()));
    }
}
