//! Framing: one JSON-RPC 2.0 object per line, at most [`MAX_LINE_BYTES`] long.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Raw, Request};

/// Longest line either side accepts, in bytes, the newline not counted. An environment of 2 MiB fits.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// Error codes of the protocol. Those below −32000 are JSON-RPC's own.
pub mod code {
    /// Not JSON.
    pub const PARSE: i64 = -32700;
    /// JSON, but not a request.
    pub const INVALID_REQUEST: i64 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The method exists, its parameters are wrong.
    pub const INVALID_PARAMS: i64 = -32602;
    /// The daemon failed; the message says at what.
    pub const INTERNAL: i64 = -32603;
    /// No protocol version in common.
    pub const VERSION: i64 = -32000;
    /// The line is longer than allowed.
    pub const TOO_LONG: i64 = -32001;
    /// No such workspace or service.
    pub const UNKNOWN_NAME: i64 = -32002;
    /// The daemon is going away.
    pub const GOING_AWAY: i64 = -32003;
    /// The record could not be written; nothing was done.
    pub const STATE: i64 = -32004;
    /// Something runs or is at work that would have to end; nothing was done.
    pub const RUNNING: i64 = -32005;
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorObject {
    /// One of [`code`].
    pub code: i64,
    /// For people; ends in the command to type where there is one.
    pub message: String,
}

impl ErrorObject {
    /// An error answer.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A request with its id.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestFrame {
    /// Number or string, chosen by the client.
    pub id: Value,
    /// What it asks.
    pub request: Request,
}

/// An answer with the id of its request.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseFrame {
    /// As in the request; null when the request could not be read.
    pub id: Value,
    /// Present on success.
    pub result: Option<Raw>,
    /// Present on failure.
    pub error: Option<ErrorObject>,
}

/// Something the daemon says unasked.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// `status.changed`.
    pub method: String,
    /// Depends on the method.
    pub params: Raw,
}

/// One line, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Asks.
    Request(Box<RequestFrame>),
    /// Answers.
    Response(ResponseFrame),
    /// Tells.
    Notification(Notification),
}

/// Why a line is not a frame, with the answer that says so.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameError {
    /// The id, where it could be read.
    pub id: Value,
    /// What to answer.
    pub error: ErrorObject,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.error.message, self.error.code)
    }
}

impl std::error::Error for FrameError {}

/// The parts of a line, each still to be read.
#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow, default, deserialize_with = "part")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "part")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "part")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "part")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "part")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "part")]
    error: Option<&'a RawValue>,
}

/// What is there, `null` too.
fn part<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn read<T: DeserializeOwned>(part: &RawValue) -> Result<T, serde_json::Error> {
    serde_json::from_slice(part.get().as_bytes())
}

/// Reads one line, without its newline.
///
/// # Errors
/// When it is not JSON, not JSON-RPC 2.0, or a request this build does not know.
pub fn decode(line: &[u8]) -> Result<Frame, FrameError> {
    decode_with(line, Request::read)
}

/// [`decode`] for whoever is only answered: a line that asks is refused, so that a program that is never asked need not
/// know how to read a request.
///
/// # Errors
/// As [`decode`], and when it is a request.
pub fn decode_answer(line: &[u8]) -> Result<Frame, FrameError> {
    decode_with(line, |method, _| {
        Err(ErrorObject::new(
            code::METHOD_NOT_FOUND,
            format!("a request, `{method}`, where an answer was expected"),
        ))
    })
}

