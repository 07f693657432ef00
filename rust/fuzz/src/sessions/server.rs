//! What servers do: as they should, and otherwise.

use super::super::input::Input;
use super::world::{path, Link, World};
use bytes::Bytes;
use std::collections::VecDeque;
use zk_proto::frame::FrameBuffer;
use zk_proto::op::{ByteStrings, OpResult, ReadResult, Reply};
use zk_proto::record::{ConnectRequest, ConnectResponse, MultiHeader, Stat, WatcherEvent};
use zk_proto::wire::Reader;
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{frame, reply_frame, ClientFrame};

/// The server's end of a connection: what has come over it.
pub(super) struct Peer {
    frames: FrameBuffer,
    received: usize,
    /// The connect request has come.
    introduced: bool,
    /// How many auth packets are to come before anything else, once the handshake is answered.
    replays: Option<usize>,
    last_xid: i32,
    /// Ordinary requests without an answer.
    asked: VecDeque<ClientFrame>,
    auths: usize,
    /// Nothing was sent on this connection that a server would not send.
    clean: bool,
}

impl Peer {
    pub(super) fn new() -> Peer {
        Peer {
            frames: FrameBuffer::new(1 << 20),
            received: 0,
            introduced: false,
            replays: None,
            last_xid: 0,
            asked: VecDeque::new(),
            auths: 0,
            clean: true,
        }
    }

    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// The client takes itself as connected, with this many auth packets to send first.
    pub(super) fn greeted(&mut self, auths: usize) {
        self.replays.get_or_insert(auths);
    }

    /// No more than so many requests are without an answer, as far as a server with manners can tell.
    pub(super) fn check_unanswered(&self, most: usize) {
        let unanswered = self.asked.iter().filter(|r| r.opcode != opcode::CLOSE_SESSION).count();
        assert!(!self.clean || unanswered <= most, "{unanswered} requests in flight");
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        self.frames.extend(bytes);
        while let Some(frame) = self.frames.next_frame().expect("a frame of the client") {
            if self.introduced {
                self.note(ClientFrame::parse(frame));
            } else {
                self.introduced = true;
                let version = ConnectRequest::decode(frame, |request| request.protocol_version);
                assert_eq!(version, Ok(0));
            }
        }
    }

    fn note(&mut self, request: ClientFrame) {
        let replays = self.replays.as_mut().expect("nothing but the connect request before its answer");
        match request.opcode {
            opcode::AUTH => {
                *replays = replays.saturating_sub(1);
                self.auths += 1;
                return;
            }
            _ => assert_eq!(*replays, 0, "{request:?} goes before authentication"),
        }
        match (request.xid, request.opcode) {
            (-2, opcode::PING) => {}
            // One-shot watches that relied on a persistent one are armed when that goes.
            (-8, opcode::SET_WATCHES) if self.last_xid > 0 => {}
            (-8, opcode::SET_WATCHES | opcode::SET_WATCHES2) => {
                assert_eq!(self.last_xid, 0, "a request goes before the watches");
            }
            (xid, opcode) => {
                assert!(opcode == opcode::CLOSE_SESSION || opcode > 0, "{request:?}");
                assert!(xid > self.last_xid, "{xid} behind {}", self.last_xid);
                self.last_xid = xid;
                self.asked.push_back(request);
            }
        }
    }
}

/// Takes the next attempt and the handshake, and gives a session.
pub(super) fn accept(world: &mut World) {
    for _ in 0..8 {
        if world.link != Link::Down || world.session.over().is_some() {
            break;
        }
        world.next_timer();
    }
    world.connected();
    if world.link == Link::Up && !world.session.is_connected() && world.peer.clean {
        world.flush(usize::MAX);
        let id = world.session.credentials().map_or(7, |(id, _)| id);
        world.deliver(&zk_testkit::handshake(3_000, id), 0);
        assert!(world.session.is_connected(), "a good handshake was not understood");
    }
}

