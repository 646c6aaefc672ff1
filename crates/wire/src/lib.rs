//! What travels between `pipd` and its clients: requests, responses, events, and how they are framed.
//!
//! One JSON-RPC 2.0 object per line over a Unix socket. This crate does no I/O and knows no other crate.
//! Every type here is an interface for ever: fields are only added, each with a default; readers ignore
//! what they do not know.

#![forbid(unsafe_code)]

mod details;
mod frame;
mod raw;
mod request;
mod spec;
mod text;
mod view;

pub use details::{
    DetailsAnswer, DetailsParams, JupyterView, KernelEnd, KernelView, ListeningView, MemoryKind, MemoryView,
    ServiceDetails, TerminalView, TreeView,
};
pub use frame::{
    ErrorObject, Frame, FrameError, MAX_LINE_BYTES, Notification, RequestFrame, ResponseFrame, answer_of,
    code, decode, decode_answer, encode, error_line, notification_line, request_line, response_line,
};
pub use raw::Raw;
pub use request::{
    CaptureParams, DaemonInfo, ForgetAnswer, ForgetParams, Hello, HelloAnswer, PortChoice, ProtocolRange,
    Request, ServiceOutcome, ServiceResult, StartParams, StatusParams, StopParams, VerbAnswer, WhyAnswer,
    WhyParams,
};
pub use spec::{
    Absent, DependSpec, ExternalPolicy, Kind, LogSpec, Place, PortSpec, ReadyCheck, ReadySpec, RestartPolicy,
    RestartSpec, ServiceSpec, Signal, StopSpec, StopStep, StopTarget, UMASK, WorkspaceSpec,
};
pub use text::Text;
pub use view::{
    ExitCause, ExitView, Goal, HolderView, Owner, Phase, RunView, ServiceView, Snapshot, WorkspaceView,
};

/// Oldest and newest protocol this build speaks. A change that old peers misread raises the number.
pub const PROTOCOL: ProtocolRange = ProtocolRange { min: 1, max: 1 };