fn decode_with(
    line: &[u8],
    request: impl Fn(&str, Option<&RawValue>) -> Result<Request, ErrorObject>,
) -> Result<Frame, FrameError> {
    let fail = |id: Value, code, message: String| FrameError { id, error: ErrorObject::new(code, message) };
    let parts = match serde_json::from_slice::<Parts<'_>>(line) {
        // Names, never positions: a list with the parts in their order is none.
        Ok(parts) if line.trim_ascii_start().starts_with(b"{") => parts,
        read => {
            // The first mistake is that it is no JSON at all, if it is none.
            let json = std::str::from_utf8(line)
                .map_err(|error| error.to_string())
                .and_then(|_| serde_json::from_slice::<IgnoredAny>(line).map_err(|error| error.to_string()));
            return Err(match (json, read) {
                (Err(error), _) => fail(Value::Null, code::PARSE, format!("not a JSON object: {error}")),
                (Ok(_), Err(error)) if line.trim_ascii_start().starts_with(b"{") => {
                    fail(Value::Null, code::INVALID_REQUEST, error.to_string())
                }
                (Ok(_), _) => {
                    fail(Value::Null, code::INVALID_REQUEST, "expected one JSON object per line".into())
                }
            });
        }
    };
    let id = parts.id.map(|id| {
        let simple = !id.get().starts_with(['[', '{']);
        if simple { read::<Value>(id).unwrap_or(Value::Null) } else { Value::Null }
    });
    let reply_id = || id.clone().unwrap_or(Value::Null);
    if parts.jsonrpc.and_then(|version| read::<String>(version).ok()).as_deref() != Some("2.0") {
        return Err(fail(reply_id(), code::INVALID_REQUEST, "expected \"jsonrpc\": \"2.0\"".into()));
    }
    match (parts.method.and_then(|method| read::<String>(method).ok()), &id) {
        (Some(method), Some(Value::String(_) | Value::Number(_))) => {
            match request(&method, parts.params.filter(|params| params.get() != "null")) {
                Ok(request) => Ok(Frame::Request(Box::new(RequestFrame { id: reply_id(), request }))),
                Err(error) => Err(FrameError { id: reply_id(), error }),
            }
        }
        (Some(_), Some(_)) => {
            Err(fail(Value::Null, code::INVALID_REQUEST, "an id is a number or a string".into()))
        }
        (Some(method), None) => Ok(Frame::Notification(Notification {
            method,
            params: parts.params.map(Raw::from).unwrap_or_default(),
        })),
        (None, _) => {
            let error = match parts.error.filter(|error| error.get() != "null") {
                None => None,
                Some(error) => Some(read(error).map_err(|error| {
                    fail(reply_id(), code::INVALID_REQUEST, format!("unreadable error object: {error}"))
                })?),
            };
            if parts.result.is_none() && error.is_none() {
                return Err(fail(
                    reply_id(),
                    code::INVALID_REQUEST,
                    "neither a request nor an answer".into(),
                ));
            }
            Ok(Frame::Response(ResponseFrame { id: reply_id(), result: parts.result.map(Raw::from), error }))
        }
    }
}

/// The result of a successful answer to request `id`, read from its line in one pass. `None` when the line is anything
/// else: [`decode`] tells what.
pub fn answer_of<T: DeserializeOwned>(line: &[u8], id: u64) -> Option<T> {
    #[derive(Deserialize)]
    struct Line<'a, T> {
        jsonrpc: &'a str,
        id: u64,
        method: Option<IgnoredAny>,
        result: T,
        error: Option<IgnoredAny>,
    }
    let line: Line<'_, T> = serde_json::from_slice(line).ok()?;
    let is_answer = line.jsonrpc == "2.0" && line.id == id && line.method.is_none() && line.error.is_none();
    is_answer.then_some(line.result)
}

/// Any serialisable value as one line with its newline.
///
/// # Errors
/// When a map key is not text; no type of this crate has such keys.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// A request as one line.
///
/// # Errors
/// As [`encode`].
pub fn request_line(id: u64, request: &Request) -> Result<Vec<u8>, serde_json::Error> {
    let request = serde_json::to_vec(request)?;
    // A request is an object that is never empty: the rest of the line comes before its first key.
    let mut line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},").into_bytes();
    line.extend_from_slice(request.strip_prefix(b"{").unwrap_or(&request));
    line.push(b'\n');
    Ok(line)
}

/// A successful answer as one line.
///
/// # Errors
/// As [`encode`].
pub fn response_line<T: Serialize>(id: &Value, result: &T) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        jsonrpc: &'static str,
        id: &'a Value,
        result: &'a T,
    }
    encode(&Line { jsonrpc: "2.0", id, result })
}

/// A failed answer as one line.
///
/// # Errors
/// As [`encode`].
pub fn error_line(id: &Value, error: &ErrorObject) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Line<'a> {
        jsonrpc: &'static str,
        id: &'a Value,
        error: &'a ErrorObject,
    }
    encode(&Line { jsonrpc: "2.0", id, error })
}

/// A notification as one line.
///
/// # Errors
/// As [`encode`].
pub fn notification_line<T: Serialize>(method: &str, params: &T) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        jsonrpc: &'static str,
        method: &'a str,
        params: &'a T,
    }
    encode(&Line { jsonrpc: "2.0", method, params })
}

