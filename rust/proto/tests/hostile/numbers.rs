//! Replies, events and codes with numbers that nobody expects.

use crate::{answers, body, dropped, lost, shapes, still_works, GET, SET};
use bytes::Bytes;
use std::time::Duration;
use zk_proto::op::Request;
use zk_proto::record::{Stat, WatcherEvent};
use zk_proto::session::{Failure, Output};
use zk_proto::{Code, EventType, KeeperState};
use zk_testkit::{config, reply_frame, Pair};

#[test]
fn answers_in_the_wrong_order_answer_nobody() {
    let mut pair = Pair::connected();
    let read = pair.submit(&GET, None);
    let write = pair.submit(&SET, None);
    let last = pair.submit(&GET, None);
    pair.sent();
    pair.feed(&[reply_frame(2, 1, Code::NO_NODE, b""), reply_frame(1, 1, Code::NO_NODE, b"")].concat());
    let expected = [(read, lost(false)), (write, lost(true)), (last, lost(false))];
    assert_eq!(answers(&pair.outputs()), expected);
    still_works(&mut pair);
}

#[test]
fn an_answer_that_comes_twice_is_taken_once() {
    let mut pair = Pair::connected();
    let first = pair.submit(&GET, None);
    let second = pair.submit(&GET, None);
    let answer = reply_frame(1, 1, Code::NO_NODE, b"");
    pair.feed(&[&answer[..], &answer].concat());
    let no_node = Err(Failure::new(Code::NO_NODE));
    assert_eq!(answers(&pair.outputs()), [(first, no_node), (second, lost(false))]);
    still_works(&mut pair);
}

#[test]
fn an_answer_while_nothing_was_asked_drops_the_connection() {
    for xid in [0, 1, 2, -3, -4, -5, i32::MAX, i32::MIN] {
        let mut pair = Pair::connected();
        pair.reply(xid, 1, Code::OK, b"");
        assert_eq!(pair.session.state(), KeeperState::CONNECTING, "{xid}");
        assert!(answers(&pair.outputs()).is_empty());
        still_works(&mut pair);
    }
}

#[test]
fn an_answer_to_the_request_that_is_not_sent_yet_is_nonsense_on_the_next_connection() {
    let mut pair = Pair::connected();
    pair.cut();
    let waiting = pair.submit(&SET, None);
    pair.accept();
    pair.reply(1, 1, Code::OK, b"");
    assert_eq!(pair.session.state(), KeeperState::CONNECTING, "that was no handshake");
    assert!(answers(&pair.outputs()).is_empty(), "it still waits for a server");
    pair.connect();
    pair.reply(1, 1, Code::NO_NODE, b"");
    assert_eq!(answers(&pair.outputs()), [(waiting, Err(Failure::new(Code::NO_NODE)))]);
}

#[test]
fn what_servers_may_say_unasked_is_passed_over() {
    for (xid, code, body) in [
        (-2, Code::OK, &b""[..]),
        (-2, Code(-999), b"with a body"),
        (-8, Code::OK, b""),
        (-8, Code::OK, b"with a body"),
    ] {
        let mut pair = Pair::connected();
        let token = pair.submit(&GET, None);
        pair.reply(xid, i64::MAX, code, body);
        pair.reply(1, 1, Code::NO_NODE, b"");
        assert_eq!(answers(&pair.outputs()), [(token, Err(Failure::new(Code::NO_NODE)))]);
        assert_eq!(pair.session.last_zxid(), 1, "only ordinary answers count");
    }
    dropped(&GET, &reply_frame(-8, 1, Code::NO_NODE, b""));
}

#[test]
fn unknown_codes_reach_the_caller_as_they_are() {
    for code in [-999, -1, 1, 5, i32::MAX, i32::MIN] {
        for body in [&b""[..], b"bytes that an error should not have"] {
            let mut pair = Pair::connected();
            let token = pair.submit(&SET, None);
            pair.reply(1, 1, Code(code), body);
            assert_eq!(answers(&pair.outputs()), [(token, Err(Failure::new(Code(code))))]);
            assert_eq!(pair.session.state(), KeeperState::CONNECTED);
        }
    }
}

