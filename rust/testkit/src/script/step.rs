//! The steps of a script, by the names that scripts use.

use bytes::Bytes;
use std::fmt;
use std::time::Duration;
use zk_proto::chroot::Chroot;
use zk_proto::op::Request;
use zk_proto::{Code, EventType};

/// One step. Pings that no step expects are answered while a step waits for something else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step(pub(super) Do);

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Do {
    Handshake(Option<i64>),
    Expect(i32),
    ExpectFrame(Vec<u8>),
    ExpectEnd,
    Grant { timeout_ms: i32, session_id: i64 },
    Reply(Code, Vec<u8>),
    Event(EventType, Vec<u8>),
    Send(Vec<u8>),
    Pieces(usize),
    Split(usize),
    Delay(Duration),
    Serve(Code),
    Swallow,
    HangUp,
    Reset,
}

/// Expects a connect request, of whatever session.
pub fn handshake() -> Step {
    Step(Do::Handshake(None))
}

/// Expects a connect request for this session; 0: a new one.
pub fn handshake_for(session_id: i64) -> Step {
    Step(Do::Handshake(Some(session_id)))
}

/// Grants the session, with a timeout in milliseconds and a password made of the id.
pub fn grant(timeout_ms: i32, session_id: i64) -> Step {
    Step(Do::Grant { timeout_ms, session_id })
}

/// Expects a request with this opcode.
pub fn expect(opcode: i32) -> Step {
    Step(Do::Expect(opcode))
}

/// Expects exactly this request, which has no chroot, under this number.
pub fn expect_request(xid: i32, request: &Request<'_>) -> Step {
    let mut out = Vec::new();
    request.encode(xid, &Chroot::none(), &mut out);
    expect_frame(&out[4..])
}

/// Expects exactly this frame, which is given without its length.
pub fn expect_frame(frame: &[u8]) -> Step {
    Step(Do::ExpectFrame(frame.to_vec()))
}

/// Expects that the client ends the connection.
pub fn expect_end() -> Step {
    Step(Do::ExpectEnd)
}

/// Answers the oldest of the expected requests that have no answer yet.
pub fn reply(code: Code, body: &[u8]) -> Step {
    Step(Do::Reply(code, body.to_vec()))
}

/// Sends a watch event.
pub fn event(kind: EventType, path: &[u8]) -> Step {
    Step(Do::Event(kind, path.to_vec()))
}

/// Sends bytes as they are.
pub fn send(bytes: &[u8]) -> Step {
    Step(Do::Send(bytes.to_vec()))
}

/// From here on so many bytes are sent at a time, each lot when the client has read the one before.
pub fn in_pieces(bytes: usize) -> Step {
    Step(Do::Pieces(bytes))
}

/// What is sent next is sent in two pieces, the first of so many bytes.
pub fn split_at(bytes: usize) -> Step {
    Step(Do::Split(bytes))
}

/// Waits for so long. Nothing is answered meanwhile.
pub fn delay(span: Duration) -> Step {
    Step(Do::Delay(span))
}

/// Answers all further requests with this code and nothing else, and closeSession and pings as they want it, until the
/// client ends the connection.
pub fn serve(code: Code) -> Step {
    Step(Do::Serve(code))
}

/// Reads and answers nothing until the client ends the connection.
pub fn swallow() -> Step {
    Step(Do::Swallow)
}

/// Ends the connection in both directions (FIN). What follows is not done.
pub fn hang_up() -> Step {
    Step(Do::HangUp)
}

/// Resets the connection (RST). What follows is not done.
pub fn reset() -> Step {
    Step(Do::Reset)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Do::Handshake(None) => f.write_str("a handshake"),
            Do::Handshake(Some(id)) => write!(f, "a handshake for session {id:#x}"),
            Do::Expect(opcode) => write!(f, "a request with opcode {opcode}"),
            Do::ExpectFrame(frame) => write!(f, "the frame {:?}", Bytes::copy_from_slice(frame)),
            Do::ExpectEnd | Do::Serve(_) | Do::Swallow => f.write_str("the end of the connection"),
            Do::Grant { .. } => f.write_str("the session to be granted"),
            Do::Reply(code, _) => write!(f, "a request to be answered with {code:?}"),
            Do::Event(..) | Do::Send(_) => f.write_str("bytes to be sent"),
            Do::Pieces(_) | Do::Split(_) => f.write_str("pieces"),
            Do::Delay(span) => write!(f, "{span:?} to pass"),
            Do::HangUp | Do::Reset => f.write_str("the connection to be ended"),
        }
    }
}
