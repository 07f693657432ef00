//! What the simulation found; each test is named after the symptom.

use zk_proto::op::Request;
use zk_proto::session::{Output, Session};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, Pair};

const STAT: [u8; 68] = [0; 68];
const WATCHED: Request<'_> = Request::Exists { path: b"/n", watch: true };

fn forgets(session: &mut Session) {
    session.forget_watcher(1);
}

#[test]
fn a_watcher_forgotten_before_the_reply_came_was_called_all_the_same() {
    // While the request is with the server, and while it waits for a connection.
    let mut pair = Pair::connected();
    pair.submit(&WATCHED, Some(1));
    forgets(&mut pair.session);
    pair.reply(1, 1, Code::OK, &STAT);
    let mut waiting = Pair::new(config("a"));
    waiting.submit(&WATCHED, Some(1));
    forgets(&mut waiting.session);
    waiting.connect();
    waiting.reply(1, 1, Code::OK, &STAT);
    for mut pair in [pair, waiting] {
        pair.outputs();
        pair.feed(&event_frame(EventType::CHANGED, b"/n"));
        assert!(pair.outputs().is_empty());
        pair.sent();
        pair.cut();
        pair.connect();
        assert!(pair.sent().is_empty(), "nothing to arm");
    }
}

#[test]
fn a_write_that_went_out_with_the_close_was_reported_as_surely_not_done() {
    let mut pair = Pair::connected();
    let token = pair.submit(&Request::Delete { path: b"/n", version: -1 }, None);
    // Nothing of it has been written to the socket yet.
    pair.session.close(pair.now);
    match &pair.outputs()[..] {
        [Output::Completed { token: t, result: Err(f) }] => {
            assert_eq!((*t, f.code, f.maybe_applied), (token, Code::CLOSING, true));
        }
        other => panic!("{other:?}"),
    }
    let sent: Vec<i32> = pair.sent().iter().map(|f| f.opcode).collect();
    assert_eq!(sent, [opcode::DELETE, opcode::CLOSE_SESSION]);
}

#[test]
fn refused_authentication_was_told_behind_the_end_of_a_closed_session() {
    let mut pair = Pair::connected();
    pair.session.add_auth(pair.now, b"digest", b"a:1", Some(1)).unwrap();
    pair.session.close(pair.now);
    pair.reply(-4, 0, Code::AUTH_FAILED, b"");
    let told = [Output::Auth { watcher: 1, code: Code::AUTH_FAILED }, Output::Closed];
    assert_eq!(pair.outputs(), told);
    assert_eq!(pair.session.state(), KeeperState::NOT_CONNECTED);
}
