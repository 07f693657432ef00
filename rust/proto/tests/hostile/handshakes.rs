//! Answers to the connect request of every wrong kind.

use crate::{answers, still_works, GET};
use std::time::Duration;
use zk_proto::session::{Config, Output};
use zk_proto::{Code, KeeperState};
use zk_testkit::{config, event_frame, frame, handshake, reply_frame, Pair};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Connected,
    Dropped,
    Expired,
}

use Outcome::{Connected, Dropped, Expired};

/// The fields as they are sent; the password with its length.
fn answer(version: i32, timeout_ms: i32, id: i64, passwd: &[u8], tail: &[u8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend(timeout_ms.to_be_bytes());
    body.extend(id.to_be_bytes());
    body.extend(passwd);
    body.extend(tail);
    frame(&body)
}

const PASSWD: &[u8] = b"\0\0\0\x10\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0";

fn outcome(pair: &Pair) -> Outcome {
    match pair.session.state() {
        KeeperState::CONNECTED => Connected,
        KeeperState::CONNECTING => Dropped,
        KeeperState::EXPIRED => Expired,
        other => panic!("{other:?}"),
    }
}

/// What an answer makes of a new session, and of the session 7 that is to be resumed.
#[test]
fn every_wrong_kind_of_handshake() {
    let rw = b"\0";
    for (what, bytes, new, resumed) in [
        ("as it should be", answer(0, 3_000, 7, PASSWD, rw), Connected, Connected),
        ("no readOnly byte", answer(0, 3_000, 7, PASSWD, b""), Connected, Connected),
        ("fields of the future", answer(0, 3_000, 7, PASSWD, b"\0and more"), Connected, Connected),
        ("protocol version 1", answer(1, 3_000, 7, PASSWD, rw), Connected, Connected),
        ("timeout of a millisecond", answer(0, 1, 7, PASSWD, rw), Connected, Connected),
        ("timeout of 24 days", answer(0, i32::MAX, 7, PASSWD, rw), Connected, Connected),
        ("negative id", answer(0, 3_000, -7, PASSWD, rw), Connected, Expired),
        ("another id", answer(0, 3_000, 8, PASSWD, rw), Connected, Expired),
        ("timeout 0", answer(0, 0, 7, PASSWD, rw), Dropped, Expired),
        ("timeout -1", answer(0, -1, 7, PASSWD, rw), Dropped, Expired),
        ("least timeout", answer(0, i32::MIN, 7, PASSWD, rw), Dropped, Expired),
        ("id 0", answer(0, 3_000, 0, PASSWD, rw), Dropped, Expired),
        ("refusal", answer(0, 0, 0, &[&[0, 0, 0, 16][..], &[0; 16]].concat(), rw), Dropped, Expired),
        ("read-only", answer(0, 3_000, 7, PASSWD, b"\x01"), Dropped, Dropped),
        ("read-only, by another number", answer(0, 3_000, 7, PASSWD, b"\xff"), Dropped, Dropped),
        ("read-only, another id", answer(0, 3_000, 8, PASSWD, b"\x01"), Dropped, Dropped),
        ("null password", answer(0, 3_000, 7, &[0xff; 4], rw), Connected, Connected),
        ("empty password", answer(0, 3_000, 7, &[0; 4], rw), Connected, Connected),
        ("short password", answer(0, 3_000, 7, b"\0\0\0\x0f0123456789abcde", rw), Dropped, Dropped),
        ("long password", answer(0, 3_000, 7, b"\0\0\0\x110123456789abcdefg", rw), Dropped, Dropped),
        ("password of 2 GiB", answer(0, 3_000, 7, b"\x7f\xff\xff\xff0123456789abcdef", rw), Dropped, Dropped),
        ("negative password", answer(0, 3_000, 7, b"\xff\xff\xff\xfe0123456789abcdef", rw), Dropped, Dropped),
        ("a frame without anything", frame(b""), Dropped, Dropped),
        ("an error reply", reply_frame(1, 1, Code::SYSTEM_ERROR, b""), Dropped, Dropped),
        ("an event", event_frame(zk_proto::EventType::CHANGED, b"/n"), Dropped, Dropped),
        ("a negative length", vec![0xff; 4], Dropped, Dropped),
        ("a web server", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Dropped, Dropped),
        ("a TLS server", b"\x15\x03\x03\0\x02\x02\x46".to_vec(), Dropped, Dropped),
        ("a mail server", b"220 mx.example ESMTP\r\n".to_vec(), Dropped, Dropped),
    ] {
        for piece in [1, 7, bytes.len()] {
            let mut pair = Pair::new(config("a"));
            pair.accept();
            bytes.chunks(piece).for_each(|bytes| pair.feed(bytes));
            assert_eq!(outcome(&pair), new, "{what}, to a new session");

            let mut pair = Pair::new(Config { resume: Some((7, [7; 16])), ..config("a") });
            let token = pair.submit(&GET, None);
            pair.accept();
            bytes.chunks(piece).for_each(|bytes| pair.feed(bytes));
            assert_eq!(outcome(&pair), resumed, "{what}, to a session that is to be resumed");
            let answers = answers(&pair.outputs());
            if resumed == Expired {
                assert_eq!(answers.len(), 1, "{what}");
                assert_eq!(answers[0].0, token);
                assert_eq!(answers[0].1.as_ref().unwrap_err().code, Code::SESSION_EXPIRED);
                assert_eq!(pair.session.poll_timeout(), None);
            } else {
                assert!(answers.is_empty(), "{what}: the request waits for a connection");
            }
        }
    }
}

#[test]
fn a_handshake_cut_short_anywhere_is_refused() {
    let whole = &handshake(3_000, 7)[4..];
    for length in 0..whole.len() - 1 {
        for resume in [None, Some((7, [7; 16]))] {
            let mut pair = Pair::new(Config { resume, ..config("a,b") });
            pair.accept();
            pair.feed(&frame(&whole[..length]));
            assert_eq!(outcome(&pair), Dropped, "{length} bytes");
            still_works(&mut pair);
        }
    }
}

#[test]
fn rubbish_right_behind_a_handshake_ends_the_connection_and_not_the_session() {
    for rubbish in [&[0xff; 4][..], &frame(b""), &handshake(3_000, 7), &handshake(0, 0)] {
        let mut pair = Pair::new(config("a"));
        pair.accept();
        pair.feed(&[&handshake(3_000, 7), rubbish].concat());
        let (connected, connecting) = (KeeperState::CONNECTED, KeeperState::CONNECTING);
        assert_eq!(pair.outputs(), [Output::State(connected), Output::State(connecting)], "{rubbish:x?}");
        assert_eq!(pair.session.credentials().unwrap().0, 7);
        still_works(&mut pair);
    }
}

#[test]
fn a_server_that_is_left_can_say_nothing_more() {
    let mut pair = Pair::connected();
    let token = pair.submit(&GET, None);
    pair.feed(&[0xff; 4]);
    pair.outputs();
    pair.reply(1, 1, Code::NO_NODE, b"");
    pair.feed(&handshake(0, 0));
    assert!(pair.outputs().is_empty(), "request {token} has its answer");
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
    still_works(&mut pair);
}

#[test]
fn the_least_timeout_does_not_make_the_timers_spin() {
    let mut pair = Pair::new(config("a"));
    pair.accept();
    pair.feed(&handshake(1, 7));
    let end = pair.now + Duration::from_secs(1);
    let mut timers = 0;
    while let Some(next) = pair.session.poll_timeout().filter(|t| *t <= end) {
        assert!(next >= pair.now, "a timer that was due before it was set");
        pair.now = next;
        pair.session.handle_timeout(next);
        timers += 1;
        // Somebody reads the pings and answers: the connection holds.
        pair.sent();
        if pair.session.is_connected() {
            pair.reply(-2, 0, Code::OK, b"");
        }
    }
    assert!((50..=200).contains(&timers), "{timers} timers in a second");
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

#[test]
fn a_timeout_of_weeks_does_not_make_the_next_attempt_wait_for_weeks() {
    let mut pair = Pair::new(config("a,b"));
    pair.accept();
    pair.feed(&handshake(i32::MAX, 7));
    assert_eq!(pair.session.timeout(), Duration::from_millis(i32::MAX as u64));
    pair.advance(Duration::from_secs(3_600));
    pair.cut();
    pair.accept();
    let start = pair.now;
    pair.advance(Duration::from_secs(1));
    assert_eq!(pair.session.state(), KeeperState::CONNECTING, "a third of the three seconds asked for");
    assert!(!pair.session.is_suspect(start), "the session is good for weeks all the same");
    still_works(&mut pair);
}
