//! Authentication of the session by scheme and credentials.

use super::RequestHeader;
use crate::opcode;
use crate::wire::{put_buffer, put_frame, put_int, put_string, DecodeError, Reader};
use crate::xid::reserved;
use bytes::Bytes;

/// An auth request. Its reply is a header alone, with the reserved xid that all of them share.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthPacket<'a> {
    /// `digest`, `ip`, …
    pub scheme: &'a [u8],
    /// For `digest`: `user:password`, in clear.
    pub credentials: &'a [u8],
}

impl AuthPacket<'_> {
    /// Appends the frame, with header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_frame(out, |out| {
            let header = RequestHeader { xid: reserved::AUTH, opcode: opcode::AUTH };
            header.encode(out);
            put_int(out, 0); // type; servers ignore it
            put_string(out, self.scheme);
            put_buffer(out, Some(self.credentials));
        });
    }

    /// Reads the body (what follows the header) into scheme and credentials: what a scripted server
    /// does.
    pub fn decode(body: Bytes) -> Result<(Bytes, Bytes), DecodeError> {
        let mut from = Reader::new(body);
        from.int("auth type")?;
        Ok((from.string("auth scheme")?, from.string("auth auth")?))
    }
}

/// The credentials stay out of logs.
impl std::fmt::Debug for AuthPacket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthPacket")
            .field("scheme", &String::from_utf8_lossy(self.scheme))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_packet() {
        let packet = AuthPacket { scheme: b"digest", credentials: b"a:\0" };
        let mut out = Vec::new();
        packet.encode(&mut out);
        let expected = b"\0\0\0\x1d\xff\xff\xff\xfc\0\0\0\x64\0\0\0\0\
            \0\0\0\x06digest\0\0\0\x03a:\0";
        assert_eq!(out, expected);
        let (scheme, credentials) = AuthPacket::decode(Bytes::from_static(&expected[12..])).unwrap();
        assert_eq!(scheme, packet.scheme);
        assert_eq!(credentials, packet.credentials);
        assert_eq!(format!("{packet:?}"), "AuthPacket { scheme: \"digest\", .. }");
    }
}
