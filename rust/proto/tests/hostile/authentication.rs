//! Answers to authentication of every kind, and servers that demand another one.

use crate::{answers, GET, SET};
use zk_proto::session::{Action, Failure, Output};
use zk_proto::{opcode, Code, KeeperState};
use zk_testkit::{config, Pair};

#[test]
fn any_code_but_ok_ends_the_session() {
    for code in [-115, -124, -112, -999, -1, 1, i32::MIN] {
        let mut pair = Pair::connected();
        pair.session.add_auth(b"digest", b"a:1", Some(1)).unwrap();
        let under_way = pair.submit(&SET, None);
        pair.sent();
        pair.reply(-4, 0, Code(code), b"");
        let outputs = pair.outputs();
        assert_eq!(outputs[0], Output::Auth { watcher: 1, code: Code::AUTH_FAILED }, "{code}");
        let failure = Failure { maybe_applied: true, ..Failure::new(Code::AUTH_FAILED) };
        assert_eq!(answers(&outputs), [(under_way, Err(failure))]);
        assert_eq!(pair.session.state(), KeeperState::AUTH_FAILED);
        assert_eq!(pair.session.poll_timeout(), None, "it is not tried again");
    }
}

#[test]
fn each_packet_is_answered_once_and_a_body_does_no_harm() {
    let mut pair = Pair::connected();
    for (watcher, credentials) in [(1, b"a:1"), (2, b"b:2")] {
        pair.session.add_auth(b"digest", credentials, Some(watcher)).unwrap();
        pair.reply(-4, 0, Code::OK, b"with a body");
        assert_eq!(pair.outputs(), [Output::Auth { watcher, code: Code::OK }]);
    }
    pair.reply(-4, 0, Code::OK, b"");
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
    // The next connection begins with both; no more answers than that are taken.
    pair.connect();
    for state in [KeeperState::CONNECTED, KeeperState::CONNECTED, KeeperState::CONNECTING] {
        pair.reply(-4, 0, Code::OK, b"");
        assert_eq!(pair.session.state(), state);
    }
}

#[test]
fn the_second_answer_belongs_to_the_second_packet() {
    let mut pair = Pair::connected();
    pair.session.add_auth(b"digest", b"a:1", None).unwrap();
    pair.session.add_auth(b"digest", b"b:2", Some(2)).unwrap();
    pair.reply(-4, 0, Code::OK, b"");
    assert!(pair.outputs().is_empty(), "nobody asked to hear of the first");
    pair.cut();
    pair.connect();
    pair.outputs();
    pair.reply(-4, 0, Code::OK, b"");
    pair.reply(-4, 0, Code::AUTH_FAILED, b"");
    assert_eq!(pair.outputs()[0], Output::Auth { watcher: 2, code: Code::AUTH_FAILED });
}

#[test]
fn requests_do_not_overtake_authentication() {
    let order = |pair: &mut Pair| pair.sent().iter().map(|frame| frame.opcode).collect::<Vec<_>>();
    let mut pair = Pair::new(config("a"));
    pair.submit(&GET, None);
    pair.session.add_auth(b"digest", b"a:1", None).unwrap();
    pair.submit(&SET, None);
    pair.connect();
    assert_eq!(order(&mut pair), [opcode::AUTH, opcode::GET_DATA, opcode::SET_DATA]);
    pair.session.add_auth(b"digest", b"b:2", None).unwrap();
    pair.submit(&GET, None);
    assert_eq!(order(&mut pair), [opcode::AUTH, opcode::GET_DATA]);
    pair.cut();
    pair.submit(&GET, None);
    pair.connect();
    assert_eq!(order(&mut pair), [opcode::AUTH, opcode::AUTH, opcode::GET_DATA]);
}

/// Such a server answers each request with its own xid and closes the connection.
#[test]
fn a_server_that_demands_sasl_gives_its_code_to_the_caller_and_is_not_called_again() {
    let mut pair = Pair::connected();
    let refused = pair.submit(&SET, None);
    let behind = pair.submit(&SET, None);
    let xid = pair.sent().iter().rev().nth(1).expect("two requests").xid;
    pair.reply(xid, 0, Code::SESSION_CLOSED_REQUIRE_SASL_AUTH, b"");
    let outputs = pair.outputs();
    let [(first, refusal), (second, Err(end))] = &answers(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((first, refusal), (&refused, &Err(Failure::new(Code::SESSION_CLOSED_REQUIRE_SASL_AUTH))));
    assert_eq!((*second, end.code, end.maybe_applied), (behind, Code::AUTH_FAILED, true));
    assert!(end.detail.as_ref().is_some_and(|words| words.contains("SASL")), "{end:?}");
    assert_eq!(outputs.last(), Some(&Output::State(KeeperState::AUTH_FAILED)));
    assert_eq!(pair.actions().last().map(|(_, action)| action), Some(&Action::Disconnect));
    assert_eq!(pair.session.poll_timeout(), None, "it is not tried again");
    let later = pair.session.submit(pair.now, &GET, 99, None, None).unwrap_err();
    assert_eq!(later.code, Code::AUTH_FAILED);
}

/// A client that only has a session is told so by its first ping, or when it sets its watches again.
#[test]
fn a_server_that_demands_sasl_may_say_so_to_a_ping_or_to_set_watches() {
    for xid in [-2, -8] {
        let mut pair = Pair::connected();
        pair.reply(xid, 0, Code::SESSION_CLOSED_REQUIRE_SASL_AUTH, b"");
        assert_eq!(pair.outputs(), [Output::State(KeeperState::AUTH_FAILED)], "{xid}");
        assert_eq!(pair.session.poll_timeout(), None);
    }
}

#[test]
fn a_close_that_such_a_server_refuses_is_a_close_all_the_same() {
    for answers_before in [0, 1] {
        let mut pair = Pair::connected();
        let token = pair.submit(&GET, None);
        pair.session.close(pair.now);
        if answers_before == 1 {
            pair.reply(1, 0, Code::NO_NODE, b"");
        }
        pair.reply(answers_before + 1, 0, Code::SESSION_CLOSED_REQUIRE_SASL_AUTH, b"");
        let outputs = pair.outputs();
        assert_eq!(answers(&outputs), [(token, Err(Failure::new(Code::CLOSING)))]);
        assert_eq!(outputs.last(), Some(&Output::Closed));
        assert_eq!(pair.session.over(), Some(Code::INVALID_STATE));
    }
}
