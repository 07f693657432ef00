//! Every frame that a real server has sent, with each of its bytes turned in every bit, to a session that waits for just
//! this frame: it ends in an answer or a lost connection, in little memory, and the session goes on.

use crate::meter;
use crate::records;
use crate::stored::Stored;
use std::thread;
use zk_proto::op::{AddWatchMode, Create, CreateMode, MultiOp, ReadOp, Reply, ReplyKind, Request};
use zk_proto::session::{Config, Output};
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::{config, frame, reply_frame, Pair};

const MASKS: [u8; 9] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff];

/// A request that is answered like this. Lists of operations are leaked: there are few.
fn request_for(kind: &ReplyKind) -> Request<'static> {
    let path = &b"/g"[..];
    let create = Create { path, data: None, acl: &[], mode: CreateMode::Persistent, with_stat: false };
    let op = |kind: &i32| match *kind {
        opcode::CREATE => MultiOp::Create(create),
        opcode::CREATE2 => MultiOp::Create(Create { with_stat: true, ..create }),
        opcode::DELETE => MultiOp::Delete { path, version: -1 },
        opcode::SET_DATA => MultiOp::SetData { path, data: None, version: -1 },
        _ => MultiOp::Check { path, version: -1 },
    };
    let read = |kind: &i32| match *kind {
        opcode::GET_DATA => ReadOp::GetData { path },
        _ => ReadOp::GetChildren { path },
    };
    match kind {
        ReplyKind::Nothing => Request::Delete { path, version: -1 },
        ReplyKind::Path => Request::Create(create),
        ReplyKind::PathStat => Request::Create(Create { with_stat: true, ..create }),
        ReplyKind::Stat => Request::Exists { path, watch: true },
        ReplyKind::Data => Request::GetData { path, watch: true },
        ReplyKind::Acl => Request::GetAcl { path },
        ReplyKind::Children => Request::GetChildren { path, watch: true },
        ReplyKind::ChildrenStat => Request::GetChildren2 { path, watch: true },
        ReplyKind::Multi(types) => Request::Multi(types.iter().map(op).collect::<Vec<_>>().leak()),
        ReplyKind::MultiRead(types) => Request::MultiRead(types.iter().map(read).collect::<Vec<_>>().leak()),
        ReplyKind::Paths => Request::GetEphemerals { prefix: b"/" },
        ReplyKind::Count => Request::GetAllChildrenNumber { path },
        ReplyKind::Identities => Request::WhoAmI,
        ReplyKind::Outcome => Request::AddWatch { path, mode: AddWatchMode::Persistent },
    }
}

/// What waits for a frame.
enum Waits {
    /// A new session, and one that resumes, for the answer to the handshake.
    Handshake(bool),
    Request(Request<'static>),
}

impl Waits {
    /// A session that waits so, and how many requests of it want an answer.
    fn begin(&self) -> (Pair, usize) {
        match self {
            Waits::Handshake(resumes) => {
                let resume = resumes.then_some((7, [7; 16]));
                let mut pair = Pair::new(Config { resume, ..config("a") });
                pair.accept();
                (pair, 0)
            }
            Waits::Request(request) => {
                let mut pair = Pair::connected();
                let watcher = matches!(request, Request::AddWatch { .. }).then_some(1);
                pair.submit(request, watcher);
                (pair, 1)
            }
        }
    }
}

fn completed(pair: &mut Pair) -> usize {
    pair.outputs().iter().filter(|output| matches!(output, Output::Completed { .. })).count()
}

/// How often a turned byte was understood, refused, or made the session wait for more.
#[derive(Default, Debug)]
struct Ends {
    understood: usize,
    refused: usize,
    waiting: usize,
}

fn turn_every_byte(name: &str, whole: &[u8], waits: &Waits, ends: &mut Ends) {
    for at in 0..whole.len() {
        for mask in MASKS {
            let mut bytes = whole.to_vec();
            bytes[at] ^= mask;
            let (mut pair, waiting) = waits.begin();
            let before = pair.session.state();
            let ((), used) = meter::peak(|| pair.feed(&bytes));
            // An access list takes 12 bytes an entry on the wire and 56 here.
            let room = 16 * bytes.len() + (16 << 10);
            assert!(used <= room, "{name}, byte {at} turned by {mask:#x}: {used} bytes of memory");
            match pair.session.state() {
                KeeperState::CONNECTED if pair.session.outstanding() == 0 => ends.understood += 1,
                KeeperState::EXPIRED => ends.understood += 1,
                state if state == before => ends.waiting += 1,
                _ => ends.refused += 1,
            }
            if pair.session.state() == KeeperState::EXPIRED {
                assert!(matches!(waits, Waits::Handshake(_)), "{name}, byte {at} turned by {mask:#x}");
                continue;
            }
            if pair.session.state() != KeeperState::CONNECTING {
                pair.cut();
            }
            assert_eq!(completed(&mut pair), waiting, "{name}, byte {at} turned by {mask:#x}");
            if mask == 0xff {
                goes_on(&mut pair);
            }
        }
    }
}

fn goes_on(pair: &mut Pair) {
    pair.accept();
    let id = pair.session.credentials().map_or(7, |(id, _)| id);
    pair.feed(&zk_testkit::handshake(3_000, id));
    pair.sent();
    pair.submit(&request_for(&ReplyKind::Data), None);
    let xid = pair.sent().pop().expect("the request").xid;
    pair.reply(xid, 1, Code::NO_NODE, b"");
    assert_eq!(completed(pair), 1);
}

fn turn_every_frame(stored: &Stored) -> Ends {
    let mut ends = Ends::default();
    for (name, received) in &stored.frames {
        if name.starts_with("connect") {
            for resumes in [false, true] {
                turn_every_byte(name, &frame(received), &Waits::Handshake(resumes), &mut ends);
            }
            continue;
        }
        let mut bytes = frame(received);
        let kind =
            stored.seen.iter().find(|seen| seen.name == *name).map_or(ReplyKind::Nothing, |s| s.kind.clone());
        // Users' requests have numbers from 1 on; this session's is its first.
        if received[0] < 0x80 {
            bytes[4..8].copy_from_slice(&1i32.to_be_bytes());
        }
        turn_every_byte(name, &bytes, &Waits::Request(request_for(&kind)), &mut ends);
    }
    ends
}

#[test]
fn every_byte_of_every_frame_turned_is_an_answer_or_a_lost_connection() {
    thread::scope(|scope| {
        let runs: Vec<_> =
            records().into_iter().map(|stored| scope.spawn(move || turn_every_frame(&stored))).collect();
        for run in runs {
            let ends = run.join().unwrap();
            let Ends { understood, refused, waiting } = ends;
            assert!(understood > 10_000 && refused > 1_000 && waiting > 1_000, "{ends:?}");
        }
    });
}

/// As they are, all are understood: what is turned above is what matters.
#[test]
fn the_frames_as_they_are_end_in_their_answers() {
    for stored in records() {
        for seen in &stored.seen {
            let (mut pair, _) = Waits::Request(request_for(&seen.kind)).begin();
            pair.feed(&reply_frame(1, 1, Code::OK, &seen.body));
            match &pair.outputs()[..] {
                [Output::Completed { result, .. }, ..] => match (result, &seen.kind) {
                    (Ok(Reply::Outcome(code)), ReplyKind::Outcome) => assert_eq!(*code, Code::OK),
                    (Ok(_), _) => {}
                    other => panic!("{}: {other:?}", seen.name),
                },
                other => panic!("{}: {other:?}", seen.name),
            }
        }
    }
}
