//! What the simulation found; each test is named after the symptom.

use std::collections::VecDeque;
use zk_proto::op::{AddWatchMode, Request, WatcherType};
use zk_proto::record::SetWatches;
use zk_proto::session::{Output, Session};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::{config, event_frame, Pair};

const STAT: [u8; 68] = [0; 68];
const CHILDREN: Request<'_> = Request::GetChildren { path: b"/n", watch: true };
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
    pair.session.add_auth(b"digest", b"a:1", Some(1)).unwrap();
    pair.session.close(pair.now);
    pair.reply(-4, 0, Code::AUTH_FAILED, b"");
    let told = [Output::Auth { watcher: 1, code: Code::AUTH_FAILED }, Output::Closed];
    assert_eq!(pair.outputs(), told);
    assert_eq!(pair.session.state(), KeeperState::NOT_CONNECTED);
}

fn add_watch(mode: AddWatchMode) -> Request<'static> {
    Request::AddWatch { path: b"/n", mode }
}

/// The kinds of the watches on the node that are armed again, by their numbers in setWatches.
fn armed(pair: &mut Pair) -> Vec<Vec<usize>> {
    let sent = pair.sent();
    let packets = sent.iter().filter(|frame| frame.xid == -8);
    let kinds =
        packets.map(|frame| SetWatches::decode(frame.opcode, frame.body.clone()).expect("setWatches").1);
    kinds.map(|kinds| (0..5).filter(|kind| kinds[*kind].iter().next().is_some()).collect()).collect()
}

#[test]
fn a_watch_that_was_forgotten_while_its_request_waited_took_the_place_of_a_persistent_one() {
    for taken_off in [false, true] {
        let mut pair = Pair::new(config("a"));
        pair.submit(&add_watch(AddWatchMode::Persistent), Some(2));
        pair.submit(&WATCHED, Some(1));
        if taken_off {
            let removal = Request::RemoveWatches { path: b"/n", kind: WatcherType::Data, local: true };
            pair.submit(&removal, Some(1));
        } else {
            forgets(&mut pair.session);
        }
        pair.connect();
        let flags: Vec<_> = pair.sent().iter().map(|frame| frame.body.last().copied()).collect();
        assert_eq!(flags, [Some(0), Some(0)], "the persistent mode; no watch");
    }
}

#[test]
fn a_persistent_watch_that_was_forgotten_before_the_reply_came_silenced_the_others_of_its_path() {
    for taken_off in [false, true] {
        let mut pair = Pair::connected();
        pair.submit(&CHILDREN, Some(3));
        pair.reply(1, 1, Code::OK, b"\0\0\0\0");
        pair.submit(&add_watch(AddWatchMode::Persistent), Some(2));
        pair.reply(2, 1, Code::OK, b"\0\0\0\0");
        pair.submit(&add_watch(AddWatchMode::PersistentRecursive), Some(1));
        if taken_off {
            // The server can't be asked to take off this one alone.
            let kind = WatcherType::PersistentRecursive;
            pair.submit(&Request::RemoveWatches { path: b"/n", kind, local: true }, Some(1));
        } else {
            forgets(&mut pair.session);
        }
        pair.sent();
        pair.reply(3, 1, Code::OK, b"\0\0\0\0");
        let armed = armed(&mut pair);
        // A removal that the server was asked for arms them when it is answered.
        assert_eq!(armed, if taken_off { vec![vec![2]] } else { vec![vec![2, 3]] });
    }
}

