//! What every request goes through: ready to be repeated, and counted or timed.

use bytes::Bytes;
use std::hint::black_box;
use zk_proto::chroot::Chroot;
use zk_proto::op::{Reply, ReplyKind, Request};
use zk_proto::record::Stat;
use zk_proto::session::Output;
use zk_proto::wire::put_buffer;
use zk_proto::{Code, EventType};
use zk_testkit::{event_frame, reply_frame, Pair};

/// One of them: made ready once, then done as often as one likes.
pub type Path = Box<dyn FnMut()>;

/// Name, how many operations each call is, and what makes it ready.
pub const PATHS: [(&str, usize, fn() -> Path); 7] = [
    ("encode a get", 1, encode_get),
    ("decode data of 100 bytes and stat", 1, decode_data),
    ("decode 1,000 names", 1, decode_names),
    ("session: a get and its reply", 1, session_get),
    ("session: 1,000 gets in flight", 1_000, session_pipelined),
    ("session: a watch is set and fires", 1, session_watch),
    ("session: 1,000 watches come back", 1_000, session_replay),
];

fn data_body() -> Vec<u8> {
    let mut body = Vec::new();
    put_buffer(&mut body, Some(&[b'x'; 100]));
    Stat::default().encode(&mut body);
    body
}

fn encode_get() -> Path {
    let chroot = Chroot::none();
    let mut out = Vec::with_capacity(1_000);
    Box::new(move || {
        out.clear();
        black_box(Request::GetData { path: b"/bench/node", watch: false }).encode(1, &chroot, &mut out);
        black_box(&out);
    })
}

fn decode(kind: ReplyKind, body: Vec<u8>) -> Path {
    let body = Bytes::from(body);
    let chroot = Chroot::none();
    Box::new(move || {
        black_box(Reply::decode(kind.clone(), black_box(body.clone()), &chroot)).expect("a reply");
    })
}

fn decode_data() -> Path {
    decode(ReplyKind::Data, data_body())
}

fn decode_names() -> Path {
    let mut body = 1_000i32.to_be_bytes().to_vec();
    for i in 0..1_000 {
        put_buffer(&mut body, Some(format!("name{i:010}").as_bytes()));
    }
    decode(ReplyKind::Children, body)
}

/// A connected session, and a number for the next request. The session counts its requests from 1 on.
struct Asked {
    pair: Pair,
    xid: i32,
}

impl Asked {
    fn new() -> Asked {
        let mut pair = Pair::connected();
        pair.sent();
        Asked { pair, xid: 0 }
    }

    fn get(&mut self, path: &[u8], watcher: Option<u64>) {
        self.xid += 1;
        let request = Request::GetData { path, watch: watcher.is_some() };
        self.pair.session.submit(self.pair.now, &request, self.xid as u64, watcher, None).expect("room");
    }

    fn transmit(&mut self) {
        let count = black_box(self.pair.session.transmit()).len();
        self.pair.session.transmitted(count);
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.pair.session.handle_bytes(self.pair.now, bytes);
    }

    fn take(&mut self, expected: usize) {
        let mut count = 0;
        while let Some(output) = self.pair.session.poll_output() {
            count +=
                usize::from(matches!(black_box(output), Output::Completed { .. } | Output::Watch { .. }));
        }
        assert_eq!(count, expected);
    }
}

fn session_get() -> Path {
    let mut asked = Asked::new();
    let mut reply = reply_frame(0, 1, Code::OK, &data_body());
    Box::new(move || {
        asked.get(b"/bench/node", None);
        asked.transmit();
        reply[4..8].copy_from_slice(&asked.xid.to_be_bytes());
        asked.feed(&reply);
        asked.take(1);
    })
}

fn session_pipelined() -> Path {
    let mut asked = Asked::new();
    let reply = reply_frame(0, 1, Code::OK, &data_body());
    let mut replies = reply.repeat(1_000);
    Box::new(move || {
        for i in 0..1_000 {
            asked.get(b"/bench/node", None);
            let at = i * reply.len() + 4;
            replies[at..at + 4].copy_from_slice(&asked.xid.to_be_bytes());
        }
        asked.transmit();
        asked.feed(&replies);
        asked.take(1_000);
    })
}

fn session_watch() -> Path {
    let mut asked = Asked::new();
    let mut reply = reply_frame(0, 1, Code::OK, &data_body());
    let event = event_frame(EventType::CHANGED, b"/bench/node");
    Box::new(move || {
        asked.get(b"/bench/node", Some(7));
        asked.transmit();
        reply[4..8].copy_from_slice(&asked.xid.to_be_bytes());
        asked.feed(&reply);
        asked.feed(&event);
        asked.take(2);
    })
}

/// Each call loses the connection, and sets all watches again on the next one.
fn session_replay() -> Path {
    let mut asked = Asked::new();
    for i in 0..1_000u64 {
        asked.get(format!("/bench/node{i}").as_bytes(), Some(i));
        let reply = reply_frame(asked.xid, 1, Code::OK, &data_body());
        asked.transmit();
        asked.feed(&reply);
    }
    asked.take(1_000);
    Box::new(move || {
        asked.pair.cut();
        asked.pair.connect();
        black_box(asked.pair.sent());
        asked.pair.outputs();
    })
}
