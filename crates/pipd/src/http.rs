//! One HTTP question to a loopback address: the status, and a bounded body where it is wanted.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use run::log::Probe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer read, in bytes: some ten thousand kernels.
const MAX_ANSWER: usize = 4 << 20;

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nobody listens there.
    Refused,
    /// This machine had no means to ask: no descriptor, no memory. It says nothing of whom would have been asked.
    Unasked,
    /// Somebody took the connection and did not answer in time, or hung up without a word.
    Silent,
    /// An HTTP answer.
    Status(u16, Vec<u8>),
    /// An answer that is not HTTP: a TLS alert, say.
    Other,
}

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a str>,
    /// Read the body too; else the first line is enough.
    pub(crate) body: bool,
    pub(crate) timeout: Duration,
    /// The service's log, so that whoever reads it can tell our access line from a person's.
    pub(crate) noted_in: Option<&'a Path>,
}

/// How long a note for the readers of the log may hold up a question.
const NOTE_PATIENCE: Duration = Duration::from_millis(100);

/// Whether an error is one of the machine, and not of what was asked for.
pub(crate) fn lacks_means(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS | Errno::EAGAIN))
}

/// Whether something accepts at `address`.
///
/// # Errors
/// When that cannot be found out: see [`lacks_means`].
pub(crate) async fn connects(address: SocketAddr, timeout: Duration) -> std::io::Result<Option<TcpStream>> {
    match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Ok(Some(stream)),
        Ok(Err(error)) if lacks_means(&error) => Err(error),
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

/// Asks once.
pub(crate) async fn ask(question: &Question<'_>) -> Answer {
    let connect = tokio::time::timeout(question.timeout, TcpStream::connect(question.address)).await;
    let stream = match connect {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if lacks_means(&error) => return Answer::Unasked,
        Ok(Err(_)) => return Answer::Refused,
        // A full accept queue drops the request silently: somebody listens and does not accept.
        Err(_) => return Answer::Silent,
    };
    let probe = note(&stream, question).await;
    let answer =
        tokio::time::timeout(question.timeout, exchange(stream, question)).await.unwrap_or(Answer::Silent);
    if let (Some(probe), Answer::Status(..) | Answer::Other) = (probe, &answer) {
        // Not waited for: a reader that comes first leaves the line out all the same.
        crate::disk::run(move || drop(probe.answered(crate::clock::wall_ms())));
    }
    answer
}

/// Notes a question before it is sent. A note that cannot be made costs a line that is shown, nothing else.
async fn note(stream: &TcpStream, question: &Question<'_>) -> Option<Probe> {
    let dir = question.noted_in?.to_owned();
    let port = stream.local_addr().ok()?.port();
    let (at_ms, path) = (crate::clock::wall_ms(), question.path.to_owned());
    if crate::disk::is_still() {
        return None;
    }
    let (made, note) = tokio::sync::oneshot::channel();
    crate::disk::run(move || drop(made.send(Probe::begin(&dir, at_ms, port, &path))));
    tokio::time::timeout(NOTE_PATIENCE, note).await.ok()?.ok()?.ok()
}

async fn exchange(mut stream: TcpStream, question: &Question<'_>) -> Answer {
    // No chunks, and the end of the answer is the end of the connection; and readers of the log know our lines by it.
    let (version, agent) = (run::log::VERSION, run::log::AGENT);
    let mut request = format!(
        "GET {} {version}\r\nHost: localhost:{}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n",
        question.path,
        question.address.port()
    );
    if let Some(token) = question.token {
        request.push_str(&format!("Authorization: token {token}\r\n"));
    }
    request.push_str("\r\n");
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Answer::Silent;
    }
    let mut answer = Vec::new();
    let mut piece = [0_u8; 4096];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
        let enough = if question.body { answer.len() >= MAX_ANSWER } else { answer.contains(&b'\n') };
        if enough || answer.len() >= MAX_ANSWER {
            break;
        }
    }
    read_answer(&answer)
}

fn read_answer(answer: &[u8]) -> Answer {
    if answer.is_empty() {
        return Answer::Silent;
    }
    let status = answer
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok());
    match status {
        Some(status) => {
            let body = answer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
                .and_then(|end| answer.get(end + 4..))
                .unwrap_or_default();
            Answer::Status(status, body.to_vec())
        }
        None => Answer::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_by_its_first_line() {
        assert_eq!(read_answer(b""), Answer::Silent);
        assert_eq!(read_answer(b"HTTP/1.1 302 Found\r\n"), Answer::Status(302, Vec::new()));
        assert_eq!(read_answer(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n[1]"), Answer::Status(200, b"[1]".to_vec()));
        // A TLS alert: somebody lives there and speaks TLS.
        assert_eq!(read_answer(&[0x15, 3, 3, 0, 2, 2, 70]), Answer::Other);
        assert_eq!(read_answer(b"HTTP/1.1 xx"), Answer::Other);
    }
}
