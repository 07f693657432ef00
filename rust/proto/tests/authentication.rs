//! add_auth: outcome, order, replay, refusal.

use zk_proto::op::Request;
use zk_proto::session::Output;
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::{config, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };

#[test]
fn the_order_of_the_answers_tells_them_apart() {
    let mut pair = Pair::connected();
    pair.session.add_auth(b"digest", b"a:1", Some(1)).unwrap();
    pair.session.add_auth(b"digest", b"b:2", Some(2)).unwrap();
    let sent = pair.sent();
    assert!(sent.iter().all(|f| (f.xid, f.opcode) == (-4, opcode::AUTH)));
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Auth { watcher: 1, code: Code::OK }]);
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Auth { watcher: 2, code: Code::OK }]);
}

#[test]
fn a_refused_one_ends_the_session() {
    let mut pair = Pair::connected();
    pair.session.add_auth(b"digest", b"a:1", Some(1)).unwrap();
    pair.session.add_auth(b"nonsense", b"", Some(2)).unwrap();
    let token = pair.submit(&GET, None);
    pair.reply(-4, 0, Code::OK, b"");
    pair.reply(-4, 0, Code::AUTH_FAILED, b"");
    let outputs = pair.outputs();
    assert_eq!(outputs[0], Output::Auth { watcher: 1, code: Code::OK });
    assert_eq!(outputs[1], Output::Auth { watcher: 2, code: Code::AUTH_FAILED });
    assert!(matches!(&outputs[2], Output::Completed { token: t, result: Err(f) }
        if *t == token && f.code == Code::AUTH_FAILED));
    assert_eq!(outputs[3..], [Output::State(KeeperState::AUTH_FAILED)]);
    let refused = pair.session.submit(pair.now, &GET, 9, None, None).unwrap_err();
    assert_eq!(refused.code, Code::AUTH_FAILED);
    assert!(pair.session.add_auth(b"digest", b"a:1", None).is_err());
}

#[test]
fn added_before_the_connection_it_is_sent_with_it_and_told_once() {
    let mut pair = Pair::new(config("a"));
    pair.session.add_auth(b"digest", b"a:\0b", Some(1)).unwrap();
    pair.connect();
    assert!(pair.sent()[0].body.ends_with(b"a:\0b"));
    // The answer is lost with the connection; the next one brings it.
    pair.cut();
    pair.connect();
    pair.outputs();
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.outputs(), [Output::Auth { watcher: 1, code: Code::OK }]);
    pair.cut();
    pair.connect();
    pair.outputs();
    pair.reply(-4, 0, Code::OK, b"");
    assert!(pair.outputs().is_empty(), "a replay tells nobody again");
}

/// Programs authenticate before each request, some of them: that is not kept for ever, and not all of it is
/// sent on every connection.
#[test]
fn what_is_added_again_and_again_is_replayed_once() {
    let mut pair = Pair::connected();
    for watcher in 1..=100 {
        pair.session.add_auth(b"digest", b"a:1", Some(watcher)).unwrap();
        pair.session.add_auth(b"digest", b"b:2", None).unwrap();
        assert_eq!(pair.sent().len(), 2, "each is sent");
        pair.reply(-4, 0, Code::OK, b"");
        assert_eq!(pair.outputs(), [Output::Auth { watcher, code: Code::OK }]);
        pair.reply(-4, 0, Code::OK, b"");
        assert!(pair.outputs().is_empty());
    }
    pair.cut();
    pair.connect();
    let replayed = pair.sent();
    assert_eq!(replayed.iter().filter(|f| f.opcode == opcode::AUTH).count(), 2);
    assert!(replayed[0].body.ends_with(b"a:1") && replayed[1].body.ends_with(b"b:2"), "in their order");
}

/// As those who wait for an outcome have to hear of it, each of them is asked for; until they have.
#[test]
fn what_was_added_many_times_at_once_is_answered_each_time_and_then_replayed_once() {
    let mut pair = Pair::connected();
    for watcher in 1..=50 {
        pair.session.add_auth(b"digest", b"a:1", Some(watcher)).unwrap();
    }
    pair.cut();
    pair.connect();
    pair.outputs();
    assert_eq!(pair.sent().iter().filter(|f| f.opcode == opcode::AUTH).count(), 50);
    for watcher in 1..=50 {
        pair.reply(-4, 0, Code::OK, b"");
        assert_eq!(pair.outputs(), [Output::Auth { watcher, code: Code::OK }]);
    }
    pair.cut();
    pair.connect();
    assert_eq!(pair.sent().iter().filter(|f| f.opcode == opcode::AUTH).count(), 1);
}

#[test]
fn an_answer_that_nobody_asked_for_drops_the_connection() {
    let mut pair = Pair::connected();
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
}

#[test]
fn neither_credentials_nor_the_password_appear_in_debug_output() {
    let mut pair = Pair::connected();
    pair.session.add_auth(b"digest", b"user:sesame", None).unwrap();
    pair.sent();
    let shown = format!("{:?}", pair.session);
    assert!(!shown.contains("sesame") && !shown.contains(&format!("{:?}", b"user:sesame")));
    let passwd = pair.session.credentials().unwrap().1;
    assert!(shown.contains("id: 7") && !shown.contains(&format!("{passwd:?}")));
    let resume = zk_proto::session::Config { resume: Some((7, [42; 16])), ..config("a") };
    assert!(!format!("{resume:?}").contains("42"));
}
