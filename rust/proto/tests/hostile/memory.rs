//! Memory stays within what has arrived, and goes with the connection.

use crate::{body, meter::peak, shapes, GET};
use std::time::Duration;
use zk_proto::op::{AddWatchMode, Reply, Request};
use zk_proto::session::Output;
use zk_proto::{Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, frame, handshake, reply_frame, Pair};

/// What a session may take for itself whatever happens: room to read into, moved once.
const ROOM: usize = 256 << 10;

#[test]
fn a_length_is_not_believed_before_its_bytes_have_come() {
    for length in [64 << 20, 10 << 20, 1 << 20] {
        for connected in [false, true] {
            let mut pair = Pair::new(config("a"));
            pair.accept();
            if connected {
                pair.feed(&handshake(3_000, 7));
            }
            let ((), used) = peak(|| pair.feed(&u32::to_be_bytes(length)));
            assert!(used <= ROOM, "{used} bytes for four");
            let ((), used) = peak(|| (0..256).for_each(|_| pair.feed(&[7; 1024])));
            assert!(used <= 4 * (256 << 10) + ROOM, "{used} bytes for 256 KiB");
        }
    }
}

#[test]
fn counts_and_lengths_inside_a_frame_are_not_believed() {
    for (request, _) in shapes() {
        for lie in [i32::MAX, 100_000_000, 1_000_000, -1, -2, i32::MIN] {
            for filler in [0, 0xff, 0x7f] {
                // The lie at the front, and behind each of the first fields of a transaction.
                for at in [0, 4, 9, 13] {
                    let mut body = vec![filler; 200];
                    body[at..at + 4].copy_from_slice(&lie.to_be_bytes());
                    let bytes = reply_frame(1, 1, Code::OK, &body);
                    let mut pair = Pair::connected();
                    pair.submit(&request, None);
                    let ((), used) = peak(|| pair.feed(&bytes));
                    assert!(used <= 16 << 10, "{request:?}, {lie} at {at}: {used} bytes");
                }
            }
        }
    }
}

/// The records that are largest in memory for their size on the wire.
#[test]
fn answers_of_many_small_parts_take_a_bounded_multiple() {
    const PARTS: usize = 50_000;
    let list = |item: &[u8], tail: usize| {
        let count = i32::try_from(PARTS).unwrap().to_be_bytes();
        [&count[..], &item.repeat(PARTS), &vec![0; tail]].concat()
    };
    for (request, body, times) in [
        (Request::GetAcl { path: b"/n" }, list(&[0; 12], 68), 8),
        (Request::WhoAmI, list(&[0; 8], 0), 12),
        (Request::GetChildren { path: b"/n", watch: false }, list(&[0; 4], 0), 4),
        (Request::GetEphemerals { prefix: b"/" }, list(b"\0\0\0\x01/", 0), 4),
    ] {
        let bytes = reply_frame(1, 1, Code::OK, &body);
        let mut pair = Pair::connected();
        pair.submit(&request, None);
        let (outputs, used) = peak(|| {
            bytes.chunks(64 << 10).for_each(|bytes| pair.feed(bytes));
            pair.outputs()
        });
        assert!(matches!(&outputs[..], [Output::Completed { result: Ok(_), .. }]), "{request:?}");
        assert!(used <= times * bytes.len() + ROOM, "{request:?}: {used} bytes for {}", bytes.len());
    }
}

#[test]
fn floods_that_nobody_asked_for_leave_nothing_behind() {
    for flood in [
        event_frame(EventType::CHANGED, b"/nobody/watches/this"),
        reply_frame(-2, 1, Code::OK, b""),
        reply_frame(-8, 1, Code::OK, b""),
    ] {
        let mut pair = Pair::connected();
        let segment = flood.repeat(64 * 1024 / flood.len());
        let ((), used) = peak(|| {
            for _ in 0..50 {
                pair.feed(&segment);
            }
        });
        assert_eq!(pair.session.state(), KeeperState::CONNECTED);
        assert!(used <= 4 * segment.len() + ROOM, "{used} bytes held of {} fed", 50 * segment.len());
    }
}

