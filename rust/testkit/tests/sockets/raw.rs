//! A client that knows nothing: it sends bytes and looks at what comes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use zk_proto::chroot::Chroot;
use zk_proto::op::Request;
use zk_proto::record::{encode_ping, ConnectRequest};
use zk_testkit::frame;

/// For what is to come: a test that waits for so long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(10);

pub(crate) const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };
pub(crate) const SET: Request<'_> = Request::SetData { path: b"/n", data: Some(b"x"), version: -1 };

pub(crate) fn connect_request(session_id: i64) -> Vec<u8> {
    let mut out = Vec::new();
    ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout_ms: 10_000,
        session_id,
        passwd: &[0; 16],
        read_only: false,
    }
    .encode(&mut out);
    out
}

pub(crate) fn request(xid: i32, request: &Request<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(xid, &Chroot::none(), &mut out);
    out
}

pub(crate) fn ping() -> Vec<u8> {
    let mut out = Vec::new();
    encode_ping(&mut out);
    out
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Closed,
    Reset,
}

pub(crate) struct Raw(TcpStream);

impl Raw {
    pub(crate) fn connect(hosts: &str) -> Raw {
        let stream = TcpStream::connect(hosts).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Raw(stream)
    }

    /// Connects and takes the session that it is given.
    pub(crate) fn greeted(hosts: &str) -> Raw {
        let mut raw = Raw::connect(hosts);
        raw.send(&connect_request(0));
        assert_eq!(raw.frame().len(), 37, "a handshake");
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next bytes that are there, as one read takes them.
    pub(crate) fn piece(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 1 << 20];
        let count = self.0.read(&mut buffer).unwrap();
        assert!(count > 0, "the end of the connection");
        buffer.truncate(count);
        buffer
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The next frame, without its length.
    pub(crate) fn frame(&mut self) -> Vec<u8> {
        let length = self.bytes(4).try_into().unwrap();
        self.bytes(u32::from_be_bytes(length) as usize)
    }

    /// That nothing comes now. A moment is no proof, but one who passes on at once is found out.
    pub(crate) fn hears_nothing(&mut self) {
        self.0.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let heard = self.0.read(&mut [0; 1]).map_err(|error| error.kind());
        assert_eq!(heard, Err(ErrorKind::WouldBlock));
        self.0.set_read_timeout(Some(LONG)).unwrap();
    }

    pub(crate) fn shut(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// What comes until the end, and the end.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        let mut rest = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return (rest, End::Closed),
                Ok(count) => rest.extend(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return (rest, End::Reset),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A reply without a body, as it comes over the wire.
pub(crate) fn reply(xid: i32, code: i32) -> Vec<u8> {
    frame(&[&xid.to_be_bytes()[..], &1i64.to_be_bytes(), &code.to_be_bytes()].concat())
}
