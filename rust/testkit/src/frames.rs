//! What goes over the wire, as a server sees and makes it.

use bytes::Bytes;
use zk_proto::record::{ConnectResponse, ReplyHeader, RequestHeader, WatcherEvent};
use zk_proto::{Code, EventType, KeeperState};

/// A frame from the client, behind its handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientFrame {
    /// Its number.
    pub xid: i32,
    /// What is asked for.
    pub opcode: i32,
    /// The rest.
    pub body: Bytes,
}

impl ClientFrame {
    /// Reads a frame without its length.
    ///
    /// # Panics
    /// It has no header.
    pub fn parse(mut frame: Bytes) -> ClientFrame {
        let header = RequestHeader::decode(&mut frame).expect("request header");
        ClientFrame { xid: header.xid, opcode: header.opcode, body: frame }
    }
}

/// Puts the length in front.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = (body.len() as i32).to_be_bytes().to_vec();
    out.extend_from_slice(body);
    out
}

/// The answer to the connect request, with a password made of the session id.
pub fn handshake(timeout_ms: i32, session_id: i64) -> Vec<u8> {
    let mut passwd = [0; 16];
    passwd[..8].copy_from_slice(&session_id.to_be_bytes());
    let response = ConnectResponse { protocol_version: 0, timeout_ms, session_id, passwd, read_only: false };
    let mut out = Vec::new();
    response.encode(&mut out);
    out
}

/// A reply: header and body.
pub fn reply_frame(xid: i32, zxid: i64, code: Code, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ReplyHeader { xid, zxid, code }.encode(&mut out);
    out.extend_from_slice(body);
    frame(&out)
}

/// A watch event.
pub fn event_frame(kind: EventType, path: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let path = Bytes::copy_from_slice(path);
    WatcherEvent { kind, state: KeeperState::CONNECTED, path }.encode(&mut body);
    reply_frame(zk_proto::xid::reserved::EVENT, -1, Code::OK, &body)
}