#[test]
fn callers_that_have_gone_leave_answers_that_nobody_reads() {
    let rubbish = reply_frame(1, 1, Code::OK, b"\x7f\xff\xff\xff");
    let mut pair = Pair::connected();
    let token = pair.submit(&GET, None);
    pair.session.abandon(token);
    pair.feed(&rubbish);
    assert!(pair.outputs().is_empty());
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);

    let mut pair = Pair::connected();
    let late = Some(Duration::from_millis(10));
    pair.session.submit(pair.now, &SET, 77, None, late).unwrap();
    pair.advance(Duration::from_millis(10));
    pair.feed(&rubbish);
    let timeout = Failure { maybe_applied: true, ..Failure::new(Code::OPERATION_TIMEOUT) };
    assert_eq!(answers(&pair.outputs()), [(77, Err(timeout))]);
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

/// A zxid from an answer that makes no sense would make every server refuse this client.
#[test]
fn a_rubbish_answer_does_not_raise_the_last_zxid() {
    for (request, reply) in shapes() {
        let body = body(&reply);
        let mut pair = Pair::connected();
        pair.submit(&request, None);
        pair.reply(1, i64::MAX, Code::OK, &body[..body.len() - 1]);
        assert_eq!(pair.accept().0, 0, "{request:?}");
    }
}

fn event(kind: i32, state: i32, path: Option<&[u8]>) -> Vec<u8> {
    let (kind, state) = (EventType(kind), KeeperState(state));
    let mut body = Vec::new();
    WatcherEvent { kind, state, path: Bytes::copy_from_slice(path.unwrap_or_default()) }.encode(&mut body);
    if path.is_none() {
        body.truncate(8);
        body.extend_from_slice(&[0xff; 4]);
    }
    reply_frame(-1, -1, Code::OK, &body)
}

/// A session with the chroot `/app`, or none, in which watcher 5 has a data watch on `/n`.
fn watching(hosts: &str) -> Pair {
    let mut pair = Pair::new(config(hosts));
    pair.connect();
    pair.submit(&Request::Exists { path: b"/n", watch: true }, Some(5));
    let mut stat = Vec::new();
    Stat::default().encode(&mut stat);
    pair.reply(1, 1, Code::OK, &stat);
    pair.outputs();
    pair
}

#[test]
fn events_that_fit_no_watch_are_passed_over_and_take_none_off() {
    for (hosts, own) in [("a", &b"/n"[..]), ("a/app", b"/app/n")] {
        for (kind, path) in [
            (99, Some(own)),
            (0, Some(own)),
            (-1, Some(own)),
            (-2, Some(own)),
            (4, Some(own)),
            (5, Some(own)),
            (i32::MIN, Some(own)),
            (i32::MAX, Some(own)),
            (3, None),
            (3, Some(b"")),
            (3, Some(b"/")),
            (3, Some(b"n")),
            (3, Some(b"//n")),
            (3, Some(b"/n/")),
            (3, Some(b"/n\0")),
            (3, Some(b"/\xff\xfe")),
            (3, Some(b"/application/n")),
            (3, Some(b"/app")),
            (3, Some(&[b'/'; 10_000])),
            (-1, None),
        ] {
            let mut pair = watching(hosts);
            pair.feed(&event(kind, 3, path));
            assert!(pair.outputs().is_empty(), "{hosts}: event {kind} {path:?}");
            assert_eq!(pair.session.state(), KeeperState::CONNECTED);
            pair.feed(&event(3, 3, Some(own)));
            assert!(matches!(&pair.outputs()[..], [Output::Watch { watcher: 5, .. }]), "{kind} {path:?}");
        }
    }
}

#[test]
fn the_state_in_an_event_is_passed_on_as_a_number_and_changes_nothing() {
    for state in [99, 0, -112, -113, i32::MIN] {
        let mut pair = watching("a");
        pair.feed(&event(3, state, Some(b"/n")));
        match &pair.outputs()[..] {
            [Output::Watch { watcher: 5, event, .. }] => assert_eq!(event.state, KeeperState(state)),
            other => panic!("{other:?}"),
        }
        assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    }
}

#[test]
fn events_cut_short_drop_the_connection() {
    let whole = event(3, 3, Some(b"/n"));
    for length in 16..whole.len() - 4 {
        dropped(&GET, &reply_frame(-1, -1, Code::OK, &whole[20..4 + length]));
    }
}
