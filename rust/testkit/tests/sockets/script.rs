//! Scripts are followed, and departures from them are told.

use crate::raw::{connect_request, ping, reply, request, End, Raw, GET, LONG, SET};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;
use zk_proto::{opcode, Code, EventType};
use zk_testkit::script::{self, *};
use zk_testkit::{event_frame, frame};

fn departure(server: &ScriptServer) -> (usize, usize, String) {
    let departure = server.finish(LONG).unwrap_err();
    assert!(departure.to_string().contains(&departure.came));
    (departure.connection, departure.step, departure.came)
}

#[test]
fn a_script_is_followed_to_its_end_over_several_connections() {
    let server = Script::new()
        .connection([
            script::handshake_for(0),
            grant(30_000, 7),
            expect(opcode::GET_DATA),
            expect_request(2, &SET),
            script::reply(Code::NO_NODE, b""),
            script::reply(Code::OK, b""),
            event(EventType::CHANGED, b"/n"),
            send(b"raw"),
            hang_up(),
            expect(0),
        ])
        .connection([script::handshake_for(7), reset()])
        .connection([script::handshake(), grant(1, 7), serve(Code::NO_AUTH)])
        .connection([swallow()])
        .start();
    let mut raw = Raw::greeted(&server.hosts());
    raw.send(&[request(1, &GET), ping(), request(2, &SET)].concat());
    // The ping is in nobody's script, and is answered in its turn.
    let expected =
        [reply(-2, 0), reply(1, -101), reply(2, 0), event_frame(EventType::CHANGED, b"/n"), b"raw".to_vec()];
    assert_eq!(raw.rest(), (expected.concat(), End::Closed));

    let mut raw = Raw::connect(&server.hosts());
    raw.send(&connect_request(7));
    assert_eq!(raw.rest(), (Vec::new(), End::Reset));

    let mut raw = Raw::greeted(&server.hosts());
    raw.send(&[request(1, &GET), ping(), request(2, &zk_proto::op::Request::Sync { path: b"/" })].concat());
    let close = frame(&[3i32.to_be_bytes(), opcode::CLOSE_SESSION.to_be_bytes()].concat());
    raw.send(&close);
    let expected = [reply(1, -102), reply(-2, 0), reply(2, -102), reply(3, 0)].concat();
    assert_eq!(raw.rest(), (expected, End::Closed));

    let mut raw = Raw::connect(&server.hosts());
    raw.send(&[7; 100]);
    raw.hears_nothing();
    raw.shut();
    assert_eq!(raw.rest(), (Vec::new(), End::Closed));
    assert_eq!((server.finish(LONG), server.connections()), (Ok(()), 4));
}

#[test]
fn another_request_than_the_expected_one_is_told_with_its_bytes() {
    let steps = [script::handshake(), grant(30_000, 7), expect(opcode::CREATE)];
    let server = Script::new().connection(steps).start();
    let mut raw = Raw::greeted(&server.hosts());
    raw.send(&request(1, &GET));
    assert_eq!(raw.rest().0, b"", "the connection is closed at once");
    let (connection, step, came) = departure(&server);
    assert_eq!((connection, step), (0, 2));
    assert!(came.contains("xid 1, opcode 4"), "{came}");
    assert_eq!(server.finish(LONG).unwrap_err().expected, "a request with opcode 1");

    let wrong = expect_request(1, &SET);
    let server = Script::new().connection([script::handshake(), grant(30_000, 7), wrong]).start();
    let mut raw = Raw::greeted(&server.hosts());
    raw.send(&request(2, &SET));
    assert_eq!(departure(&server).1, 2, "the number counts");
}

#[test]
fn a_connection_that_ends_too_early_is_told() {
    let server = Script::new().connection([script::handshake(), expect(opcode::CREATE)]).start();
    let mut raw = Raw::connect(&server.hosts());
    raw.send(&connect_request(0));
    raw.shut();
    assert_eq!(departure(&server), (0, 1, "the end of the connection came".into()));
}

