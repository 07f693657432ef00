//! Persistent watches: what their events say of them, and the event that says that some may be missing.

use bytes::Bytes;
use zk_proto::op::{AddWatchMode, Reply, Request};
use zk_proto::session::{Failure, Output, WatchedEvent};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{event_frame, Pair};

const OK: &[u8] = b"\0\0\0\0";

fn add(pair: &mut Pair, xid: i32, path: &[u8], mode: AddWatchMode, watcher: u64) {
    pair.submit(&Request::AddWatch { path, mode }, Some(watcher));
    pair.reply(xid, 0x10, Code::OK, OK);
    assert!(matches!(pair.outputs()[..], [Output::Completed { result: Ok(Reply::Outcome(Code::OK)), .. }]));
    pair.sent();
}

fn watch(watcher: u64, kind: EventType, path: &'static [u8], stays: usize) -> Output {
    let event = WatchedEvent { kind, state: KeeperState::CONNECTED, path: Some(Bytes::from_static(path)) };
    Output::Watch { watcher, event, stays: Some(stays) }
}

#[test]
fn events_say_how_much_of_the_path_is_the_watch_s() {
    let mut pair = Pair::connected();
    add(&mut pair, 1, b"/a", AddWatchMode::PersistentRecursive, 1);
    add(&mut pair, 2, b"/a/b", AddWatchMode::Persistent, 2);
    for _ in 0..3 {
        pair.feed(&event_frame(EventType::CHANGED, b"/a/b"));
        assert_eq!(
            pair.outputs(),
            [watch(2, EventType::CHANGED, b"/a/b", 4), watch(1, EventType::CHANGED, b"/a/b", 2)]
        );
    }
}

#[test]
fn a_code_in_the_body_is_the_answer_and_leaves_no_watch() {
    let mut pair = Pair::connected();
    let token = pair.submit(&Request::AddWatch { path: b"/a", mode: AddWatchMode::Persistent }, Some(1));
    pair.reply(1, 0x10, Code::OK, &Code::NO_AUTH.0.to_be_bytes());
    assert_eq!(pair.outputs(), [Output::Completed { token, result: Err(Failure::new(Code::NO_AUTH)) }]);
    pair.feed(&event_frame(EventType::CHANGED, b"/a"));
    assert!(pair.outputs().is_empty());
}

#[test]
fn each_new_connection_tells_each_watcher_once_behind_the_state_and_before_events() {
    let mut pair = Pair::connected();
    add(&mut pair, 1, b"/a", AddWatchMode::Persistent, 1);
    add(&mut pair, 2, b"/a", AddWatchMode::PersistentRecursive, 2);
    add(&mut pair, 3, b"/b", AddWatchMode::Persistent, 2);
    for _ in 0..2 {
        pair.cut();
        pair.outputs();
        pair.connect();
        pair.feed(&event_frame(EventType::CHANGED, b"/b"));
        assert_eq!(
            pair.outputs(),
            [
                Output::State(KeeperState::CONNECTED),
                watch(1, EventType::RESYNC, b"/a", 2),
                watch(2, EventType::RESYNC, b"/a", 2),
                watch(2, EventType::RESYNC, b"/b", 2),
                watch(2, EventType::CHANGED, b"/b", 2),
            ]
        );
        assert_eq!(pair.sent().iter().map(|f| f.opcode).collect::<Vec<_>>(), [opcode::SET_WATCHES2]);
    }
}

#[test]
fn a_session_that_is_over_tells_of_no_resync() {
    let mut pair = Pair::connected();
    add(&mut pair, 1, b"/a", AddWatchMode::Persistent, 1);
    pair.cut();
    pair.accept();
    pair.outputs();
    pair.feed(&zk_testkit::handshake(0, 0));
    let resync = |o: &Output| matches!(o, Output::Watch { event, .. } if event.kind == EventType::RESYNC);
    assert!(!pair.outputs().iter().any(resync));
}

#[test]
fn an_unknown_operation_is_answered_out_of_its_turn_and_what_follows_waits_for_the_next_connection() {
    let mut pair = Pair::connected();
    let first = pair.submit(&Request::Exists { path: b"/a", watch: false }, None);
    let unknown = pair.submit(&Request::WhoAmI, None);
    pair.sent();
    pair.reply(2, 0, Code::UNIMPLEMENTED, b"");
    let outputs = pair.outputs();
    let failure = Err(Failure::new(Code::UNIMPLEMENTED));
    assert_eq!(outputs.first(), Some(&Output::Completed { token: unknown, result: failure }));
    assert!(outputs.iter().any(|o| matches!(o, Output::Completed { token, result: Err(f) }
        if *token == first && f.code == Code::CONNECTION_LOSS)));
    pair.submit(&Request::Exists { path: b"/b", watch: false }, None);
    pair.connect();
    assert_eq!(pair.sent().iter().map(|f| f.opcode).collect::<Vec<_>>(), [opcode::EXISTS]);
}

#[test]
fn what_a_server_knows_but_does_not_offer_costs_no_connection() {
    let mut pair = Pair::connected();
    let reconfig =
        Request::Reconfig { joining: None, leaving: Some(b"7"), members: None, config_version: -1 };
    let token = pair.submit(&reconfig, None);
    pair.reply(1, 0x10, Code::UNIMPLEMENTED, b"");
    let failure = Err(Failure::new(Code::UNIMPLEMENTED));
    assert_eq!(pair.outputs(), [Output::Completed { token, result: failure }]);
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}