impl ResponseFrame {
    /// The result as the type the method answers with.
    ///
    /// # Errors
    /// The error the peer gave, or that its result is not of this type.
    pub fn into_result<T: DeserializeOwned>(self) -> Result<T, ErrorObject> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.result
            .unwrap_or_default()
            .read()
            .map_err(|error| ErrorObject::new(code::INTERNAL, format!("unexpected answer: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StatusParams, Text};

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let request = Request::Status(StatusParams { root: Some(Text::from("/w s/ü")), details: false });
        let line = request_line(7, &request).unwrap();
        assert_eq!(
            std::str::from_utf8(&line).unwrap(),
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"status\",\"params\":{\"root\":\"/w s/ü\"}}\n"
        );
        let frame = decode(&line[..line.len() - 1]).unwrap();
        assert_eq!(frame, Frame::Request(Box::new(RequestFrame { id: 7.into(), request })));
    }

    #[test]
    fn a_method_without_parameters_takes_null_and_nothing() {
        for line in [
            r#"{"jsonrpc":"2.0","id":"a","method":"daemon.stop"}"#,
            r#"{"jsonrpc":"2.0","id":"a","method":"daemon.stop","params":null}"#,
        ] {
            let Frame::Request(frame) = decode(line.as_bytes()).unwrap() else { panic!("{line}") };
            assert_eq!(frame.request, Request::DaemonStop);
        }
    }

    #[test]
    fn wrong_lines_get_the_code_that_names_the_mistake() {
        let code_of = |line: &str| decode(line.as_bytes()).unwrap_err().error.code;
        assert_eq!(code_of("nonsense"), code::PARSE);
        assert_eq!(code_of("[1]"), code::INVALID_REQUEST);
        assert_eq!(code_of(r#"{"id":1,"method":"status"}"#), code::INVALID_REQUEST);
        assert_eq!(code_of(r#"{"jsonrpc":"2.0","id":[1],"method":"status"}"#), code::INVALID_REQUEST);
        assert_eq!(code_of(r#"{"jsonrpc":"2.0","id":1,"method":"fly"}"#), code::METHOD_NOT_FOUND);
        assert_eq!(code_of(r#"{"jsonrpc":"2.0","id":1,"method":"why","params":{}}"#), code::INVALID_PARAMS);
        assert_eq!(code_of(&"[".repeat(100_000)), code::PARSE);
    }

    #[test]
    fn names_count_and_positions_do_not() {
        let code_of = |line: &str| decode(line.as_bytes()).unwrap_err().error.code;
        assert_eq!(code_of(r#"["2.0",1,"daemon.stop"]"#), code::INVALID_REQUEST);
        assert_eq!(
            code_of(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"daemon.stop"}"#),
            code::INVALID_REQUEST
        );
        // In any order, with any blanks.
        let line = " { \"params\" : { \"root\" : \"/w\" } , \"method\" : \"status\" , \"id\" : 1 , \"jsonrpc\" : \"2\\u002e0\" } ";
        assert!(matches!(decode(line.as_bytes()).unwrap(), Frame::Request(_)));
    }

    #[test]
    fn whoever_is_only_answered_reads_no_request() {
        let ask = br#"{"jsonrpc":"2.0","id":1,"method":"daemon.stop"}"#;
        assert!(matches!(decode(ask), Ok(Frame::Request(_))));
        assert_eq!(decode_answer(ask).unwrap_err().error.code, code::METHOD_NOT_FOUND);
        for line in [
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","method":"status.changed","params":{}}"#,
        ] {
            assert_eq!(decode_answer(line.as_bytes()), decode(line.as_bytes()));
            assert!(decode_answer(line.as_bytes()).is_ok());
        }
    }

    #[test]
    fn an_answer_read_in_one_pass_is_the_one_waited_for() {
        let line =
            response_line(&7.into(), &StatusParams { root: Some(Text::from("/w")), details: false }).unwrap();
        let root = |line: &[u8], id| answer_of::<StatusParams>(line, id).map(|params| params.root);
        assert_eq!(root(&line, 7), Some(Some(Text::from("/w"))));
        assert_eq!(root(&line, 8), None);
        let newer = br#"{"jsonrpc":"2.0","x":[{}],"id":7,"error":null,"result":{"y":1}}"#;
        assert_eq!(root(newer, 7), Some(None));
        for other in [
            r#"{"jsonrpc":"1.0","id":7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":[7]}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"status","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}}"#,
            r#"{"jsonrpc":"2.0","method":"status.changed","params":{}}"#,
            "nonsense",
        ] {
            assert_eq!(root(other.as_bytes(), 7), None, "{other}");
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let line = r#"{"jsonrpc":"2.0","id":1,"method":"status","params":{"root":null,"new":1},"x":{}}"#;
        assert!(matches!(decode(line.as_bytes()).unwrap(), Frame::Request(_)));
    }
}
