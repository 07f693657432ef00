//! Watches: set by replies, fired by events, armed again on every connection behind authentication.
//! How many of them go into a packet is in `watch_replay_length`.

use bytes::Bytes;
use zk_proto::op::{AddWatchMode, Request};
use zk_proto::record::SetWatches;
use zk_proto::session::{Output, WatchedEvent};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, handshake, Pair};

const STAT: [u8; 68] = [0; 68];

fn get(path: &[u8]) -> Request<'_> {
    Request::GetData { path, watch: true }
}

/// Leaves a data watch on `/n` for watcher 1.
fn with_data_watch() -> Pair {
    let mut pair = Pair::connected();
    pair.submit(&get(b"/n"), Some(1));
    let data: Vec<u8> = [&[0xff; 4][..], &STAT].concat();
    pair.reply(1, 0x10, Code::OK, &data);
    pair.outputs();
    pair.sent();
    pair
}

fn watchers(outputs: &[Output]) -> Vec<u64> {
    outputs
        .iter()
        .filter_map(|o| match o {
            Output::Watch { watcher, .. } => Some(*watcher),
            _ => None,
        })
        .collect()
}

#[test]
fn an_event_calls_its_watcher_once() {
    let mut pair = with_data_watch();
    pair.feed(&event_frame(EventType::CHANGED, b"/n"));
    let event = WatchedEvent {
        kind: EventType::CHANGED,
        state: KeeperState::CONNECTED,
        path: Some(Bytes::from_static(b"/n")),
    };
    assert_eq!(pair.outputs(), [Output::Watch { watcher: 1, event, stays: None }]);
    pair.feed(&event_frame(EventType::CHANGED, b"/n"));
    assert!(pair.outputs().is_empty());
}

#[test]
fn the_reply_decides_which_watch_there_is() {
    let children = b"\0\0\0\0";
    let data: Vec<u8> = [&[0xff; 4][..], &STAT].concat();
    let exists = Request::Exists { path: b"/n", watch: true };
    let list = Request::GetChildren { path: b"/n", watch: true };
    for (request, code, body, fires) in [
        (get(b"/n"), Code::OK, &data[..], vec![EventType::CHANGED, EventType::DELETED]),
        (get(b"/n"), Code::NO_NODE, b"", vec![]),
        (get(b"/n"), Code::NO_AUTH, b"", vec![]),
        (exists, Code::OK, &STAT, vec![EventType::CHANGED, EventType::DELETED]),
        (exists, Code::NO_NODE, b"", vec![EventType::CREATED]),
        (exists, Code::NO_AUTH, b"", vec![]),
        (list, Code::OK, children, vec![EventType::CHILD, EventType::DELETED]),
        (list, Code::NO_NODE, b"", vec![]),
    ] {
        for event in [EventType::CREATED, EventType::DELETED, EventType::CHANGED, EventType::CHILD] {
            let mut pair = Pair::connected();
            pair.submit(&request, Some(5));
            pair.reply(1, 1, code, body);
            pair.feed(&event_frame(event, b"/n"));
            let fired = watchers(&pair.outputs()) == [5];
            // The client fires data and exist watches alike; the server sends only what fits.
            let data_like = fires.contains(&EventType::CREATED) || fires.contains(&EventType::CHANGED);
            let expected = fires.contains(&event) || (data_like && event != EventType::CHILD);
            assert_eq!(fired, expected, "{request:?} answered {code:?}, then {event:?}");
        }
    }
}

#[test]
fn an_event_without_a_watcher_is_tolerated() {
    let mut pair = Pair::connected();
    pair.feed(&event_frame(EventType(99), b"/n"));
    pair.feed(&event_frame(EventType::DELETED, b"/other"));
    assert!(pair.outputs().is_empty());
    assert_eq!(pair.session.state(), KeeperState::CONNECTED);
}

