//! Watches taken off: what the server is asked for, what is done without it, and who hears of it.

use bytes::Bytes;
use std::time::Duration;
use zk_proto::op::{AddWatchMode, Reply, Request, WatcherType};
use zk_proto::record::SetWatches;
use zk_proto::session::{Failure, Output, WatchedEvent};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, Pair};
use WatcherType::{Any, Children, Data, Persistent, PersistentRecursive};

const STAT: [u8; 68] = [0; 68];
const PATH: &[u8] = b"/n";

/// A session and the xid of its last request.
struct Stage {
    pair: Pair,
    xid: i32,
}

impl Stage {
    fn new() -> Stage {
        Stage { pair: Pair::connected(), xid: 0 }
    }

    fn ask(&mut self, request: &Request<'_>, watcher: Option<u64>) -> u64 {
        self.xid += 1;
        self.pair.submit(request, watcher)
    }

    /// Leaves a watch of this kind for a watcher.
    fn watch(&mut self, kind: WatcherType, watcher: u64) {
        let data: Vec<u8> = [&[0xff; 4][..], &STAT].concat();
        let (request, body): (_, &[u8]) = match kind {
            Data | Any => (Request::GetData { path: PATH, watch: true }, &data),
            Children => (Request::GetChildren { path: PATH, watch: true }, b"\0\0\0\0"),
            Persistent => (Request::AddWatch { path: PATH, mode: AddWatchMode::Persistent }, b"\0\0\0\0"),
            PersistentRecursive => {
                (Request::AddWatch { path: PATH, mode: AddWatchMode::PersistentRecursive }, b"\0\0\0\0")
            }
        };
        self.ask(&request, Some(watcher));
        self.pair.reply(self.xid, 0x10, Code::OK, body);
        self.pair.outputs();
        self.pair.sent();
    }

    fn remove(&mut self, kind: WatcherType, watcher: Option<u64>, local: bool) -> u64 {
        self.ask(&Request::RemoveWatches { path: PATH, kind, local }, watcher)
    }

    /// The kinds that the server was asked for.
    fn asked(&mut self) -> Vec<i32> {
        let sent = self.pair.sent();
        assert!(sent.iter().all(|frame| frame.opcode == opcode::REMOVE_WATCHES), "{sent:?}");
        sent.iter().map(|f| f.body.last_chunk().map_or(0, |kind| i32::from_be_bytes(*kind))).collect()
    }

    fn answer(&mut self, code: Code) {
        self.pair.reply(self.xid, 0x20, code, b"");
    }
}

fn removed(watcher: u64, kind: EventType) -> Output {
    let event = WatchedEvent { kind, state: KeeperState::CONNECTED, path: Some(Bytes::from_static(PATH)) };
    Output::Watch { watcher, event, stays: None }
}

fn done(token: u64) -> Output {
    Output::Completed { token, result: Ok(Reply::Nothing) }
}

fn failed(token: u64, code: Code) -> Output {
    Output::Completed { token, result: Err(Failure::new(code)) }
}

fn watchers(outputs: &[Output]) -> Vec<u64> {
    let of = |o: &Output| match o {
        Output::Watch { watcher, .. } => Some(*watcher),
        _ => None,
    };
    outputs.iter().filter_map(of).collect()
}

#[test]
fn the_only_watch_on_a_path_is_asked_for_as_any_which_every_server_knows() {
    for (kind, said) in [
        (Data, EventType::DATA_WATCH_REMOVED),
        (Children, EventType::CHILD_WATCH_REMOVED),
        (Persistent, EventType::PERSISTENT_WATCH_REMOVED),
        (PersistentRecursive, EventType::PERSISTENT_WATCH_REMOVED),
    ] {
        for (asked, watcher) in [(kind, None), (kind, Some(1)), (Any, None), (Any, Some(1))] {
            let mut stage = Stage::new();
            stage.watch(kind, 1);
            let token = stage.remove(asked, watcher, false);
            assert_eq!(stage.asked(), [3], "{kind:?}");
            assert!(stage.pair.outputs().is_empty(), "not before the answer");
            stage.answer(Code::OK);
            assert_eq!(stage.pair.outputs(), [removed(1, said), done(token)]);
        }
    }
}

