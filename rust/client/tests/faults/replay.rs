//! What is set up again on a new connection, in the bytes that a server gets.

use crate::common::GET;
use crate::keeper::ID;
use crate::{alone, close, LONG};
use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::sync::Mutex;
use zk_proto::op::{AddWatchMode, Request};
use zk_proto::record::{AuthPacket, SetWatches};
use zk_proto::{opcode, Code, EventType, KeeperState};
use zk_testkit::script::{
    event, expect, expect_frame, grant, handshake_for, hang_up, reply, reset, serve, Script,
};
use zk_testkit::Server;

const EXISTS: Request<'_> = Request::Exists { path: b"/n", watch: true };
const ADD_WATCH: Request<'_> = Request::AddWatch { path: b"/p", mode: AddWatchMode::Persistent };

/// Bytes of a setWatches packet, without its length.
fn set_watches(kind: usize, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut packet = SetWatches::new(1);
    packet.add(kind, path);
    packet.encode(&mut out);
    out.split_off(4)
}

#[test]
fn credentials_go_first_then_watches_then_who_has_waited() {
    let mut auth = Vec::new();
    AuthPacket { scheme: b"digest", credentials: b"ann:secret" }.encode(&mut auth);
    let auth = expect_frame(&auth[4..]);
    let ok = || reply(Code::OK, b"");
    let server = Script::new()
        .connection([
            handshake_for(0),
            grant(30_000, ID),
            auth.clone(),
            ok(),
            expect(opcode::EXISTS),
            reply(Code::NO_NODE, b""),
            reset(),
        ])
        .connection([handshake_for(ID), hang_up()])
        .connection([
            handshake_for(ID),
            grant(30_000, ID),
            auth,
            expect_frame(&set_watches(1, "/n")),
            expect(opcode::GET_DATA),
            ok(),
            ok(),
            reply(Code::NO_NODE, b""),
            serve(Code::NO_NODE),
        ])
        .start();
    let client = alone(&server.hosts());
    client.handle.add_auth(b"digest", b"ann:secret", None).unwrap();
    let ticket = client.handle.submit(&EXISTS, Some(5), None).unwrap();
    assert_eq!(client.handle.wait(ticket).unwrap_err().code, Code::NO_NODE);
    assert_eq!(client.event().1.state, KeeperState::CONNECTED);
    assert_eq!(client.event().1.state, KeeperState::CONNECTING);
    assert_eq!(client.call(&GET), Code::NO_NODE);
    close(&client);
    server.finish(LONG).unwrap();
}

#[test]
fn ten_thousand_watches_pass_through_full_sockets_before_who_has_waited() {
    const COUNT: usize = 10_000;
    let path = |number: usize| format!("/a/path/of/some/length/{number:08}");
    let (told, packets) = channel();
    let told = Mutex::new(told);
    let server = Server::start(move |peer, number| {
        peer.shake_hands(30_000, ID);
        if number == 0 {
            // All have their answer, and then there is no connection.
            for _ in 0..COUNT {
                let Some(request) = peer.request() else { return };
                peer.send(&zk_testkit::reply_frame(request.xid, 1, Code::NO_NODE, b""));
            }
            return;
        }
        peer.serve(|_, request| {
            told.lock().unwrap().send(request.clone()).unwrap();
            (if request.opcode == opcode::SET_WATCHES { Code::OK } else { Code::NO_NODE }, Vec::new())
        });
    });
    let client = alone(&server.hosts());
    client.connected();
    for number in 0..COUNT {
        let path = path(number);
        client
            .handle
            .post(&Request::Exists { path: path.as_bytes(), watch: true }, 1, Some(5), None)
            .unwrap();
        if number % 1_000 == 0 {
            client.handle.flush();
        }
    }
    client.handle.flush();
    for _ in 0..COUNT {
        assert_eq!(client.answer().1, Code::NO_NODE);
    }
    assert_eq!(client.call(&GET), Code::NO_NODE);
    let mut packets = packets.into_iter();
    let mut seen = BTreeSet::new();
    while seen.len() < COUNT {
        let packet = packets.next().unwrap();
        assert_eq!((packet.xid, packet.opcode), (-8, opcode::SET_WATCHES), "{} watches were set", seen.len());
        assert!(packet.body.len() + 8 <= 128 << 10);
        let (zxid, kinds) = SetWatches::decode(packet.opcode, packet.body).unwrap();
        assert_eq!((zxid, kinds[0].len(), kinds[2].len()), (1, 0, 0));
        seen.extend(kinds[1].iter().map(<[u8]>::to_vec));
    }
    assert_eq!(packets.next().unwrap().opcode, opcode::GET_DATA);
    assert!(seen.into_iter().eq((0..COUNT).map(|number| path(number).into_bytes())));
    assert_eq!(server.connections(), 2);
}

#[test]
fn an_old_server_that_ends_the_connection_over_add_watch_costs_that_call_and_no_other() {
    let server = Script::new()
        .connection([
            handshake_for(0),
            grant(30_000, ID),
            expect(opcode::ADD_WATCH),
            reply(Code::UNIMPLEMENTED, b""),
            hang_up(),
        ])
        // Nothing is set again.
        .connection([
            handshake_for(ID),
            grant(30_000, ID),
            expect(opcode::GET_DATA),
            reply(Code::NO_NODE, b""),
        ])
        .start();
    let client = alone(&server.hosts());
    let ticket = client.handle.submit(&ADD_WATCH, Some(5), None).unwrap();
    let failure = client.handle.wait(ticket).unwrap_err();
    assert_eq!((failure.code, failure.maybe_applied), (Code::UNIMPLEMENTED, false));
    assert_eq!(client.call(&GET), Code::NO_NODE);
    close(&client);
    server.finish(LONG).unwrap();
}

#[test]
fn an_old_server_that_ends_the_connection_over_persistent_watches_is_left_for_one_that_knows_them() {
    let server = Script::new()
        .connection([
            handshake_for(0),
            grant(30_000, ID),
            expect(opcode::ADD_WATCH),
            reply(Code::OK, &[0; 4]),
            reset(),
        ])
        .connection([
            handshake_for(ID),
            grant(30_000, ID),
            expect(opcode::SET_WATCHES2),
            reply(Code::UNIMPLEMENTED, b""),
            hang_up(),
        ])
        .connection([
            handshake_for(ID),
            grant(30_000, ID),
            expect_frame(&set_watches(3, "/p")),
            reply(Code::OK, b""),
            event(EventType::CHANGED, b"/p"),
            serve(Code::NO_NODE),
        ])
        .start();
    let client = alone(&server.hosts());
    let ticket = client.handle.submit(&ADD_WATCH, Some(5), None).unwrap();
    client.handle.wait(ticket).unwrap();
    let kinds: Vec<EventType> = (0..8).map(|_| client.event().1.kind).collect();
    let (session, resync) = (EventType::SESSION, EventType::RESYNC);
    // Connected, lost, connected, resync, lost, connected, resync, and what happened.
    assert_eq!(kinds, [session, session, session, resync, session, session, resync, EventType::CHANGED]);
    assert_eq!(client.call(&GET), Code::NO_NODE);
    close(&client);
    server.finish(LONG).unwrap();
}
