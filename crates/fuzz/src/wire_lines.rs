//! A line from a peer: a client, a daemon, a shim. Read as what it is, or refused with a code.

use run::protocol::{Order, Report};
use wire::{DetailsAnswer, Frame, HelloAnswer, Snapshot, VerbAnswer, WhyAnswer, code};

pub(crate) const WORDS: &[&str] = &[
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"",
    "\"params\":{",
    "\"result\":",
    "\"error\":{\"code\":-32600,\"message\":\"",
    "\"op\":\"stop\"",
    "\"event\":\"",
    "1e308",
    "-0.0",
    "99999999999999999999999",
    "\\u0000",
    "\\ud800",
    "null",
    "[[[[[[[[",
];

/// Codes with which a line is refused.
const REFUSALS: [i64; 4] = [code::PARSE, code::INVALID_REQUEST, code::METHOD_NOT_FOUND, code::INVALID_PARAMS];

pub(crate) fn run(line: &[u8]) {
    match wire::decode(line) {
        Ok(Frame::Request(frame)) => {
            // What was understood can be said again, and means the same.
            let again = wire::request_line(7, &frame.request).unwrap();
            match wire::decode(&again[..again.len() - 1]) {
                Ok(Frame::Request(second)) => assert_eq!(second.request, frame.request),
                other => panic!("{other:?} of {}", String::from_utf8_lossy(&again)),
            }
        }
        Ok(Frame::Response(frame)) => {
            let _ = frame.clone().into_result::<HelloAnswer>();
            let _ = frame.clone().into_result::<Snapshot>();
            let _ = frame.clone().into_result::<VerbAnswer>();
            let _ = frame.clone().into_result::<DetailsAnswer>();
            let _ = frame.into_result::<WhyAnswer>();
        }
        Ok(Frame::Notification(_)) => {}
        Err(refused) => {
            assert!(REFUSALS.contains(&refused.error.code), "{refused}");
            let answer = wire::error_line(&refused.id, &refused.error).unwrap();
            assert!(matches!(wire::decode(&answer[..answer.len() - 1]), Ok(Frame::Response(_))));
        }
    }
    let _ = wire::answer_of::<Snapshot>(line, 1);
    let _ = wire::answer_of::<VerbAnswer>(line, 1);
    // What daemon and shim say to each other.
    if let Ok(order) = serde_json::from_slice::<Order>(line) {
        let again = serde_json::to_vec(&order);
        // An order that is not known has nothing to be said again.
        assert!(
            order == Order::Unknown || serde_json::from_slice::<Order>(&again.unwrap()).unwrap() == order
        );
    }
    let _ = serde_json::from_slice::<Report>(line);
}
