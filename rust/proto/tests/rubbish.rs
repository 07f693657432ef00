//! A server that sends what makes no sense: the connection is dropped, callers are answered, and the
//! session goes on elsewhere.

use zk_proto::op::Request;
use zk_proto::session::{Action, Output};
use zk_proto::{Code, KeeperState};
use zk_testkit::{config, frame, reply_frame, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };

/// Feeds `bytes` to a session with one request under way: the request must fail with connection
/// loss, once, and the session must get over it.
fn dropped(bytes: &[u8]) {
    let mut pair = Pair::connected();
    let token = pair.submit(&GET, None);
    pair.sent();
    pair.feed(bytes);
    let outputs = pair.outputs();
    assert_eq!(outputs.len(), 2, "{bytes:x?}: {outputs:?}");
    assert!(matches!(&outputs[0], Output::Completed { token: t, result: Err(f) }
        if *t == token && f.code == Code::CONNECTION_LOSS && !f.maybe_applied));
    assert_eq!(outputs[1], Output::State(KeeperState::CONNECTING));
    assert_eq!(pair.actions()[0].1, Action::Disconnect);
    pair.connect();
    pair.submit(&GET, None);
    assert_eq!(pair.sent().len(), 1);
    pair.reply(2, 1, Code::NO_NODE, b"");
    assert_eq!(pair.outputs().len(), 2, "connected, answered");
}

#[test]
fn lengths_that_lie() {
    for head in [-1, i32::MIN, i32::MAX, (64 << 20) + 1] {
        dropped(&head.to_be_bytes());
    }
    for short in 0..16 {
        dropped(&frame(&vec![0; short]));
    }
    dropped(b"HTTP/1.1 400 Bad Request\r\n\r\n");
}

#[test]
fn replies_to_something_else() {
    for xid in [0, 2, -3, -4, i32::MAX, i32::MIN] {
        dropped(&reply_frame(xid, 1, Code::OK, b""));
    }
    let twice = [reply_frame(1, 1, Code::NO_NODE, b""), reply_frame(1, 1, Code::NO_NODE, b"")].concat();
    let mut pair = Pair::connected();
    pair.submit(&GET, None);
    pair.feed(&twice);
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
    assert_eq!(pair.outputs().len(), 2, "answered once, then lost");
}

#[test]
fn bodies_that_end_early_or_lie() {
    let data_longer_than_the_frame = [&[0x7f, 0xff, 0xff, 0xff][..], &[0; 80]].concat();
    let negative_length = [&[0xff, 0xff, 0xff, 0xfe][..], &[0; 80]].concat();
    for body in [&b""[..], &[0; 10], &[0; 71], &data_longer_than_the_frame, &negative_length] {
        dropped(&reply_frame(1, 1, Code::OK, body));
    }
    dropped(&reply_frame(-1, -1, Code::OK, b"\0\0\0\x01"));
    dropped(&reply_frame(-1, -1, Code::OK, b"\0\0\0\x01\0\0\0\x03\0\0\0\x09/n"));
}

#[test]
fn what_follows_rubbish_is_not_read() {
    let mut pair = Pair::connected();
    let token = pair.submit(&GET, None);
    pair.feed(&[reply_frame(77, 1, Code::OK, b""), reply_frame(1, 1, Code::NO_NODE, b"")].concat());
    assert!(matches!(&pair.outputs()[0], Output::Completed { token: t, result: Err(f) }
        if *t == token && f.code == Code::CONNECTION_LOSS));
}

#[test]
fn pings_nobody_sent_are_tolerated() {
    let mut pair = Pair::connected();
    pair.reply(-2, 1, Code::OK, b"");
    pair.reply(-2, 1, Code(-999), b"and more");
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

#[test]
fn rubbish_instead_of_a_handshake_is_tried_again_elsewhere() {
    for greeting in [&b"SSH-2.0-OpenSSH\r\n"[..], &[0; 4], &frame(&[0; 20]), &frame(&[0xff; 37]), &[0xff; 64]]
    {
        let mut pair = Pair::new(config("a,b"));
        pair.accept();
        pair.feed(greeting);
        assert_eq!(pair.session.state(), KeeperState::CONNECTING, "{greeting:x?}");
        pair.connect();
        assert_eq!(pair.session.state(), KeeperState::CONNECTED);
    }
}