#[test]
fn authentication_goes_before_watches_and_both_before_requests() {
    let mut pair = with_data_watch();
    pair.session.add_auth(b"digest", b"a:1", None).unwrap();
    pair.session.add_auth(b"digest", b"b:2", None).unwrap();
    pair.sent();
    pair.cut();
    pair.submit(&get(b"/m"), None);
    pair.connect();
    let sent = pair.sent();
    assert_eq!(
        sent.iter().map(|f| f.opcode).collect::<Vec<_>>(),
        [opcode::AUTH, opcode::AUTH, opcode::SET_WATCHES, opcode::GET_DATA]
    );
    assert!(sent[0].body.ends_with(b"a:1"));
    assert!(sent[1].body.ends_with(b"b:2"));
    let (zxid, kinds) = SetWatches::decode(opcode::SET_WATCHES, sent[2].body.clone()).unwrap();
    assert_eq!(zxid, 0x10);
    assert_eq!(kinds[0].iter().collect::<Vec<_>>(), [b"/n"]);
    pair.reply(-8, 0, Code::OK, b"");
    pair.feed(&event_frame(EventType::DELETED, b"/n"));
    assert_eq!(watchers(&pair.outputs()), [1]);
}

#[test]
fn a_session_without_watches_replays_none() {
    let mut pair = Pair::connected();
    pair.cut();
    pair.connect();
    assert!(pair.sent().is_empty());
}

#[test]
fn a_refused_replay_is_tried_again_on_a_new_connection() {
    let mut pair = with_data_watch();
    pair.cut();
    pair.connect();
    pair.reply(-8, 0, Code::MARSHALLING_ERROR, b"");
    assert_eq!(pair.session.state(), KeeperState::CONNECTING);
    pair.connect();
    assert_eq!(pair.sent()[0].opcode, opcode::SET_WATCHES);
}

#[test]
fn a_chroot_is_put_on_for_the_server_and_off_for_the_user() {
    let mut pair = Pair::new(config("a/app"));
    pair.accept();
    pair.feed(&handshake(3_000, 7));
    pair.submit(&get(b"/n"), Some(1));
    let data: Vec<u8> = [&[0xff; 4][..], &STAT].concat();
    pair.reply(1, 1, Code::OK, &data);
    pair.cut();
    pair.connect();
    let sent = pair.sent();
    let (_, kinds) = SetWatches::decode(sent[0].opcode, sent[0].body.clone()).unwrap();
    assert_eq!(kinds[0].iter().collect::<Vec<_>>(), [b"/app/n"]);
    pair.outputs();
    pair.feed(&event_frame(EventType::CHANGED, b"/application/n"));
    pair.feed(&event_frame(EventType::CHANGED, b"/n"));
    assert!(pair.outputs().is_empty(), "paths outside the chroot are nobody's");
    pair.feed(&event_frame(EventType::CHANGED, b"/app/n"));
    match &pair.outputs()[..] {
        [Output::Watch { watcher: 1, event, .. }] => assert_eq!(event.path.as_deref(), Some(&b"/n"[..])),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_watcher_that_was_forgotten_is_neither_called_nor_armed() {
    let mut pair = with_data_watch();
    pair.session.forget_watcher(1);
    pair.feed(&event_frame(EventType::CHANGED, b"/n"));
    assert!(pair.outputs().is_empty());
    pair.cut();
    pair.connect();
    assert!(pair.sent().is_empty());
}

#[test]
fn those_who_are_armed_are_known_when_the_session_ends() {
    let mut pair = with_data_watch();
    assert_eq!(pair.session.armed_watchers(), [1]);
    pair.cut();
    pair.accept();
    pair.feed(&handshake(0, 0));
    assert_eq!(pair.session.armed_watchers(), [1]);
}

#[test]
fn persistent_watches_stay_and_are_replayed_by_the_newer_packet() {
    let mut pair = Pair::connected();
    for (watcher, path, mode) in
        [(1, &b"/p"[..], AddWatchMode::Persistent), (2, b"/r", AddWatchMode::PersistentRecursive)]
    {
        pair.submit(&Request::AddWatch { path, mode }, Some(watcher));
        pair.reply(watcher as i32, 1, Code::OK, b"\0\0\0\0");
    }
    pair.outputs();
    for _ in 0..2 {
        pair.feed(&event_frame(EventType::CHILD, b"/p"));
        pair.feed(&event_frame(EventType::CREATED, b"/r/deep/down"));
        assert_eq!(watchers(&pair.outputs()), [1, 2]);
    }
    pair.cut();
    pair.connect();
    let sent = pair.sent();
    let replay = sent.last().unwrap();
    assert_eq!(replay.opcode, opcode::SET_WATCHES2);
    let (_, kinds) = SetWatches::decode(replay.opcode, replay.body.clone()).unwrap();
    assert_eq!(kinds[3].iter().collect::<Vec<_>>(), [b"/p"]);
    assert_eq!(kinds[4].iter().collect::<Vec<_>>(), [b"/r"]);
}