#[test]
fn what_is_no_handshake_or_no_frame_or_for_another_session_is_told() {
    for (bytes, step, words) in [
        (request(1, &GET), 0, "opcode 4"),
        (vec![0xff; 4], 0, "no frame came"),
        (connect_request(8), 0, "session 0x8"),
        ([connect_request(0), frame(b"x")].concat(), 1, "the frame"),
    ] {
        let server = Script::new().connection([script::handshake_for(0), expect(opcode::CREATE)]).start();
        Raw::connect(&server.hosts()).send(&bytes);
        let (_, at, came) = departure(&server);
        assert_eq!(at, step, "{bytes:x?}");
        assert!(came.contains(words), "{came}");
    }
}

#[test]
fn a_client_that_stays_is_told_where_its_end_was_expected() {
    let server = Script::new().connection([script::handshake(), expect_end()]).start();
    let mut raw = Raw::connect(&server.hosts());
    raw.send(&[connect_request(0), request(1, &GET)].concat());
    assert_eq!(departure(&server).1, 1);
    let server = Script::new().connection([script::handshake(), expect_end()]).start();
    let mut raw = Raw::connect(&server.hosts());
    raw.send(&[connect_request(0), ping()].concat());
    raw.shut();
    assert_eq!(server.finish(LONG), Ok(()), "pings are no trouble");
}

#[test]
fn a_reply_to_nothing_is_a_mistake_of_the_script() {
    let server = Script::new().connection([script::reply(Code::OK, b"")]).start();
    let _raw = Raw::connect(&server.hosts());
    assert_eq!(departure(&server), (0, 0, "there is none that has no answer".into()));
}

#[test]
fn waiting_for_the_end_has_a_limit_and_says_where_it_stands() {
    let server = Script::new().connection([script::handshake(), expect(opcode::CREATE)]).start();
    let mut raw = Raw::connect(&server.hosts());
    let waited = server.finish(Duration::from_millis(1)).unwrap_err();
    assert_eq!((waited.connection, waited.step), (0, 0));
    raw.send(&connect_request(0));
    // The script goes on meanwhile.
    while server.finish(Duration::from_millis(1)).unwrap_err().step == 0 {}
    let waited = server.finish(Duration::from_millis(1)).unwrap_err();
    assert_eq!((waited.step, &*waited.came), (1, "nothing came in 1ms"));
}

#[test]
fn more_connections_than_the_script_has_are_a_departure_unless_it_goes_on() {
    let server = Script::new().connection([hang_up()]).start();
    Raw::connect(&server.hosts()).rest();
    server.finish(LONG).unwrap();
    Raw::connect(&server.hosts()).rest();
    assert_eq!(departure(&server), (1, 0, "one".into()));

    let server = Script::new().connection([hang_up()]).connection([send(b"x")]).and_so_on().start();
    Raw::connect(&server.hosts()).rest();
    for _ in 0..3 {
        assert_eq!(Raw::connect(&server.hosts()).rest(), (b"x".to_vec(), End::Closed));
    }
    assert_eq!(server.finish(LONG), Ok(()));
}

#[test]
fn a_departure_that_nobody_asks_for_is_a_panic() {
    let server = Script::new().connection([script::handshake()]).start();
    let mut raw = Raw::connect(&server.hosts());
    raw.send(&[0xff; 4]);
    raw.rest();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(server))).unwrap_err();
    let told = panic.downcast_ref::<String>().unwrap();
    assert!(told.starts_with("connection 0, step 0: expected a handshake, and no frame came"), "{told}");
}

#[test]
fn pieces_arrive_as_pieces() {
    let server = Script::new()
        .connection([
            split_at(3),
            send(b"abcdefg"),
            in_pieces(2),
            send(b"12345"),
            delay(Duration::ZERO),
            send(b"x"),
        ])
        .start();
    let mut raw = Raw::connect(&server.hosts());
    let expected = [&b"abc"[..], b"defg", b"12", b"34", b"5", b"x"];
    let mut expected = expected.into_iter().peekable();
    while let Some(piece) = expected.next() {
        let mut came = raw.piece();
        // What follows a split comes at once.
        if piece == b"defg" && came.len() > 4 {
            assert_eq!(came, b"defg12");
            came.truncate(4);
            expected.next();
        }
        assert_eq!(came, piece);
    }
    server.finish(LONG).unwrap();
}