#[test]
fn none_is_an_error_without_a_word_to_the_server() {
    let mut stage = Stage::new();
    stage.watch(Data, 1);
    for (kind, watcher) in [(Children, None), (Any, Some(2)), (Persistent, Some(1))] {
        let request = Request::RemoveWatches { path: PATH, kind, local: false };
        let now = stage.pair.now;
        let result = stage.pair.session.submit(now, &request, 77, watcher, None);
        assert_eq!(result, Err(Failure::new(Code::NO_WATCHER)));
    }
    assert!(stage.asked().is_empty());
}

#[test]
fn what_the_server_is_asked_where_other_watches_stay() {
    // What stays, what goes, and the type on the wire: none where the server's side is shared.
    for (stays, goes, wire) in [
        (Data, Data, None),
        (Persistent, Persistent, None),
        (Children, Data, Some(2)),
        (Data, Children, Some(1)),
        (Data, Persistent, Some(4)),
        (Children, PersistentRecursive, Some(5)),
        (Persistent, PersistentRecursive, Some(5)),
        (Persistent, Data, None),
        (PersistentRecursive, Children, None),
    ] {
        let mut stage = Stage::new();
        stage.watch(goes, 1);
        stage.watch(stays, 2);
        let token = stage.remove(goes, Some(1), false);
        assert_eq!(stage.asked(), Vec::from_iter(wire), "{stays:?} stays, {goes:?} goes");
        if wire.is_some() {
            stage.answer(Code::OK);
        }
        let outputs = stage.pair.outputs();
        assert_eq!(watchers(&outputs), [1]);
        assert!(outputs.contains(&done(token)));
        stage.pair.feed(&event_frame(EventType::DELETED, PATH));
        assert_eq!(watchers(&stage.pair.outputs()), [2], "{stays:?} stays, {goes:?} goes");
    }
}

#[test]
fn a_server_that_does_not_know_the_kind_keeps_it_and_nobody_hears_of_it() {
    let mut stage = Stage::new();
    stage.watch(Data, 1);
    stage.watch(Persistent, 2);
    let token = stage.remove(Persistent, None, false);
    assert_eq!(stage.asked(), [4]);
    stage.answer(Code::MARSHALLING_ERROR);
    assert_eq!(stage.pair.outputs(), [removed(2, EventType::PERSISTENT_WATCH_REMOVED), done(token)]);
    assert!(stage.pair.sent().is_empty(), "what stays has lost nothing");
    stage.pair.feed(&event_frame(EventType::CHANGED, PATH));
    assert_eq!(watchers(&stage.pair.outputs()), [1]);
}

#[test]
fn a_refusal_leaves_the_watch_and_no_watcher_does_not() {
    let mut stage = Stage::new();
    stage.watch(Data, 1);
    let token = stage.remove(Any, None, false);
    stage.answer(Code::THROTTLED_OP);
    assert_eq!(stage.pair.outputs(), [failed(token, Code::THROTTLED_OP)]);
    let token = stage.remove(Any, None, false);
    stage.answer(Code::NO_WATCHER);
    assert_eq!(stage.pair.outputs(), [removed(1, EventType::DATA_WATCH_REMOVED), done(token)]);
}

#[test]
fn a_watch_that_a_request_under_way_would_leave_goes_too() {
    // Alone: the server is asked, behind the request.
    let data: Vec<u8> = [&[0xff; 4][..], &STAT].concat();
    let mut stage = Stage::new();
    stage.ask(&Request::GetData { path: PATH, watch: true }, Some(1));
    stage.pair.sent();
    let token = stage.remove(Data, None, false);
    assert_eq!(stage.asked(), [3]);
    stage.pair.reply(1, 0x10, Code::OK, &data);
    stage.pair.outputs();
    stage.answer(Code::OK);
    assert_eq!(stage.pair.outputs(), [removed(1, EventType::DATA_WATCH_REMOVED), done(token)]);

    // Beside another one, which the server does not tell apart.
    let mut stage = Stage::new();
    stage.watch(Data, 2);
    stage.ask(&Request::GetData { path: PATH, watch: true }, Some(1));
    stage.pair.sent();
    let token = stage.remove(Data, Some(1), false);
    assert!(stage.asked().is_empty());
    assert_eq!(stage.pair.outputs(), [removed(1, EventType::DATA_WATCH_REMOVED), done(token)]);
    stage.pair.reply(2, 0x10, Code::OK, &data);
    stage.pair.outputs();
    stage.pair.feed(&event_frame(EventType::CHANGED, PATH));
    assert_eq!(watchers(&stage.pair.outputs()), [2]);
}