/// An answer to the connect request, if this connection has had none.
pub(super) fn handshake(world: &mut World, input: &mut Input<'_>) {
    let response = ConnectResponse {
        protocol_version: input.choose(&[0, 1, -1]),
        timeout_ms: input.choose(&[3_000, 1, 0, -1, i32::MAX, i32::MIN, 40_000]),
        session_id: input.choose(&[7, 0, 8, -1]),
        passwd: [input.byte(); 16],
        read_only: input.flag(),
    };
    let mut out = Vec::new();
    response.encode(&mut out);
    let body = out.split_off(4);
    let body = match input.byte() % 4 {
        0 => body,
        1 => body[..36].to_vec(),
        2 => [&body[..], b"more"].concat(),
        _ => body[..usize::from(input.byte() % 37)].to_vec(),
    };
    let piece = input.byte();
    if world.link == Link::Up {
        world.peer.clean &= !world.session.is_connected();
        world.deliver(&frame(&body), piece);
    }
}

/// The right answer to the oldest request; or one with a body of the fuzzer's.
pub(super) fn reply(world: &mut World, input: &mut Input<'_>) {
    let code = input.choose(&[0, 0, 0, -101, -110, -999, -4, -124, 5, i32::MIN]);
    let zxid = input.choose(&[1, 0x10, 0, -1, i64::MAX, i64::MIN]);
    let own = input.choose(&[false, false, false, true]).then(|| input.string());
    let piece = input.byte();
    world.flush(usize::MAX);
    let Some(request) = world.peer.asked.pop_front() else { return };
    let body = match own {
        Some(bytes) => bytes.to_vec(),
        None if code == 0 => right_body(&request),
        None => Vec::new(),
    };
    world.peer.clean &= own.is_none();
    // With -124 a server demands another authentication, which ends the session.
    let ends = request.opcode == opcode::CLOSE_SESSION || code == -124;
    let expected = world.peer.clean && !ends && !world.is_closing();
    let bytes = reply_frame(request.xid, zxid, Code(code), &body);
    // The last answer before a planned move ends the connection.
    let expected = expected && !world.session.is_moving();
    world.deliver(&bytes, piece);
    assert!(!expected || world.session.is_connected(), "{request:?} had its answer, and was dropped");
}

/// Answers every request as it should be.
pub(super) fn answer_all(world: &mut World) {
    while let Some(request) = world.peer.asked.pop_front() {
        let bytes = reply_frame(request.xid, 1, Code::OK, &right_body(&request));
        world.deliver(&bytes, 0);
    }
}

pub(super) fn event(world: &mut World, input: &mut Input<'_>) {
    let mut body = Vec::new();
    WatcherEvent {
        kind: EventType(input.choose(&[3, 1, 2, 4, 99, -1, 0, i32::MIN])),
        state: KeeperState(input.choose(&[3, 0, 99, -112])),
        path: Bytes::from_static(path(input)),
    }
    .encode(&mut body);
    let piece = input.byte();
    world.deliver(&reply_frame(-1, -1, Code::OK, &body), piece);
}

pub(super) fn auth_reply(world: &mut World, input: &mut Input<'_>) {
    let code = input.choose(&[0, 0, 0, -115, -124, -999]);
    world.flush(usize::MAX);
    if world.peer.auths > 0 {
        world.peer.auths -= 1;
        world.deliver(&reply_frame(-4, 0, Code(code), b""), 0);
    }
}

/// A reply with a number that may be nobody's.
pub(super) fn stray_reply(world: &mut World, input: &mut Input<'_>) {
    let xid = match input.byte() {
        n @ 0..=127 => i32::from(n),
        128 => i32::MAX,
        129 => i32::MIN,
        n => -i32::from(n - 128),
    };
    let code = input.choose(&[0, -101, -115, -999]);
    let body = input.string();
    world.peer.clean = false;
    world.deliver(&reply_frame(xid, 1, Code(code), body), 0);
}