#[test]
fn events_that_are_heard_take_a_bounded_multiple_until_they_are_taken() {
    let mut pair = Pair::connected();
    pair.submit(&Request::AddWatch { path: b"/n", mode: AddWatchMode::Persistent }, Some(1));
    pair.reply(1, 1, Code::OK, &body(&Reply::Outcome(Code::OK)));
    pair.outputs();
    let segment = event_frame(EventType::CHANGED, b"/n").repeat(10_000);
    let ((), used) = peak(|| pair.feed(&segment));
    assert_eq!(pair.outputs().len(), 10_000);
    // The session's queue and the test's.
    assert!(used <= 24 * segment.len() + ROOM, "{used} bytes for {}", segment.len());
    let ((), used) = peak(|| {
        for _ in 0..20 {
            pair.feed(&segment);
            assert_eq!(pair.outputs().len(), 10_000);
        }
    });
    assert!(used <= 24 * segment.len() + ROOM, "{used} bytes for {} again and again", segment.len());
}

#[test]
fn what_a_lost_connection_had_sent_goes_with_it() {
    let half = &frame(&vec![1; 2 << 20])[..1 << 20];
    let mut pair = Pair::connected();
    let ((), used) = peak(|| {
        for round in 0..50 {
            half.chunks(16 << 10).for_each(|bytes| pair.feed(bytes));
            match round % 2 {
                0 => pair.cut(),
                // The server has stalled.
                _ => pair.advance(Duration::from_secs(3)),
            }
            pair.connect();
            pair.outputs();
        }
    });
    assert!(used <= 4 * half.len() + ROOM, "{used} bytes after 50 halves of an answer");
}

#[test]
fn refusals_without_end_cost_nothing_that_stays() {
    let mut pair = Pair::new(config("a,b,c"));
    pair.accept();
    let ((), used) = peak(|| {
        for _ in 0..2_000 {
            pair.feed(&handshake(0, 0));
            pair.accept();
            pair.outputs();
        }
    });
    assert!(used <= ROOM, "{used} bytes after 2,000 refusals");
}

/// A server whose window is never quite empty, so that the session's buffer never is either.
#[test]
fn a_server_that_reads_slowly_does_not_make_the_session_keep_what_was_sent() {
    let mut pair = Pair::connected();
    let data = [7; 1000];
    let request = Request::SetData { path: b"/n", data: Some(&data), version: -1 };
    let mut sent = Vec::with_capacity(64 << 20);
    let ((), used) = peak(|| {
        for xid in 1..=20_000 {
            pair.submit(&request, None);
            let count = pair.session.transmit().len() - 1;
            sent.extend_from_slice(&pair.session.transmit()[..count]);
            pair.session.transmitted(count);
            pair.reply(xid, 1, Code::NO_NODE, b"");
            pair.outputs();
        }
    });
    assert!(used <= 2 * ROOM, "{used} bytes for one that waits");
    // Nothing was lost or sent twice on the way.
    sent.extend_from_slice(pair.session.transmit());
    let mut frames = zk_proto::frame::FrameBuffer::new(64 << 20);
    frames.extend(&sent);
    for xid in 1..=20_000 {
        let frame = frames.next_frame().unwrap().expect("a request");
        assert_eq!(frame[..4], i32::to_be_bytes(xid));
        assert_eq!(frame.len(), 8 + 6 + 4 + 1000 + 4);
    }
    assert!(frames.is_empty());
}

#[test]
fn an_answer_that_is_kept_keeps_its_neighbours_and_not_more() {
    let mut pair = Pair::connected();
    let stat_and_data = [&b"\0\0\0\x01x"[..], &[0; 68]].concat();
    let flood = reply_frame(-2, 1, Code::OK, &[0; 1000]).repeat(64);
    let (kept, used) = peak(|| {
        let mut kept = Vec::new();
        for xid in 1..=50 {
            pair.submit(&GET, None);
            pair.sent();
            pair.feed(&flood);
            pair.reply(xid, 1, Code::OK, &stat_and_data);
            pair.feed(&flood);
            kept.extend(pair.outputs());
        }
        kept
    });
    assert_eq!(kept.len(), 50);
    assert!(used <= 50 * (64 << 10) * 3 + ROOM, "{used} bytes behind 50 answers");
}
