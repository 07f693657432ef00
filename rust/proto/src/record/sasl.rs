//! One step of a SASL exchange.

use super::RequestHeader;
use crate::opcode;
use crate::wire::{put_buffer, put_frame, DecodeError, Reader};
use bytes::Bytes;

/// A token on its way to the server. Sent with an ordinary xid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaslToken<'a>(pub &'a [u8]);

impl SaslToken<'_> {
    /// Appends the frame, with header.
    pub fn encode(&self, xid: i32, out: &mut Vec<u8>) {
        put_frame(out, |out| {
            let header = RequestHeader { xid, opcode: opcode::SASL };
            header.encode(out);
            put_buffer(out, Some(self.0));
        });
    }
}

/// Tokens prove a password; they stay out of logs.
impl std::fmt::Debug for SaslToken<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SaslToken({} bytes)", self.0.len())
    }
}

/// Reads the token of the server's answer (or of a client's request, after the header); `None` is
/// null.
pub fn decode_token(body: Bytes) -> Result<Option<Bytes>, DecodeError> {
    Reader::new(body).buffer("sasl token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_token_of_digest_md5_is_empty_and_not_null() {
        let mut out = Vec::new();
        SaslToken(b"").encode(3, &mut out);
        assert_eq!(out, [0, 0, 0, 12, 0, 0, 0, 3, 0, 0, 0, 102, 0, 0, 0, 0]);
    }

    #[test]
    fn answers_may_be_null() {
        assert_eq!(decode_token(Bytes::from_static(&[0xff; 4])), Ok(None));
        let token = decode_token(Bytes::from_static(b"\0\0\0\x02ab"));
        assert_eq!(token, Ok(Some(Bytes::from_static(b"ab"))));
    }
}
