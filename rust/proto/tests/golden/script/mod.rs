//! Every operation of the protocol once or more, as one conversation with a server.
//!
//! The same script runs against a live server (`examples/capture.rs` writes down the frames) and
//! against the frames that were written down (`tests/golden.rs`). It therefore says both what we
//! send and what the answers mean.

mod nodes;
mod session;
mod sets;

use bytes::Bytes;
use zk_proto::chroot::Chroot;
use zk_proto::op::{
    AddWatchMode, Create, CreateMode, Identity, MultiOp, OpResult, ReadOp, ReadResult, Reply, ReplyKind,
    Request, WatcherType,
};
use zk_proto::record::{
    encode_ping, Acl, AuthPacket, ConnectRequest, ConnectResponse, ReplyHeader, SaslToken, SetWatches, Stat,
    WatcherEvent,
};
use zk_proto::{opcode, Code, EventType, KeeperState};

/// The other side: a server, or what one has said before.
pub(crate) trait Server {
    /// Its version, as `3.9.3`.
    fn version(&self) -> &str;
    /// Opens a new connection instead of the present one.
    fn reconnect(&mut self);
    /// Sends a frame (with its length) and gives back those that came for it (without): events
    /// first, the reply last.
    fn exchange(&mut self, name: &str, frame: &[u8]) -> Vec<Bytes>;
    /// A successful reply of this kind had this body.
    fn seen(&mut self, _name: &str, _kind: &ReplyKind, _chroot: &Chroot, _body: &Bytes) {}
}

/// What came for a request.
struct Answer {
    result: Result<Reply, Code>,
    /// Type and path.
    events: Vec<(EventType, Bytes)>,
}

struct Script<'s, S> {
    server: &'s mut S,
    chroot: Chroot,
    xid: i32,
}

/// Runs the whole conversation. The server's tree must be empty.
pub(crate) fn run(server: &mut impl Server) {
    let mut script = Script { server, chroot: Chroot::none(), xid: 0 };
    let session = script.connect("connect", 0, [0; 16], 0);
    assert_ne!(session.session_id, 0);
    assert_ne!(session.passwd, [0; 16]);
    assert_eq!(session.timeout_ms, 10_000);
    assert!(!session.read_only);
    script.session_packets();
    script.create();
    script.read(session.session_id);
    script.write();
    script.access_lists();
    script.transactions();
    script.reads_at_once();
    script.tree_queries();
    script.persistent_watches();
    script.inside_a_chroot();
    script.configuration();
    script.delete();
    script.resume(&session);
    script.refusals(&session);
}

fn open_acl() -> Vec<Acl> {
    acl(31, "world", "anyone")
}

fn acl(perms: i32, scheme: &str, id: &str) -> Vec<Acl> {
    vec![Acl { perms, scheme: scheme.into(), id: id.into() }]
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn path(text: &'static str) -> Result<Reply, Code> {
    Ok(Reply::Path(bytes(text)))
}

fn stat_of(result: &Result<Reply, Code>) -> Stat {
    match result {
        Ok(
            Reply::Stat(stat)
            | Reply::Data(_, stat)
            | Reply::PathStat(_, stat)
            | Reply::Acl(_, stat)
            | Reply::ChildrenStat(_, stat),
        ) => *stat,
        other => panic!("no stat in {other:?}"),
    }
}

fn data_of(result: &Result<Reply, Code>) -> Option<&[u8]> {
    match result {
        Ok(Reply::Data(data, _)) => data.as_deref(),
        other => panic!("no data in {other:?}"),
    }
}

fn names_of(result: &Result<Reply, Code>) -> Vec<String> {
    match result {
        Ok(Reply::Children(names) | Reply::ChildrenStat(names, _) | Reply::Paths(names)) => {
            let mut names: Vec<_> =
                names.iter().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
            names.sort();
            names
        }
        other => panic!("no names in {other:?}"),
    }
}

impl<S: Server> Script<'_, S> {
    fn connect(&mut self, name: &str, id: i64, passwd: [u8; 16], zxid: i64) -> ConnectResponse {
        self.server.reconnect();
        let mut out = Vec::new();
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: zxid,
            timeout_ms: 10_000,
            session_id: id,
            passwd: &passwd,
            read_only: false,
        };
        request.encode(&mut out);
        let mut frames = self.server.exchange(name, &out);
        assert_eq!(frames.len(), 1, "{name}");
        let frame = frames.remove(0);
        let response = ConnectResponse::decode(frame.clone()).unwrap();
        out.clear();
        response.encode(&mut out);
        assert_eq!(out[4..], frame, "{name}: encoded again");
        response
    }

    /// Sends a whole frame; returns the events, and the reply's header and body.
    fn frame(&mut self, name: &str, frame: &[u8]) -> (Vec<WatcherEvent>, ReplyHeader, Bytes) {
        let mut frames = self.server.exchange(name, frame);
        let mut body = frames.pop().unwrap_or_else(|| panic!("{name}: no reply"));
        let header = ReplyHeader::decode(&mut body).unwrap();
        let read = |mut frame: Bytes| {
            let header = ReplyHeader::decode(&mut frame).unwrap();
            assert_eq!((header.xid, header.code), (-1, Code::OK), "{name}");
            let event = WatcherEvent::decode(frame.clone()).unwrap();
            assert_eq!(event.state, KeeperState::CONNECTED, "{name}");
            let mut out = Vec::new();
            event.encode(&mut out);
            assert_eq!(out, frame, "{name}: event encoded again");
            event
        };
        (frames.into_iter().map(read).collect(), header, body)
    }

    fn ask(&mut self, name: &str, request: &Request<'_>) -> Answer {
        self.xid += 1;
        let mut out = Vec::new();
        request.encode(self.xid, &self.chroot, &mut out);
        let (events, header, body) = self.frame(name, &out);
        assert_eq!(header.xid, self.xid, "{name}");
        let result = if header.code == Code::OK {
            let kind = request.reply_kind();
            self.server.seen(name, &kind, &self.chroot, &body);
            Ok(Reply::decode(kind, body, &self.chroot).unwrap())
        } else {
            assert!(body.is_empty(), "{name}: an error with a body");
            Err(header.code)
        };
        let strip = |event: WatcherEvent| (event.kind, self.chroot.strip(event.path).unwrap());
        Answer { result, events: events.into_iter().map(strip).collect() }
    }

    /// Asks; there must be no events.
    fn quietly(&mut self, name: &str, request: &Request<'_>) -> Result<Reply, Code> {
        let answer = self.ask(name, request);
        assert_eq!(answer.events, [], "{name}");
        answer.result
    }

    fn create_node(
        &mut self,
        name: &str,
        path: &str,
        data: Option<&[u8]>,
        mode: CreateMode,
        with_stat: bool,
    ) -> Result<Reply, Code> {
        let create = Create { path: path.as_bytes(), data, acl: &open_acl(), mode, with_stat };
        self.quietly(name, &Request::Create(create))
    }
}
