//! A connection, with what the server keeps for it and what the simulation notes about it.

use super::book::Book;
use super::net::Pipe;
use super::op::Op;
use super::removal::Gap;
use super::sasl::Progress;
use super::spoil::Spoil;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use zk_proto::op::{Reply, WatcherType};
use zk_proto::record::SetWatches;
use zk_proto::{Code, EventType};

/// What a server did for a request: the model's own record, against which the answer is held.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) code: Code,
    /// With the server's paths.
    pub(super) reply: Reply,
    pub(super) zxid: i64,
    /// How many transactions the server had applied.
    pub(super) applied: usize,
}

/// What a frame to the client says.
#[derive(Clone, Debug)]
pub(super) enum Note {
    Hello {
        id: i64,
        read_only: bool,
    },
    Refusal,
    Event {
        kind: EventType,
        path: String,
        /// How many transactions the server had applied.
        applied: usize,
    },
    Reply {
        token: u64,
        done: Rc<Done>,
    },
    Auth {
        ok: bool,
    },
    /// The end of a login by SASL.
    Login {
        ok: bool,
    },
    Closing,
    /// Nothing that makes sense.
    Rubbish,
    Pong,
    /// Answer to setWatches, step of a login: nothing that a user hears of.
    Quiet,
}

/// What the server has yet to do for a connection.
#[derive(Debug)]
pub(super) enum Work {
    Hello(Hello),
    Ping,
    Auth { credentials: Bytes },
    Sasl { xid: i32, token: Bytes },
    SetWatches { relative_zxid: i64, kinds: [Vec<String>; 5] },
    Op { xid: i32, token: u64, op: Op },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Hello {
    pub(super) last_zxid: i64,
    pub(super) id: i64,
    pub(super) passwd: [u8; 16],
    pub(super) timeout_ms: i32,
    pub(super) read_only: bool,
}

/// Paths of watches by kind, in the order of setWatches2.
pub(super) type WatchTable = [BTreeSet<String>; 5];

#[derive(Debug)]
pub(super) struct Conn {
    pub(super) user: usize,
    pub(super) server: usize,
    pub(super) to_server: Pipe,
    pub(super) to_client: Pipe,

    /// The user's end: still of interest to the session.
    pub(super) client_open: bool,
    /// Bytes that the session has handed to the user's kernel.
    pub(super) written: u64,
    /// The kernel takes nothing until then.
    pub(super) full_until: u64,

    /// The server's end.
    pub(super) server_open: bool,
    pub(super) frames: Vec<u8>,
    /// What the kernel of a stopped server holds.
    pub(super) held: Vec<u8>,
    pub(super) held_end: bool,
    pub(super) queue: VecDeque<Work>,
    /// With the leader, or waiting until this server has applied it.
    pub(super) doing: Option<Work>,
    pub(super) waits_for: Option<(usize, Code, Reply)>,
    pub(super) greeted: bool,
    pub(super) session: i64,
    pub(super) read_only: bool,
    pub(super) ids: Vec<Bytes>,
    pub(super) login: Progress,
    pub(super) watches: Book,

    /// Frames to the client: where each ends in the stream, and what it says.
    pub(super) notes: Vec<(u64, Note)>,
    pub(super) sent: u64,
    /// How far the client has got.
    pub(super) heard: u64,
    pub(super) noted: usize,

    /// When the handshake was sent, by the user's clock, and the pings that have no answer.
    pub(super) hello_at: u64,
    pub(super) pings: VecDeque<u64>,
    /// The tokens of the requests that the session handed to this connection, in order, and when it did.
    pub(super) handed: Vec<u64>,
    pub(super) handed_at: Vec<u64>,
    /// How many of them the server got, and of how many the client has the reply.
    pub(super) got: usize,
    pub(super) replied: usize,
    /// By token, what a removal of watches asked the server for.
    pub(super) removals: BTreeMap<u64, WatcherType>,
    pub(super) gaps: Vec<Gap>,
    /// What becomes of the next reply.
    pub(super) spoil: Option<Spoil>,
    /// Which of the user's authentications were sent, how many the server got and answered.
    pub(super) auths: Vec<usize>,
    /// Behind how many requests each of them was added.
    pub(super) auths_at: Vec<usize>,
    pub(super) auths_got: usize,
    pub(super) auths_answered: usize,
    /// How many of them were to come before anything else.
    pub(super) auths_first: usize,
    /// What setWatches was to arm, and what it did; compared when the next frame comes.
    pub(super) to_arm: Option<WatchTable>,
    pub(super) armed: WatchTable,
    /// From which zxid.
    pub(super) armed_from: Option<i64>,
    /// Paths of watches that were armed again later.
    pub(super) armed_again: BTreeSet<String>,
}

impl Conn {
    pub(super) fn new(user: usize, server: usize, one_mode: bool) -> Conn {
        Conn {
            user,
            server,
            to_server: Pipe::default(),
            to_client: Pipe::default(),
            client_open: true,
            written: 0,
            full_until: 0,
            server_open: false,
            frames: Vec::new(),
            held: Vec::new(),
            held_end: false,
            queue: VecDeque::new(),
            doing: None,
            waits_for: None,
            greeted: false,
            session: 0,
            read_only: false,
            ids: Vec::new(),
            login: Progress::Nothing,
            watches: Book::new(one_mode),
            notes: Vec::new(),
            sent: 0,
            heard: 0,
            noted: 0,
            hello_at: 0,
            pings: VecDeque::new(),
            handed: Vec::new(),
            handed_at: Vec::new(),
            got: 0,
            replied: 0,
            removals: BTreeMap::new(),
            gaps: Vec::new(),
            spoil: None,
            auths_at: Vec::new(),
            auths: Vec::new(),
            auths_got: 0,
            auths_answered: 0,
            auths_first: 0,
            to_arm: None,
            armed: Default::default(),
            armed_from: None,
            armed_again: BTreeSet::new(),
        }
    }

    /// The next whole frame of the client.
    pub(super) fn next_frame(&mut self) -> Option<Bytes> {
        let head = self.frames.first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*head)).expect("a length that is not negative");
        assert!(length < 1 << 20, "a frame of {length} bytes");
        if self.frames.len() < 4 + length {
            return None;
        }
        let rest = self.frames.split_off(4 + length);
        let frame = std::mem::replace(&mut self.frames, rest);
        Some(Bytes::from(frame).slice(4..))
    }

    /// Reads setWatches; sorted, because the session's order is that of a hash map and a run must
    /// replay exactly.
    pub(super) fn read_set_watches(opcode: i32, body: Bytes) -> Work {
        let (relative_zxid, kinds) = SetWatches::decode(opcode, body).expect("setWatches");
        let kinds = kinds.map(|paths| {
            let mut paths: Vec<String> =
                paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
            paths.sort();
            paths
        });
        Work::SetWatches { relative_zxid, kinds }
    }

    /// Whether anything of it can still have an effect.
    pub(super) fn lives(&self) -> bool {
        self.server_open || self.doing.is_some() || !self.queue.is_empty()
    }
}
