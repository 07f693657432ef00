//! How a session begins, resumes and is refused.

use std::time::Duration;
use zk_proto::op::Request;
use zk_proto::session::{Action, Output};
use zk_proto::{Code, KeeperState};
use zk_testkit::{config, handshake, Pair};

const GET: Request<'_> = Request::GetData { path: b"/n", watch: false };

#[test]
fn a_new_session_asks_for_its_timeout_and_takes_what_the_server_grants() {
    let mut pair = Pair::new(config("a"));
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
    assert_eq!(pair.accept(), (0, 0, [0; 16], 3_000));
    assert_eq!(pair.session.state(), KeeperState::ASSOCIATING);
    assert_eq!(pair.session.credentials(), None);
    pair.feed(&handshake(4_000, 0x1_0000_0007));
    assert_eq!(pair.outputs(), [Output::State(KeeperState::CONNECTED)]);
    assert_eq!(pair.session.timeout(), Duration::from_secs(4));
    assert_eq!(pair.session.credentials().unwrap().0, 0x1_0000_0007);
    assert_eq!(pair.session.server().unwrap().host, "a");
}

#[test]
fn a_reconnect_brings_id_password_last_zxid_and_the_wished_timeout() {
    let mut pair = Pair::new(config("a,b"));
    pair.accept();
    pair.feed(&handshake(9_000, 7));
    pair.submit(&GET, None);
    pair.reply(1, 0x55, Code::NO_NODE, b"");
    let passwd = pair.session.credentials().unwrap().1;
    pair.cut();
    assert_eq!(pair.accept(), (0x55, 7, passwd, 3_000));
}

#[test]
fn the_answer_may_come_byte_by_byte_and_without_its_last_byte() {
    let mut old_server = handshake(3_000, 7);
    old_server.pop();
    old_server[3] -= 1;
    for answer in [handshake(3_000, 7), old_server] {
        for split in 1..answer.len() {
            let mut pair = Pair::new(config("a"));
            pair.accept();
            pair.feed(&answer[..split]);
            assert_eq!(pair.session.state(), KeeperState::ASSOCIATING);
            pair.feed(&answer[split..]);
            assert_eq!(pair.outputs(), [Output::State(KeeperState::CONNECTED)], "split at {split}");
        }
    }
}

#[test]
fn a_refused_session_is_expired_for_good() {
    for refusal in [handshake(0, 0), handshake(3_000, 0), handshake(0, 7), handshake(-1, 7)] {
        let mut pair = Pair::connected();
        pair.cut();
        let waiting = pair.submit(&GET, None);
        pair.outputs();
        pair.accept();
        pair.feed(&refusal);
        let outputs = pair.outputs();
        assert!(matches!(&outputs[0], Output::Completed { token, result: Err(f) }
            if *token == waiting && f.code == Code::SESSION_EXPIRED && !f.maybe_applied));
        assert_eq!(outputs[1..], [Output::State(KeeperState::EXPIRED)]);
        assert!(pair.actions().iter().any(|(_, a)| *a == Action::Disconnect));
        let refused = pair.session.submit(pair.now, &GET, 99, None, None).unwrap_err();
        assert_eq!(refused.code, Code::SESSION_EXPIRED);
        assert_eq!(pair.session.poll_timeout(), None, "nothing is tried any more");
    }
}

#[test]
fn a_server_that_gives_another_id_has_lost_the_session() {
    let mut pair = Pair::connected();
    pair.cut();
    pair.accept();
    pair.feed(&handshake(3_000, 8));
    assert_eq!(pair.session.state(), KeeperState::EXPIRED);
}

#[test]
fn a_session_of_another_process_is_resumed_or_expired() {
    let resume = |id| {
        let mut pair = Pair::new(zk_proto::session::Config { resume: Some((7, [9; 16])), ..config("a") });
        let (_, asked, passwd, _) = pair.accept();
        assert_eq!((asked, passwd), (7, [9; 16]));
        pair.feed(&handshake(3_000, id));
        pair.session.state()
    };
    assert_eq!(resume(7), KeeperState::CONNECTED);
    assert_eq!(resume(0), KeeperState::EXPIRED);
}

#[test]
fn a_server_with_nothing_to_refuse_is_not_believed() {
    let mut pair = Pair::new(config("a"));
    for _ in 0..4 {
        pair.accept();
        pair.feed(&handshake(0, 0));
        assert_eq!(pair.session.state(), KeeperState::CONNECTING);
    }
    pair.connect();
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

#[test]
fn a_read_only_server_is_left_by_a_session_that_wants_to_write() {
    let mut read_only = handshake(3_000, 7);
    *read_only.last_mut().unwrap() = 1;
    let mut pair = Pair::new(config("a"));
    pair.accept();
    pair.feed(&read_only);
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);

    let mut pair = Pair::new(zk_proto::session::Config { read_only: true, ..config("a") });
    pair.accept();
    pair.feed(&read_only);
    assert_eq!(pair.session.state(), KeeperState::CONNECTED_READ_ONLY);
    assert_eq!(pair.session.credentials(), None, "a read-only server's id is valid nowhere else");
}

#[test]
fn silence_during_the_handshake_is_given_up_after_a_third_of_the_timeout() {
    let mut pair = Pair::new(config("a"));
    pair.accept();
    let start = pair.now;
    pair.advance(Duration::from_millis(999));
    assert!(pair.actions().is_empty());
    pair.advance(Duration::from_millis(1));
    let actions = pair.actions();
    assert_eq!(actions[0], (start + Duration::from_secs(1), Action::Disconnect));
}