#[test]
fn local_needs_no_connection_and_survives_its_loss() {
    let mut stage = Stage::new();
    stage.watch(Children, 1);
    stage.watch(Data, 2);
    let token = stage.remove(Children, None, true);
    let plain = stage.remove(Data, None, false);
    stage.pair.cut();
    let outputs = stage.pair.outputs();
    assert!(outputs.contains(&done(token)));
    assert!(outputs.iter().any(|o| matches!(o, Output::Completed { token, result: Err(f) }
        if *token == plain && f.code == Code::CONNECTION_LOSS)));
    assert_eq!(watchers(&outputs), [1]);
    let token = stage.remove(Data, None, true);
    let outputs = stage.pair.outputs();
    assert!(outputs.contains(&done(token)));
    assert_eq!(watchers(&outputs), [2]);
    stage.pair.connect();
    assert!(stage.pair.sent().is_empty(), "nothing is left to be armed again");
}

#[test]
fn one_that_waits_for_a_connection_in_vain_fails_or_is_done_here() {
    for local in [false, true] {
        let mut stage = Stage::new();
        stage.watch(Data, 1);
        stage.pair.cut();
        stage.pair.outputs();
        let token = stage.remove(Data, None, local);
        stage.pair.advance(Duration::from_secs(10));
        let outputs = stage.pair.outputs();
        // Why there is no connection is said, too.
        let is_lost = |output: &Output| {
            matches!(output, Output::Completed { token: t, result: Err(failure) }
                if *t == token && failure.code == Code::CONNECTION_LOSS)
        };
        let ended = if local { outputs.contains(&done(token)) } else { outputs.iter().any(is_lost) };
        assert!(ended, "{outputs:?}");
        assert_eq!(watchers(&outputs).len(), usize::from(local));
    }
}

#[test]
fn one_that_waits_for_room_goes_when_there_is_some() {
    let mut settings = config("a");
    settings.max_in_flight = 1;
    let mut pair = Pair::new(settings);
    pair.connect();
    let mut stage = Stage { pair, xid: 0 };
    stage.watch(Data, 1);
    stage.ask(&Request::Exists { path: b"/", watch: false }, None);
    stage.pair.sent();
    let token = stage.remove(Any, None, false);
    assert!(stage.asked().is_empty());
    stage.pair.reply(2, 0x10, Code::OK, &STAT);
    assert_eq!(stage.asked(), [3]);
    stage.pair.outputs();
    stage.answer(Code::OK);
    assert_eq!(stage.pair.outputs(), [removed(1, EventType::DATA_WATCH_REMOVED), done(token)]);
}

#[test]
fn one_that_nobody_waits_for_any_more_takes_the_watch_off_all_the_same() {
    let mut stage = Stage::new();
    stage.watch(Data, 1);
    let token = stage.remove(Any, None, false);
    stage.pair.session.abandon(token);
    stage.answer(Code::OK);
    assert_eq!(stage.pair.outputs(), [removed(1, EventType::DATA_WATCH_REMOVED)]);
    stage.pair.cut();
    stage.pair.connect();
    assert!(stage.pair.sent().iter().all(|frame| frame.opcode == opcode::REMOVE_WATCHES));
}

#[test]
fn close_answers_one_under_way() {
    for local in [false, true] {
        let mut stage = Stage::new();
        stage.watch(Data, 1);
        let token = stage.remove(Any, None, local);
        let now = stage.pair.now;
        stage.pair.session.close(now);
        assert_eq!(stage.pair.outputs(), [failed(token, Code::CLOSING)]);
    }
}

