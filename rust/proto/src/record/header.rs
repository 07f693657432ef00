//! What stands before the body of requests and replies.

use crate::wire::{put_frame, put_int, put_long, DecodeError, Reader};
use crate::xid::reserved;
use crate::{opcode, Code};
use bytes::Bytes;

/// What stands before the body of every request but the connect request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestHeader {
    /// The server's reply will carry it.
    pub xid: i32,
    /// What is asked; see [`opcode`].
    pub opcode: i32,
}

impl RequestHeader {
    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.xid);
        put_int(out, self.opcode);
    }

    /// Takes the record off the front of a frame: what a scripted server does.
    pub fn decode(frame: &mut Bytes) -> Result<RequestHeader, DecodeError> {
        let mut from = Reader::new(std::mem::take(frame));
        let header =
            RequestHeader { xid: from.int("request header xid")?, opcode: from.int("request header type")? };
        *frame = from.into_rest();
        Ok(header)
    }
}

/// What stands before the body of every reply but the connect response, and before watch events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHeader {
    /// The request's, or a reserved one.
    pub xid: i32,
    /// The last transaction that the server has seen; -1 in events of older servers.
    pub zxid: i64,
    /// The outcome; only a reply with [`Code::OK`] has a body.
    pub code: Code,
}

impl ReplyHeader {
    /// Bytes that it takes.
    pub const LEN: usize = 16;

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_int(out, self.xid);
        put_long(out, self.zxid);
        put_int(out, self.code.0);
    }

    /// Takes the record off the front of a frame, so that the body is left.
    pub fn decode(frame: &mut Bytes) -> Result<ReplyHeader, DecodeError> {
        let mut from = Reader::new(std::mem::take(frame));
        let header = ReplyHeader {
            xid: from.int("reply header xid")?,
            zxid: from.long("reply header zxid")?,
            code: Code(from.int("reply header err")?),
        };
        *frame = from.into_rest();
        Ok(header)
    }
}

/// Appends a ping: a header and nothing else.
pub fn encode_ping(out: &mut Vec<u8>) {
    let header = RequestHeader { xid: reserved::PING, opcode: opcode::PING };
    put_frame(out, |out| header.encode(out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_a_header_alone() {
        let mut out = Vec::new();
        encode_ping(&mut out);
        assert_eq!(out, [0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11]);
    }

    #[test]
    fn request_header_both_ways() {
        let mut frame = Bytes::from_static(&[0, 0, 1, 2, 0xff, 0xff, 0xff, 0xf5, 7]);
        let header = RequestHeader::decode(&mut frame).unwrap();
        assert_eq!((header.xid, header.opcode), (258, opcode::CLOSE_SESSION));
        assert_eq!(frame, [7][..]);
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out, [0, 0, 1, 2, 0xff, 0xff, 0xff, 0xf5]);
    }

    #[test]
    fn reply_header_leaves_the_body() {
        let bytes = b"\0\0\0\x05\0\0\0\0\0\0\x01\0\xff\xff\xff\x9bbody";
        let mut frame = Bytes::from_static(bytes);
        let header = ReplyHeader::decode(&mut frame).unwrap();
        assert_eq!(header.xid, 5);
        assert_eq!(header.zxid, 256);
        assert_eq!(header.code, Code::NO_NODE);
        assert_eq!(frame, b"body"[..]);
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out, bytes[..16]);
    }

    #[test]
    fn unknown_codes_survive() {
        let mut frame = Bytes::from_static(b"\0\0\0\x05\0\0\0\0\0\0\0\0\xff\xff\xd8\xf1");
        assert_eq!(ReplyHeader::decode(&mut frame).unwrap().code, Code(-9999));
    }
}