pub(super) fn raw_frame(world: &mut World, input: &mut Input<'_>) {
    let body = input.string();
    let piece = input.byte();
    world.peer.clean = false;
    world.deliver(&frame(body), piece);
}

pub(super) fn raw(world: &mut World, input: &mut Input<'_>) {
    let bytes = input.string();
    let piece = input.byte();
    world.peer.clean = false;
    world.deliver(bytes, piece);
}

/// A body that this request can have been answered with.
fn right_body(request: &ClientFrame) -> Vec<u8> {
    let stat = Stat::default();
    let path = || Bytes::from_static(b"/n/x");
    let names = || ByteStrings::from_iter(["x", "y"]);
    let reply = match request.opcode {
        opcode::CREATE | opcode::SYNC => Reply::Path(path()),
        opcode::CREATE2 | opcode::CREATE_CONTAINER | opcode::CREATE_TTL => Reply::PathStat(path(), stat),
        opcode::EXISTS | opcode::SET_DATA | opcode::SET_ACL => Reply::Stat(stat),
        opcode::GET_DATA | opcode::RECONFIG => Reply::Data(Some(Bytes::from_static(b"data")), stat),
        opcode::GET_ACL => Reply::Acl(Vec::new(), stat),
        opcode::GET_CHILDREN => Reply::Children(names()),
        opcode::GET_CHILDREN2 => Reply::ChildrenStat(names(), stat),
        opcode::GET_EPHEMERALS => Reply::Paths(names()),
        opcode::GET_ALL_CHILDREN_NUMBER => Reply::Count(2),
        opcode::WHO_AM_I => Reply::Identities(Vec::new()),
        opcode::ADD_WATCH => Reply::Outcome(Code::OK),
        opcode::MULTI => Reply::Multi(results(request)),
        opcode::MULTI_READ => {
            let read = |kind: i32| match kind {
                opcode::GET_DATA => ReadResult::Data(None, stat),
                _ => ReadResult::Children(names()),
            };
            Reply::MultiRead(types(request).into_iter().map(read).collect())
        }
        _ => Reply::Nothing,
    };
    let mut out = Vec::new();
    reply.encode(&mut out);
    out
}

fn results(request: &ClientFrame) -> Vec<OpResult> {
    let one = |kind: i32| match kind {
        opcode::CREATE => OpResult::Create(Bytes::from_static(b"/n/x"), None),
        opcode::DELETE => OpResult::Delete,
        opcode::SET_DATA => OpResult::SetData(Stat::default()),
        opcode::CHECK => OpResult::Check,
        _ => OpResult::Create(Bytes::from_static(b"/n/x"), Some(Stat::default())),
    };
    types(request).into_iter().map(one).collect()
}

/// The opcodes of a transaction's operations.
fn types(request: &ClientFrame) -> Vec<i32> {
    let mut from = Reader::new(request.body.clone());
    let mut types = Vec::new();
    loop {
        let header = MultiHeader::decode(&mut from).expect("a header in a transaction");
        if header.done {
            return types;
        }
        types.push(header.opcode);
        operation(header.opcode, &mut from).expect("an operation in a transaction");
    }
}

/// Reads over one operation.
fn operation(kind: i32, from: &mut Reader) -> Result<(), zk_proto::wire::DecodeError> {
    from.string("path")?;
    match kind {
        opcode::DELETE | opcode::CHECK => drop(from.int("version")?),
        opcode::GET_DATA | opcode::GET_CHILDREN => drop(from.boolean("watch")?),
        opcode::SET_DATA => {
            from.buffer("data")?;
            from.int("version")?;
        }
        _ => {
            from.buffer("data")?;
            zk_proto::record::Acl::decode_list(from)?;
            from.int("flags")?;
            if kind == opcode::CREATE_TTL {
                from.long("ttl")?;
            }
        }
    }
    Ok(())
}