#[test]
fn a_child_watch_asked_for_behind_a_removal_was_displaced_by_the_recursive_one_that_was_armed_again() {
    let mut pair = Pair::connected();
    for (xid, mode, watcher) in [(1, AddWatchMode::Persistent, 1), (2, AddWatchMode::PersistentRecursive, 2)]
    {
        pair.submit(&add_watch(mode), Some(watcher));
        pair.reply(xid, 1, Code::OK, b"\0\0\0\0");
    }
    pair.submit(&Request::RemoveWatches { path: b"/n", kind: WatcherType::Persistent, local: false }, None);
    pair.submit(&CHILDREN, Some(3));
    pair.sent();
    // Servers before 3.9 don't know the kind.
    pair.reply(3, 1, Code::MARSHALLING_ERROR, b"");
    assert_eq!(armed(&mut pair), [[4]]);
    pair.reply(4, 1, Code::OK, b"\0\0\0\0");
    assert_eq!(armed(&mut pair), [[4], [2]]);
    pair.reply(-8, 0, Code::OK, b"");
    pair.reply(-8, 0, Code::OK, b"");
    pair.reply(-8, 0, Code::OK, b"");
    // The next one is not.
    pair.submit(&CHILDREN, Some(3));
    pair.reply(5, 1, Code::OK, b"\0\0\0\0");
    assert!(armed(&mut pair).is_empty());
}

#[test]
fn a_child_watch_relied_on_a_plain_persistent_one_whose_place_a_forgotten_recursive_one_had_taken() {
    for taken_off in [false, true] {
        let mut pair = Pair::connected();
        for (xid, mode, watcher) in
            [(1, AddWatchMode::Persistent, 2), (2, AddWatchMode::PersistentRecursive, 1)]
        {
            pair.submit(&add_watch(mode), Some(watcher));
            pair.reply(xid, 1, Code::OK, b"\0\0\0\0");
        }
        if taken_off {
            // Together with one that fires once: no old server can take that off and leave the plain one.
            pair.submit(&WATCHED, Some(1));
            pair.reply(3, 1, Code::OK, &STAT);
            pair.sent();
            let kind = WatcherType::Any;
            pair.submit(&Request::RemoveWatches { path: b"/n", kind, local: false }, Some(1));
        } else {
            pair.sent();
            forgets(&mut pair.session);
        }
        assert_eq!(armed(&mut pair), [[3]]);
    }
}

#[test]
fn a_persistent_watch_asked_for_before_others_were_armed_again_was_displaced_by_them() {
    for (code, kinds) in [(Code::OK, vec![0, 4]), (Code::NO_AUTH, vec![0])] {
        let mut pair = Pair::connected();
        pair.submit(&add_watch(AddWatchMode::PersistentRecursive), Some(1));
        pair.reply(1, 1, Code::OK, b"\0\0\0\0");
        pair.submit(&WATCHED, Some(2));
        pair.reply(2, 1, Code::OK, &STAT);
        pair.submit(&Request::RemoveWatches { path: b"/n", kind: WatcherType::Any, local: false }, Some(1));
        pair.submit(&add_watch(AddWatchMode::PersistentRecursive), Some(3));
        pair.sent();
        pair.reply(3, 1, Code::OK, b"");
        assert!(armed(&mut pair).is_empty(), "that would stand behind the other request");
        let outcome: &[u8] = if code == Code::OK { b"\0\0\0\0" } else { b"" };
        pair.reply(4, 1, code, outcome);
        assert_eq!(armed(&mut pair), [kinds]);
    }
}

#[test]
fn requests_that_follow_each_other_had_others_armed_behind_them_for_ever() {
    for (request, answer) in [(CHILDREN, &STAT[..4]), (WATCHED, &STAT[..])] {
        let mut pair = Pair::connected();
        for (xid, mode) in [(1, AddWatchMode::Persistent), (2, AddWatchMode::PersistentRecursive)] {
            pair.submit(&add_watch(mode), Some(xid));
            pair.reply(xid as i32, 1, Code::OK, b"\0\0\0\0");
        }
        pair.sent();
        (0..4).for_each(|_| _ = pair.submit(&request, Some(3)));
        forgets(&mut pair.session);
        // The server takes one after the other, and each answer is followed by another request.
        let mut asked: VecDeque<_> = pair.sent().into();
        let mut armed = 0;
        for _ in 0..200 {
            let frame = asked.pop_front().expect("requests do not end");
            pair.reply(frame.xid, 1, Code::OK, answer);
            match frame.xid {
                -8 => armed += 1,
                _ => _ = pair.submit(&request, Some(3)),
            }
            asked.extend(pair.sent());
        }
        assert!((1..10).contains(&armed), "{armed}");
    }
}