/// The paths that the last setWatches arms, by kind.
fn armed(stage: &mut Stage) -> Vec<(usize, Vec<u8>)> {
    let sent = stage.pair.sent();
    let frames = sent.iter().filter(|frame| frame.xid == -8);
    let mut all = Vec::new();
    for frame in frames {
        let (_, kinds) = SetWatches::decode(frame.opcode, frame.body.clone()).expect("setWatches");
        for (kind, paths) in kinds.iter().enumerate() {
            all.extend(paths.iter().map(|path| (kind, path.to_vec())));
        }
    }
    all
}

#[test]
fn a_one_shot_watch_beside_a_persistent_one_is_spared_and_armed_when_that_goes() {
    for (kind, staying, spared) in [
        (Data, Persistent, true),
        (Children, Persistent, true),
        (Data, PersistentRecursive, true),
        (Children, PersistentRecursive, false),
    ] {
        let mut stage = Stage::new();
        stage.watch(staying, 1);
        let request = match kind {
            Children => Request::GetChildren { path: PATH, watch: true },
            _ => Request::GetData { path: PATH, watch: true },
        };
        stage.ask(&request, Some(2));
        let flag = stage.pair.sent().last().and_then(|frame| frame.body.last().copied());
        assert_eq!(flag, Some(u8::from(!spared)), "{kind:?} beside {staying:?}");
        let data: Vec<u8> = [&[0xff; 4][..], &STAT].concat();
        stage.pair.reply(stage.xid, 0x11, Code::OK, if kind == Children { b"\0\0\0\0" } else { &data });
        assert!(armed(&mut stage).is_empty());
        stage.remove(staying, None, false);
        stage.pair.sent();
        stage.answer(Code::OK);
        let index = if kind == Children { 2 } else { 0 };
        assert_eq!(armed(&mut stage), [(index, PATH.to_vec())], "{kind:?} beside {staying:?}");
        stage.pair.reply(-8, 0, Code::OK, b"");
        stage.pair.outputs();
        stage.pair.feed(&event_frame(EventType::DELETED, PATH));
        assert_eq!(watchers(&stage.pair.outputs()), [2]);
    }
}

#[test]
fn a_watch_that_was_spared_for_one_that_is_refused_is_armed() {
    let mut stage = Stage::new();
    stage.ask(&Request::AddWatch { path: PATH, mode: AddWatchMode::Persistent }, Some(1));
    stage.ask(&Request::GetData { path: PATH, watch: true }, Some(2));
    stage.pair.sent();
    stage.pair.reply(1, 0x10, Code::THROTTLED_OP, b"");
    assert!(armed(&mut stage).is_empty(), "not answered yet");
    let data: Vec<u8> = [&[0xff; 4][..], &STAT].concat();
    stage.pair.reply(2, 0x11, Code::OK, &data);
    assert_eq!(armed(&mut stage), [(0, PATH.to_vec())]);
}

#[test]
fn a_watch_that_is_asked_for_behind_the_removal_of_the_persistent_one_is_not_spared() {
    let mut stage = Stage::new();
    stage.watch(Persistent, 1);
    stage.remove(Persistent, None, false);
    stage.ask(&Request::GetData { path: PATH, watch: true }, Some(2));
    let flag = stage.pair.sent().last().and_then(|frame| frame.body.last().copied());
    assert_eq!(flag, Some(1));
}

#[test]
fn a_recursive_watch_displaces_a_child_watch_which_is_armed_again_behind_it() {
    let mut stage = Stage::new();
    stage.watch(Children, 1);
    stage.ask(&Request::AddWatch { path: PATH, mode: AddWatchMode::PersistentRecursive }, Some(2));
    stage.pair.sent();
    stage.pair.reply(stage.xid, 0x10, Code::OK, b"\0\0\0\0");
    assert_eq!(armed(&mut stage), [(2, PATH.to_vec())]);
    stage.pair.reply(-8, 0, Code::OK, b"");
    stage.pair.cut();
    stage.pair.connect();
    assert_eq!(armed(&mut stage), [(4, PATH.to_vec()), (2, PATH.to_vec())], "and so on a new connection");
}
