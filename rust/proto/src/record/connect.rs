//! The handshake that opens or resumes a session. Neither record has a header before it.

use crate::wire::{put_bool, put_buffer, put_frame, put_int, put_long, DecodeError, Reader};
use bytes::Bytes;

/// The first frame of a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Always 0.
    pub protocol_version: i32,
    /// The greatest zxid seen in a reply; a server that lags behind it refuses the connection.
    pub last_zxid_seen: i64,
    /// The session timeout that is asked for, in milliseconds.
    pub timeout_ms: i32,
    /// 0 for a new session.
    pub session_id: i64,
    /// As last received; zeros for a new session.
    pub passwd: &'a [u8; 16],
    /// Accept a server that is cut off from its quorum.
    pub read_only: bool,
}

impl ConnectRequest<'_> {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_frame(out, |out| {
            put_int(out, self.protocol_version);
            put_long(out, self.last_zxid_seen);
            put_int(out, self.timeout_ms);
            put_long(out, self.session_id);
            put_buffer(out, Some(self.passwd));
            put_bool(out, self.read_only);
        });
    }

    /// Reads a frame and hands the record to `then`: what a scripted server does. Clients up to 3.3
    /// send no `read_only`.
    pub fn decode<T>(frame: Bytes, then: impl FnOnce(&ConnectRequest<'_>) -> T) -> Result<T, DecodeError> {
        let mut from = Reader::new(frame);
        let protocol_version = from.int("connect request version")?;
        let last_zxid_seen = from.long("connect request lastZxidSeen")?;
        let timeout_ms = from.int("connect request timeOut")?;
        let session_id = from.long("connect request sessionId")?;
        let passwd = passwd(&mut from)?;
        Ok(then(&ConnectRequest {
            protocol_version,
            last_zxid_seen,
            timeout_ms,
            session_id,
            passwd: &passwd,
            read_only: from.left() > 0 && from.boolean("connect request readOnly")?,
        }))
    }
}

/// The server's answer to a [`ConnectRequest`].
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Always 0.
    pub protocol_version: i32,
    /// The negotiated session timeout in milliseconds; 0 or less: the session is refused.
    pub timeout_ms: i32,
    /// The session's id; 0: the session is refused.
    pub session_id: i64,
    /// Whoever knows it can take the session over.
    pub passwd: [u8; 16],
    /// The server is cut off from its quorum; the session is valid on this server only.
    pub read_only: bool,
}

impl ConnectResponse {
    /// Appends the frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_frame(out, |out| {
            put_int(out, self.protocol_version);
            put_int(out, self.timeout_ms);
            put_long(out, self.session_id);
            put_buffer(out, Some(&self.passwd));
            put_bool(out, self.read_only);
        });
    }

    /// Reads a frame. Servers up to 3.3 send no `read_only`.
    pub fn decode(frame: Bytes) -> Result<ConnectResponse, DecodeError> {
        let mut from = Reader::new(frame);
        Ok(ConnectResponse {
            protocol_version: from.int("connect response version")?,
            timeout_ms: from.int("connect response timeOut")?,
            session_id: from.long("connect response sessionId")?,
            passwd: passwd(&mut from)?,
            read_only: from.left() > 0 && from.boolean("connect response readOnly")?,
        })
    }
}

/// A password has 16 bytes. One that is null or empty stands for none, which is what refusals and
/// new sessions have.
fn passwd(from: &mut Reader) -> Result<[u8; 16], DecodeError> {
    let what = "connect passwd";
    let bytes = from.string(what)?;
    if bytes.is_empty() {
        return Ok([0; 16]);
    }
    <[u8; 16]>::try_from(&bytes[..]).map_err(|_| DecodeError::Length {
        what,
        length: i32::try_from(bytes.len()).unwrap_or(i32::MAX),
        left: bytes.len(),
    })
}

/// The password stays out of logs.
impl std::fmt::Debug for ConnectRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectRequest")
            .field("last_zxid_seen", &self.last_zxid_seen)
            .field("timeout_ms", &self.timeout_ms)
            .field("session_id", &self.session_id)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// The password stays out of logs.
impl std::fmt::Debug for ConnectResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectResponse")
            .field("timeout_ms", &self.timeout_ms)
            .field("session_id", &self.session_id)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: [u8; 16] = *b"0123456789abcdef";

    #[test]
    fn connect_request() {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0x0102,
            timeout_ms: 10_000,
            session_id: -2,
            passwd: &PASSWD,
            read_only: true,
        };
        let mut out = Vec::new();
        request.encode(&mut out);
        let expected = b"\0\0\0\x2d\0\0\0\0\0\0\0\0\0\0\x01\x02\0\0\x27\x10\
            \xff\xff\xff\xff\xff\xff\xff\xfe\0\0\0\x100123456789abcdef\x01";
        assert_eq!(out, expected);
        let back = |frame: &'static [u8]| {
            ConnectRequest::decode(Bytes::from_static(frame), |read| {
                assert_eq!(read.passwd, &PASSWD);
                assert_eq!(read.session_id, -2);
                read.read_only
            })
        };
        assert_eq!(back(&expected[4..]), Ok(true));
        assert_eq!(back(&expected[4..expected.len() - 1]), Ok(false));
    }

    const RESPONSE: &[u8] = b"\0\0\0\x25\0\0\0\0\0\0\x0f\xa0\
        \x01\0\0\0\0\0\0\x07\0\0\0\x100123456789abcdef\x01";

    #[test]
    fn connect_response() {
        let read = ConnectResponse::decode(Bytes::from_static(&RESPONSE[4..])).unwrap();
        assert_eq!(read.timeout_ms, 4000);
        assert_eq!(read.session_id, 0x0100_0000_0000_0007);
        assert_eq!(read.passwd, PASSWD);
        assert!(read.read_only);
        let mut out = Vec::new();
        read.encode(&mut out);
        assert_eq!(out, RESPONSE);
    }

    #[test]
    fn old_servers_send_no_read_only_byte() {
        let old = Bytes::from_static(&RESPONSE[4..RESPONSE.len() - 1]);
        assert_eq!(old.len(), 36);
        assert!(!ConnectResponse::decode(old).unwrap().read_only);
    }

    #[test]
    fn passwords_of_other_lengths() {
        let decode = |passwd: &[u8]| {
            let frame = [&[0; 16][..], passwd].concat();
            ConnectResponse::decode(frame.into())
        };
        assert_eq!(decode(b"\xff\xff\xff\xff").unwrap().passwd, [0; 16]);
        assert_eq!(decode(b"\0\0\0\0\0").unwrap().passwd, [0; 16]);
        assert!(decode(b"\0\0\0\x03abc").is_err());
        assert!(decode(b"\0\0\0\x110123456789abcdefg").is_err());
    }

    #[test]
    fn debug_hides_the_password() {
        let read = ConnectResponse::decode(Bytes::from_static(&RESPONSE[4..])).unwrap();
        assert_eq!(
            format!("{read:?}"),
            "ConnectResponse { timeout_ms: 4000, session_id: 72057594037927943, read_only: true, .. }"
        );
    }
}
