//! Servers that say what no server should, on real sockets. (Everything that can be said wrongly is in `zk-proto`'s
//! tests; here is what becomes of the connection, and of who waits.)

use crate::common::{Client, GET, SET};
use crate::keeper::ID;
use crate::{alone, close, patient, LONG};
use bytes::Bytes;
use std::thread;
use std::time::{Duration, Instant};
use zk_client::Engine;
use zk_proto::record::WatcherEvent;
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::script::{
    delay, expect, expect_end, grant, handshake, handshake_for, reply, send, serve, split_at, Script,
};
use zk_testkit::{event_frame, frame, reply_frame};

#[test]
fn a_handshake_that_is_answered_too_late_is_nobodys() {
    let late = Duration::from_millis(1_500);
    let server = Script::new()
        .connection([handshake_for(0), delay(late), grant(30_000, 8), expect_end()])
        .connection([handshake_for(0), grant(30_000, ID), serve(Code::NO_NODE)])
        .start();
    let engine = Engine::start().unwrap();
    // It waits for a third of its timeout.
    let client = Client::with(&engine, &server.hosts(), |settings| settings.session_timeout = late * 2);
    client.connected();
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert_eq!(client.handle.client_id().unwrap().0, ID);
    close(&client);
    server.finish(LONG).unwrap();
}

#[test]
fn what_servers_may_say_unasked_costs_nothing() {
    let mut strange = Vec::new();
    let path = Bytes::from_static(b"/n");
    WatcherEvent { kind: EventType(99), state: KeeperState(99), path }.encode(&mut strange);
    let unasked = [
        reply_frame(-2, 1, Code::OK, b""),
        reply_frame(-8, 1, Code::OK, b""),
        reply_frame(-1, -1, Code::OK, &strange),
        event_frame(EventType::CHANGED, b"/nobody/watches/this"),
        event_frame(EventType::CHANGED, b"/application"),
    ];
    let server = Script::new()
        .connection([
            handshake(),
            grant(30_000, ID),
            send(&unasked.concat()),
            expect(opcode::GET_DATA),
            reply(Code(-999), b""),
            expect(opcode::GET_DATA),
            reply(Code::NO_NODE, b""),
            serve(Code::OK),
        ])
        .start();
    let client = alone(&format!("{}/app", server.hosts()));
    client.connected();
    assert_eq!(client.call(&GET), Code(-999));
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert_eq!(client.handle.metrics().events, 3);
    close(&client);
    server.finish(LONG).unwrap();
}

#[test]
fn an_answer_that_is_nobodys_is_a_lost_connection_and_one_loss_for_who_waits() {
    let no_node = |xid| reply_frame(xid, 1, Code::NO_NODE, b"");
    let engine = Engine::start().unwrap();
    for (what, bytes, answered) in [
        ("an unknown number", no_node(77), false),
        ("a number that is not its turn", [no_node(2), no_node(1)].concat(), false),
        ("the same number twice", [no_node(1), no_node(1)].concat(), true),
        ("an authentication that nobody asked for", reply_frame(-4, 1, Code::OK, b""), false),
        ("watches that are refused unasked", reply_frame(-8, 1, Code::MARSHALLING_ERROR, b""), false),
        ("another handshake", zk_testkit::handshake(30_000, 8), false),
        ("a negative length", vec![0xff; 4], false),
        ("a length of nothing", vec![0; 4], false),
        ("a length of three", frame(b"abc"), false),
        ("a length of 2 GiB", vec![0x7f, 0xff, 0xff, 0xff], false),
        ("a byte more than the limit", ((64 << 20) + 1i32).to_be_bytes().to_vec(), false),
        ("data longer than its frame", reply_frame(1, 1, Code::OK, &[0x7f; 80]), false),
    ] {
        let server = Script::new()
            .connection([
                handshake_for(0),
                grant(30_000, ID),
                expect(opcode::GET_DATA),
                expect(opcode::SET_DATA),
                split_at(bytes.len() / 2),
                send(&bytes),
                expect_end(),
            ])
            .connection([handshake_for(ID), grant(30_000, ID), serve(Code::NO_NODE)])
            .start();
        let client = patient(&engine, &server.hosts());
        client.connected();
        client.handle.post(&GET, 1, None, None).unwrap();
        client.handle.post(&SET, 2, None, None).unwrap();
        client.handle.flush();
        let first = if answered { Code::NO_NODE } else { Code::CONNECTION_LOSS };
        assert_eq!(client.answer(), (1, first), "{what}");
        assert_eq!(client.answer(), (2, Code::CONNECTION_LOSS), "{what}");
        assert_eq!(client.call(&GET), Code::NO_NODE, "{what}");
        assert_eq!(client.event().1.state, KeeperState::CONNECTING, "{what}");
        assert_eq!(client.event().1.state, KeeperState::CONNECTED, "{what}");
        assert!(client.queue.is_empty(), "{what}");
        close(&client);
        server.finish(LONG).unwrap_or_else(|departure| panic!("{what}: {departure}"));
    }
}

#[test]
fn pings_keep_to_the_timeout_that_was_granted_and_not_to_the_one_that_was_asked_for() {
    let ping = || [expect(opcode::PING), reply(Code::OK, b"")];
    let begin = [handshake(), grant(1_500, ID)].into_iter();
    let steps = begin.chain((0..3).flat_map(|_| ping())).chain([serve(Code::OK)]);
    let server = Script::new().connection(steps).start();
    let engine = Engine::start().unwrap();
    let hour = Duration::from_secs(3_600);
    let client = Client::with(&engine, &server.hosts(), |settings| settings.session_timeout = hour);
    let give_up = Instant::now() + LONG;
    while client.handle.metrics().received < 3 {
        assert!(Instant::now() < give_up, "{:?}", client.handle.metrics());
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.handle.session_timeout(), Duration::from_millis(1_500));
    close(&client);
    server.finish(LONG).unwrap();
}

#[test]
fn servers_that_are_read_only_or_have_nothing_to_grant_are_left_for_the_next() {
    let mut read_only = zk_testkit::handshake(30_000, 8);
    *read_only.last_mut().unwrap() = 1;
    let server = Script::new()
        .connection([handshake_for(0), send(&read_only), expect_end()])
        .connection([handshake_for(0), grant(0, 8), expect_end()])
        .connection([handshake_for(0), grant(30_000, 0), expect_end()])
        .connection([handshake_for(0), grant(30_000, ID), serve(Code::NO_NODE)])
        .start();
    let client = alone(&server.hosts());
    assert_eq!(client.call(&GET), Code::NO_NODE);
    assert_eq!(client.handle.client_id().unwrap().0, ID);
    close(&client);
    server.finish(LONG).unwrap();
}

#[test]
fn a_server_that_gives_another_session_than_asked_for_has_lost_it() {
    let server = Script::new()
        .connection([
            handshake_for(0),
            grant(30_000, ID),
            expect(opcode::SET_DATA),
            zk_testkit::script::reset(),
        ])
        .connection([handshake_for(ID), grant(30_000, 8), expect_end()])
        .start();
    let client = alone(&server.hosts());
    assert_eq!(client.call(&SET), Code::CONNECTION_LOSS);
    assert_eq!(client.call(&GET), Code::SESSION_EXPIRED);
    assert_eq!(client.handle.state(), KeeperState::EXPIRED);
    server.finish(LONG).unwrap();
}
